"""The HTTP transports: real sockets, identity, and who is kept out."""

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.protocol.bearers import Verifiers
from mcp_server.protocol.http import HttpOptions
from mcp_server.protocol.keys import read_tokens
from tests.patience import within
from tests.ports import free_port
from tests.processes import RawClient, start

pytestmark = pytest.mark.anyio


TRANSPORTS = ["http", pytest.param("sse", marks=pytest.mark.slow)]


@asynccontextmanager
async def http_server(
    url: str, *options: str, transport: str = "http", at: str = "", **variables: str
) -> AsyncGenerator[tuple[str, RawClient]]:
    port = int(at.rpartition(":")[2]) if at else free_port()
    process = await start(url, "--transport", transport, "--port", str(port), *options, **variables)
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient() as http:
            for _ in range(1200):  # a minute, on a machine that does other things, too
                try:
                    if (await http.get(f"{base}/health")).status_code == 200:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
        yield base, process
    finally:
        if process.process.returncode is None:
            process.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.process.wait(), 60)
        process.process._transport.close()


def tokens_file(tmp_path: Path, **holders: str) -> Path:
    path = tmp_path / "tokens.toml"
    entries = []
    for token, holder in holders.items():
        kind, id_, role = holder.split(":")
        digest = hashlib.sha256(token.encode()).hexdigest()
        entries.append(f'[[tokens]]\nsha256 = "{digest}"\nkind = "{kind}"\nid = "{id_}"\nrole = "{role}"\n')
    path.write_text("".join(entries))
    return path


@pytest.mark.parametrize("era", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
async def test_streamable_http_serves_both_eras_and_ends_politely(sqlite_url: str, era: Any):
    async with http_server(sqlite_url) as (base, process):
        async with Client(f"{base}/mcp", mode=era) as client:
            result = await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1})
            assert not result.is_error
            (content,) = (await client.read_resource("ops://state/n/k")).contents
            assert json.loads(content.text)["value"] == 1
        async with httpx2.AsyncClient() as http:
            metrics = (await http.get(f"{base}/metrics")).text
        assert 'datamcp_calls_total{outcome="ok",what="state_set"} 1.0' in metrics
        assert "datamcp_events_total 1.0" in metrics
        with within(2):
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.process.wait(), 60) == 0


@pytest.mark.slow
async def test_legacy_sse_serves_the_same_desk(sqlite_url: str):
    async with http_server(sqlite_url, transport="sse") as (base, process):
        async with Client(sse_client(f"{base}/sse"), mode="legacy") as client:
            assert not (await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1})).is_error
        with within(2):
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.process.wait(), 60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_sigterm_ends_a_server_within_two_seconds_although_a_client_waits(sqlite_url: str, transport: str):
    async with http_server(sqlite_url, transport=transport) as (base, process):
        address = f"{base}/mcp" if transport == "http" else sse_client(f"{base}/sse")

        async def wait_for_events() -> None:
            async with Client(address, mode="legacy") as client:
                await client.call_tool("events_read", {"wait_seconds": 50})

        waiting = asyncio.create_task(wait_for_events())
        await asyncio.sleep(1)
        with within(2):
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.process.wait(), 60) == 0
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_request_that_claims_another_host_or_origin_is_refused(sqlite_url: str, transport: str):
    """DNS rebinding: a web page must not reach a local server."""
    path = "/mcp" if transport == "http" else "/sse"
    async with http_server(sqlite_url, transport=transport) as (base, _), httpx2.AsyncClient() as http:
        for header, value in (("host", "evil.example"), ("origin", "http://evil.example")):
            accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
            method = http.post if transport == "http" else http.get
            answer = await method(f"{base}{path}", headers=accept | {header: value})
            assert answer.status_code in (403, 421), answer.text


