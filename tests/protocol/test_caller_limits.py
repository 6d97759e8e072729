"""Limits of a caller over HTTP, as its clients meet them; and that nothing stays counted, however they end."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_server.app import App, open_app
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from mcp_server.kernel.limits import Caller, Thing
from mcp_server.protocol.sessions import Sessions
from tests.protocol.test_http import tokens_file
from tests.web import served
from tests.world import on_file

pytestmark = pytest.mark.anyio
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
SET = ("state_set", {"namespace": "n", "key": "k", "value": 1})
WAIT = ("events_read", {"type": "task.created", "wait_seconds": 50})


def request(method: str, params: dict[str, Any], key: str) -> tuple[dict[str, str], bytes]:
    """A request of the 2026 era: its headers and its body."""
    name = {"mcp-name": params["name"]} if "name" in params else {}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "authorization": f"Bearer {key}"} | name
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params | {"_meta": META}}
    return ACCEPT | headers, json.dumps(body).encode()


class Server:
    """A server with keys on a real port."""

    def __init__(self, app: App, base: str, http: httpx2.AsyncClient) -> None:
        self.app = app
        self.base = base
        self.http = http

    async def call(self, tool: str, arguments: dict[str, Any], key: str = "ann") -> Any:
        """A tool's structured result; the whole response where it is not 200."""
        headers, body = request("tools/call", {"name": tool, "arguments": arguments}, key)
        answer = await self.http.post(f"{self.base}/mcp", content=body, headers=headers)
        if answer.status_code != 200:
            return answer
        text = answer.text
        whole = json.loads(text if text.startswith("{") else text.rpartition("data: ")[2])
        return whole["result"]["structuredContent"]

    async def hello(self, key: str = "ann", **headers: str) -> httpx2.Response:
        """Open a session of the era before."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
        keyed = ACCEPT | {"authorization": f"Bearer {key}"} | headers
        return await self.http.post(f"{self.base}/mcp", json=body, headers=keyed)

    def held(self) -> dict[str, int]:
        """What is counted now."""
        return {thing.value: self.app.limits.held(thing) for thing in Thing if self.app.limits.held(thing)}

    async def until(self, **held: int) -> None:
        """Until just that is counted."""
        async with asyncio.timeout(60):
            while self.held() != held:
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def wire(self) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of one's own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.base.rpartition(":")[2]))
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def server(tmp_path: Path, transport: str = "http", **flags: object) -> AsyncGenerator[Server]:
    keys = str(tokens_file(tmp_path, ann="user:ann:admin", bob="user:bob:admin", two="user:ann:viewer"))
    url = on_file(tmp_path / "desk.db")
    settings = load_settings(database=url, transport=transport, tokens_file=keys, **flags)
    async with open_app(settings) as app, served(http_app(app)) as base, httpx2.AsyncClient(timeout=60) as http:
        yield Server(app, base, http)


async def test_writes_beyond_their_rate_are_refused_with_when_to_come_again_and_reads_and_others_are_not(
    tmp_path: Path,
):
    slowly = {"limits_writes_per_second": 0.001, "limits_writes_burst": 4}
    async with server(tmp_path, **slowly) as desk:
        await desk.call(*SET)
        together = {"calls": [{"tool": "state_set", "arguments": SET[1] | {"key": key}} for key in "abc"]}
        assert len((await desk.call("commit", together))["results"]) == 3  # a commit counts its calls
        error = (await desk.call(*SET))["error"]
        assert error["code"] == "limit_exceeded" and "Come again in" in error["message"]
        assert 900 < error["details"]["retry_after_seconds"] <= 1000
        assert "document" in await desk.call("state_get", {"namespace": "n", "key": "k"})
        assert "document" in await desk.call(*SET, key="bob")


async def test_waits_and_calls_at_once_are_those_of_a_caller_however_many_keys_it_has(tmp_path: Path):
    async with server(tmp_path, limits_waits=1, limits_calls=2) as desk, asyncio.TaskGroup() as tasks:

        async def waits(key: str, so_many: int) -> "asyncio.Task[Any]":
            waiting = tasks.create_task(desk.call(*WAIT, key=key))
            while desk.app.limits.held(Thing.WAITS) < so_many:
                await asyncio.sleep(0.01)
            return waiting

        waiting = await waits("ann", 1)
        error = (await desk.call(*WAIT, key="two"))["error"]
        assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "waits")
        assert "user:ann has 1 calls that wait here, and may have 1." in error["message"]
        assert error["details"]["retry_after_seconds"] == 5
        assert "events" in await desk.call("events_read", {}, key="two")
        with desk.app.limits.holding(Thing.CALLS, Caller("user:ann")):
            error = (await desk.call("events_read", {}))["error"]
            assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "calls")
            assert "events" in await desk.call("events_read", {}, key="bob")
        waiting.cancel()
        await desk.until()
        (await waits("two", 1)).cancel()


async def test_one_session_too_many_is_refused_with_when_to_come_again(tmp_path: Path):
    async with server(tmp_path, limits_sessions=2) as desk:
        opened = [await desk.hello(), await desk.hello(key="two")]
        refused = await desk.hello()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.json()["error"]["code"] == "limit_exceeded"
        assert (await desk.hello(key="bob")).status_code == 200
        ended = {"mcp-session-id": opened[0].headers["mcp-session-id"], "authorization": "Bearer ann"}
        assert (await desk.http.delete(f"{desk.base}/mcp", headers=ACCEPT | ended)).status_code == 200
        assert (await desk.hello()).status_code == 200
        assert (await desk.hello(**{"mcp-session-id": "made up"})).status_code == 404
        assert desk.held() == {"sessions": 3}


async def test_a_session_that_does_not_begin_is_not_counted(tmp_path: Path):
    async with server(tmp_path) as desk:
        headers = ACCEPT | {"authorization": "Bearer ann"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        assert (await desk.http.post(f"{desk.base}/mcp", json=body, headers=headers)).status_code >= 400
        assert desk.held() == {}


def test_the_sdk_opens_and_ends_sessions_where_they_are_counted():
    above = Sessions.__mro__[1]
    assert {"_admit_session", "_discard_session"} <= vars(above).keys() & vars(Sessions).keys()


@pytest.mark.parametrize(
    ("transport", "clients"),
    [("http", 40), pytest.param("http", 400, marks=pytest.mark.slow), pytest.param("sse", 150, marks=pytest.mark.slow)],
)
async def test_however_clients_end_nothing_stays_counted(tmp_path: Path, transport: str, clients: int):
    """Gone in the midst of a head, a body, a call, a wait or a stream; some with an answer, most without."""
    chance = random.Random(7)
    async with server(tmp_path, transport) as desk:

        async def client() -> None:
            asked = chance.choice((SET, WAIT, WAIT, None))
            key = chance.choice(("ann", "bob", "two", "wrong"))
            if transport == "sse" and chance.random() < 0.7:
                head, body = f"GET /sse HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n", b""
            else:
                listen = {"notifications": {"resourceSubscriptions": ["ops://tasks", "ops://agents"]}}
                params = listen if asked is None else {"name": asked[0], "arguments": asked[1]}
                headers, body = request("subscriptions/listen" if asked is None else "tools/call", params, key)
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                path = "/mcp" if transport == "http" else "/messages/?session_id=0"
                head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
            whole = head.encode() + body
            async with desk.wire() as (reader, writer):
                writer.write(whole[: chance.choice((30, len(head) + 40, len(whole), len(whole), len(whole)))])
                with contextlib.suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(chance.random()):
                        await reader.read(1 if chance.random() < 0.5 else 1 << 16)
                if chance.random() < 0.3:
                    writer.transport.abort()

        await asyncio.gather(*(client() for _ in range(clients)))
        await desk.until()
