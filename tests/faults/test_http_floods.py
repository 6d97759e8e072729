"""Floods over HTTP, against a server's process: they cost little, they end, and others are served meanwhile."""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Self

import pytest

from benchmarks.http import serving
from benchmarks.limits import alone, closed, keys, many_clients, opened, resident_mb

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]
BODY = 4 * 1024 * 1024
HALF_HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bea"
HALF_BODY = (
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer eve\r\n"
    b"Content-Length: " + str(BODY).encode() + b"\r\n\r\n" + b" " * (BODY // 4)
)


def room_for(files: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))


class Half:
    """A client that sends so much and nothing more."""

    async def begin(self, port: int, sent: bytes) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer.write(sent)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        return self

    async def until_ended(self) -> bytes:
        told = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self._reader.read(1 << 16):
                told += piece
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        return told


async def test_half_requests_and_half_bodies_cost_bounded_memory_and_end(tmp_path: Path):
    room_for(4096)
    with serving("ours", "http", str(tmp_path), DATAMCP_TOKENS_FILE=keys(str(tmp_path), "ann", "eve")) as (port, pid):
        await alone(port, "ann", 1)
        before = resident_mb(pid)
        heads = await asyncio.gather(*(Half().begin(port, HALF_HEAD) for _ in range(1500)))
        bodies = await asyncio.gather(*(Half().begin(port, HALF_BODY) for _ in range(100)))
        assert len(await alone(port, "ann", 3)) > 5  # each of which was answered
        assert resident_mb(pid) - before < 100
        async with asyncio.timeout(120):
            told = await asyncio.gather(*(one.until_ended() for one in (*heads, *bodies)))
        assert set(told[:1500]) == {b""}
        assert {one[9:12] for one in told[1500:]} <= {b"429", b"408"} and any(b"429" in one[:12] for one in told)
        assert len(await alone(port, "ann", 1)) > 2


async def test_two_hundred_clients_meet_no_error_and_memory_stays_flat():
    with tempfile.TemporaryDirectory() as folder, serving("ours", "http", folder) as (port, pid):
        await alone(port, "", 1)
        found = await many_clients(port, pid, "", 200, 20)
        assert found["errors"] == 0 and found["calls"] > 400
        assert found["resident_mb"]["end"] - found["resident_mb"]["warm"] < 10


async def test_beside_a_flood_every_second_call_may_be_anothers(tmp_path: Path):
    """By counts: how often sixty-four connections of one key are answered while another's calls are."""
    with serving("ours", "http", str(tmp_path), DATAMCP_TOKENS_FILE=keys(str(tmp_path), "ann", "eve")) as (port, _):
        mine, flooding, answered = await opened(port, "ann"), True, 0
        await mine.call("tasks_find", {})

        async def flood() -> None:
            nonlocal answered
            caller = await opened(port, "eve")
            while flooding:
                await caller.call("tasks_find", {})
                answered += 1
            await closed(caller)

        floods = asyncio.gather(*(flood() for _ in range(64)))
        while answered < 100:  # those that came all at once are through
            await asyncio.sleep(0.01)
        before = answered
        for _ in range(100):
            await mine.call("tasks_find", {})
        beside = answered - before
        flooding = False
        await floods
        await closed(mine)
        assert beside < 300, beside  # without turns, sixty-four for each