@pytest.mark.slow
async def test_a_client_that_comes_back_with_the_last_event_it_saw_hears_from_now_on(sqlite_url: str):
    accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    async with http_server(sqlite_url) as (base, _), httpx2.AsyncClient(headers=accept) as http:
        opened = await http.post(
            f"{base}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        )
        back = {"mcp-session-id": opened.headers["mcp-session-id"], "last-event-id": "5"}
        async with http.stream("GET", f"{base}/mcp", headers=back) as stream:
            assert stream.status_code == 200 and stream.headers["content-type"].startswith("text/event-stream")


async def test_a_token_decides_who_calls_and_no_token_lets_nobody_in(sqlite_url: str, tmp_path: Path):
    path = tokens_file(tmp_path, secret="user:ann:admin", reader="user:bob:viewer", bot="agent:agent_x:agent")
    async with http_server(sqlite_url, "--tokens-file", str(path)) as (base, _):

        @asynccontextmanager
        async def as_(token: str) -> AsyncGenerator[Client]:
            from mcp.client.streamable_http import streamable_http_client

            headers = {"authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(headers=headers) as http:
                async with Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client:
                    yield client

        write = ("state_set", {"namespace": "n", "key": "k", "value": 1})
        async with as_("secret") as client:
            assert (await client.call_tool(*write)).structured_content["document"]["author"] == "user:ann"
        async with as_("reader") as client:
            assert "state_set" not in {tool.name for tool in (await client.list_tools()).tools}
            assert (await client.call_tool(*write)).structured_content["error"]["code"] == "permission_denied"
        async with as_("bot") as client:
            error = (await client.call_tool("tasks_claim", {"agent_id": "agent_y"})).structured_content["error"]
            assert error["code"] == "permission_denied" and "agent_x" in error["message"]
        async with httpx2.AsyncClient() as http:
            for headers in ({}, {"authorization": "Bearer wrong"}):
                assert (await http.post(f"{base}/mcp", json={}, headers=headers)).status_code == 401
            assert (await http.get(f"{base}/health")).status_code == 200


@pytest.mark.slow
async def test_listening_elsewhere_without_authentication_is_refused(sqlite_url: str):
    process = await start(sqlite_url, "--transport", "http", "--host", "0.0.0.0", stderr=asyncio.subprocess.PIPE)
    _, errors = await process.process.communicate()
    assert process.process.returncode == 2
    assert b"Refusing to listen on 0.0.0.0 without authentication" in errors and b"key create" in errors


def test_other_machines_need_a_key_to_get_in():
    with pytest.raises(ValidationFailed):
        HttpOptions("192.168.0.1", 1).require_safe_bind()
    options = HttpOptions("192.168.0.1", 1, ("desk.example.org",), Verifiers())
    options.require_safe_bind()
    assert all(map(options.hosts().admits, ("192.168.0.1:1", "desk.example.org", "localhost:1")))


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "tokens: it is missing"), ("[[tokens]]\nsha256 = 'x'", "it takes what matches"), ("not toml", "not valid")],
)
def test_a_token_file_that_makes_no_sense_is_told(tmp_path: Path, text: str, says: str):
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(ValidationFailed, match=says):
        read_tokens(path)
    with pytest.raises(ValidationFailed, match="cannot be read"):
        read_tokens(tmp_path / "none.toml")


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_body_that_is_no_strict_json_is_refused_with_the_requests_id(sqlite_url: str, transport: Any):
    body = (
        b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"state_set","arguments":'
        b'{"namespace":"n","key":"k","value":{"a":1,"a":2}}}}'
    )
    async with http_server(sqlite_url, transport=transport) as (base, _), httpx2.AsyncClient() as http:
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        path = "/mcp" if transport == "http" else "/messages/?session_id=0"
        refused = await http.post(f"{base}{path}", content=body, headers=headers)
        assert (refused.status_code, refused.json()["id"], refused.json()["error"]["code"]) == (400, 5, -32700)
        too_long = await http.post(f"{base}{path}", content=b" " * (5 << 20), headers=headers)
        assert too_long.status_code >= 400
