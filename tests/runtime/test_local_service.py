"""What serves the Workers of this machine is found at the same address after a restart, and by several servers."""

import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from mcp_server.kernel.errors import Unavailable
from mcp_server.runtime.local_service import LocalService

pytestmark = pytest.mark.anyio


def service(folder: Path, name: str) -> LocalService:
    def make(key: bytes) -> Any:
        return Response(f"{name} {key.hex()}")

    return LocalService(folder / "kv.json", make)


async def ask(address: str) -> str:
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"http://{address}/")).text


async def test_it_sleeps_until_it_is_needed_and_comes_back_at_the_same_address_with_the_same_key(tmp_path: Path):
    first = service(tmp_path, "first")
    await first.resume()
    assert not (tmp_path / "kv.json").exists()
    address, key = await first.address(), first.key()
    assert await ask(address) == f"first {key.hex()}"
    assert (tmp_path / "kv.json").stat().st_mode & 0o077 == 0
    await first.close()
    second = service(tmp_path, "second")
    await second.resume()
    assert await ask(address) == f"second {key.hex()}"
    await second.close()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="one address has one listener here")
async def test_several_servers_share_the_address_and_one_that_ends_leaves_it_to_the_other(tmp_path: Path):
    one, other = service(tmp_path, "one"), service(tmp_path, "other")
    address = await one.address()
    assert await other.address() == address and one.key() == other.key()
    await one.close()
    assert (await ask(address)).startswith("other")
    await other.close()


async def test_an_address_that_something_else_took_is_told_and_does_not_keep_the_server_from_starting(tmp_path: Path):
    one = service(tmp_path, "one")
    port = int((await one.address()).rpartition(":")[2])
    await one.close()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        await one.resume()
        with pytest.raises(Unavailable, match=str(port)):
            await one.address()
