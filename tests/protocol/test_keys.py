"""Keys over HTTP: real servers, two of them on one database, and a command line beside."""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from structlog.testing import capture_logs

from mcp_server.__main__ import command_line
from mcp_server.app import open_desk
from mcp_server.config import load_settings
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.protocol.bearers import Bearer, Refused
from mcp_server.protocol.keys import KeyBearers, TokenFile
from tests.patience import within
from tests.protocol.test_http import http_server, tokens_file

pytestmark = pytest.mark.anyio


async def command(url: str, *line: str) -> dict[str, Any]:
    """Runs a command in this process, beside the servers."""

    def run() -> dict[str, Any]:
        done = CliRunner().invoke(command_line(), [*line, "--database", url, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return await asyncio.get_running_loop().run_in_executor(None, run)


@asynccontextmanager
async def client_of(base: str, token: str) -> AsyncGenerator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client:
            yield client


async def status(base: str, token: str) -> int:
    async with httpx2.AsyncClient() as http:
        return (await http.post(f"{base}/mcp", json={}, headers={"authorization": f"Bearer {token}"})).status_code


@pytest.mark.slow
async def test_a_key_that_is_revoked_lets_nobody_in_within_the_second_whichever_server(sqlite_url: str):
    await command(sqlite_url, "user", "add", "ann")
    made = await command(sqlite_url, "key", "create", "--user", "ann")
    other = await command(sqlite_url, "key", "create", "--agent", "scribe")
    async with http_server(sqlite_url) as (one, _), http_server(sqlite_url) as (two, _):
        assert await status(one, "dmcp_wrong") == 401
        async with client_of(one, made["text"]) as client:
            written = {"namespace": "n", "key": "k", "value": 1}
            done = (await client.call_tool("state_set", written)).structured_content or {}
            assert done["document"]["author"] == "user:ann"
            async with client.listen(resource_subscriptions=["ops://state/n/k"]) as stream:
                before = [await status(base, made["text"]) for base in (one, two)]
                assert 401 not in before
                await command(sqlite_url, "key", "revoke", made["key"]["id"])
                with within(1):
                    assert [await status(base, made["text"]) for base in (one, two)] == [401, 401]
                async with asyncio.timeout(60):
                    async for _ in stream:  # it ends by itself
                        pass
        assert await status(two, other["text"]) != 401


@pytest.mark.slow
async def test_a_token_that_is_taken_out_of_the_file_counts_no_more_from_the_next_request_on(
    sqlite_url: str, tmp_path: Path
):
    path = tokens_file(tmp_path, first="user:ann:viewer", second="user:bob:viewer")
    async with http_server(sqlite_url, "--tokens-file", str(path)) as (base, _):
        assert 401 not in [await status(base, token) for token in ("first", "second")]
        tokens_file(tmp_path, second="user:bob:viewer")
        os.utime(path, ns=(time.time_ns(), time.time_ns() + 1_000_000))
        assert [await status(base, token) == 401 for token in ("first", "second")] == [True, False]
        path.write_text("half a li")
        assert [await status(base, token) == 401 for token in ("first", "second")] == [True, False]


async def test_what_the_token_file_says_is_taken_over_as_it_changes(sqlite_url: str, tmp_path: Path):
    path = tokens_file(tmp_path, first="user:ann:viewer", second="user:bob:viewer")
    async with open_desk(load_settings(database=sqlite_url)) as desk:
        file = TokenFile(desk, path)
        keys = KeyBearers(desk, file)

        async def lets_in(*tokens: str) -> list[bool]:
            known = [keys.known(token) for token in tokens]
            found = [await keys.verify(token) for token in tokens]
            assert all(known is None or known == now for known, now in zip(known, found, strict=True))
            return [isinstance(now, Bearer) for now in found]

        await file.look()
        assert await lets_in("first", "second", "third") == [True, True, False]
        tokens_file(tmp_path, second="user:bob:viewer", third="agent:scribe:agent")
        os.utime(path, ns=(1, 1))
        assert await lets_in("first", "second", "third") == [False, True, True]
        path.write_text("half a li")
        assert await lets_in("first", "second", "third") == [False, True, True]
        with pytest.raises(ValidationFailed, match="not valid"):
            await file.look()
        path.unlink()
        assert await lets_in("first", "second", "third") == [False, True, True]


@pytest.mark.parametrize("token", ["", "x", "dmcp_", "é" * 100, "\udcff", "dmcp_a_" + "b" * 10_000])
async def test_what_is_no_key_is_refused_and_never_an_error(sqlite_url: str, token: str):
    async with open_desk(load_settings(database=sqlite_url)) as desk:
        assert await KeyBearers(desk).verify(token) == Refused("unknown")
        assert len(sha256_of(token)) == 64


async def test_where_the_store_cannot_be_written_the_tokens_that_are_keys_already_count(
    sqlite_url: str, tmp_path: Path
):
    path = tokens_file(tmp_path, first="user:ann:viewer")
    async with open_desk(load_settings(database=sqlite_url)) as desk:
        await TokenFile(desk, path).look()
        tokens_file(tmp_path, first="user:ann:viewer", second="user:bob:viewer")
        file = TokenFile(desk, path)
        file._is_read_only = True  # as on a file system that is mounted so
        keys = KeyBearers(desk, file)
        with capture_logs() as logged:
            assert isinstance(await keys.verify("first"), Bearer)
            assert await keys.verify("second") == Refused("unknown")
        assert [line["event"] for line in logged] == ["tokens_not_taken_over"]
