"""Plain calls over HTTP are answered without the SDK's way, as it would answer them; all others it answers itself."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from mcp_server.app import App, open_app
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from mcp_server.kernel.going import Going
from mcp_server.kernel.limits import Thing
from mcp_server.protocol import straight
from mcp_server.protocol.straight import Straight
from tests.patience import Stopwatch
from tests.protocol.test_caller_limits import ACCEPT, META, MODERN
from tests.web import served
from tests.world import on_file
from tools import KNOWN

pytestmark = pytest.mark.anyio
ABOUT = "io.modelcontextprotocol/"
INTERVAL = "mcp.server._streamable_http_modern._SSE_PING_INTERVAL"
FORM = {f"{ABOUT}clientCapabilities": {"elicitation": {"form": {}}}}
HANDLES = {f"{ABOUT}clientCapabilities": {"extensions": {f"{ABOUT}tasks": {}}}}
MOVES = re.compile(
    r'(?<="statusMessage": ")[^"]+|[a-z]+_[0-9a-z]{12}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|"requestState": ?"[^"]+"'
)


def call(name: str, arguments: Any, meta: Any = None, **members: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments, "_meta": META | (meta or {})}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | members


def params(**members: Any) -> dict[str, Any]:
    message = call("state_get", {"namespace": "n", "key": "k"})
    given = message["params"] | members
    return message | {"params": {name: value for name, value in given.items() if value is not ...}}


def named(name: str, **headers: str) -> dict[str, str]:
    return ACCEPT | {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": name} | headers


GET = call("state_get", {"namespace": "n", "key": "k"})
ASKS = call("approvals_request", {"title": "Sell?", "action": "Sell it.", "approvers": ["user:local"]}, FORM)
PLAIN = [
    GET,
    GET | {"id": "näme"},
    call("state_get", {"namespace": "n", "key": "k"}, {"progressToken": 7, "traceparent": "x"}),
    call("state_get", {"namespace": "n", "key": "none"}),
    call("state_get", {"namespase": "n"}),
    call("state_set", {"namespace": "n", "key": "ü/b c", "value": {"a": [1.5, None, "\u2028"]}, "expected_version": 5}),
    call("state_patch", {"namespace": "n", "key": "k", "patch": [{"op": "test", "path": "/a", "value": 2}]}),
    call("no_such_tool", {}),
    params(_meta=META | {f"{ABOUT}clientInfo": None}),
    call("tasks_find", {"limit": 3}),
    call("agents_find", {}),
    call("events_read", {"limit": 2}),
    call("tasks_create", {"tasks": [{"title": "one"}]}),
    call("approvals_decide", {"approval_id": "nothing"}, FORM),
    call("email_send", {"to": ["ann@example.org"], "subject": "s", "text": "t"}, HANDLES),
    call("email_send", {"to": ["ann@example.org"], "subject": "s", "text": "t"}),
]
OTHERS: list[tuple[dict[str, Any], dict[str, str]]] = [
    (GET, named("state_set")),
    (GET, named("=?base64?c3RhdGVfZ2V0?=")),
    (GET, named("state_get", **{"mcp-method": "tools/list"})),
    (GET, named("state_get", **{"mcp-protocol-version": "2026-01-01"})),
    (GET, named("state_get", accept="text/html")),
    (GET, named("state_get", accept="application/json")),
    (GET | {"jsonrpc": "1.0"}, named("state_get")),
    (GET | {"more": 1}, named("state_get")),
    (GET | {"params": []}, named("state_get")),
    (GET | {"method": "tools/list"}, named("state_get", **{"mcp-method": "tools/list"})),
    (GET | {"method": "nothing"}, named("state_get", **{"mcp-method": "nothing"})),
    (params(_meta=...), named("state_get")),
    (params(_meta=7), named("state_get")),
    (params(_meta=META | {f"{ABOUT}protocolVersion": "2025-11-25"}), named("state_get")),
    (params(_meta=META | {f"{ABOUT}clientInfo": {"name": 7}}), named("state_get")),
    (params(_meta=META | {f"{ABOUT}clientCapabilities": []}), named("state_get")),
    (params(_meta=META | {f"{ABOUT}logLevel": "loud"}), named("state_get")),
    (params(_meta=META | {f"{ABOUT}logLevel": "error"}), named("state_get")),
    (params(_meta=META | {"progressToken": True}), named("state_get")),
    (params(_meta=META | {f"{ABOUT}clientInfo": {"name": "x" * 5000, "version": "1"}}), named("state_get")),
    (params(_meta={name: value for name, value in META.items() if not name.endswith("Info")}), named("state_get")),
    (params(arguments="[]"), named("state_get")),
    (params(arguments='{"namespace": "n", "key": "k"}'), named("state_get")),
    (params(arguments=None), named("state_get")),
    (params(arguments=...), named("state_get")),
    (params(name=7), named("7")),
    (params(name="näme"), named("state_get")),
    (params(requestState="s"), named("state_get")),
]


class Desk:
    """A server on a port, and what of it was answered straight."""

    def __init__(self, app: App, base: str, http: httpx2.AsyncClient) -> None:
        self.app = app
        self.port = int(base.rpartition(":")[2])
        self.base = base
        self.http = http
        self.straight = 0

    async def answer(self, message: dict[str, Any], headers: dict[str, str]) -> tuple[int, str, Any]:
        """Status, type and body."""
        content = json.dumps(message).encode()
        answer = await self.http.post(f"{self.base}/mcp", content=content, headers=headers)
        told = answer.headers.get("content-type", "")
        is_json = told == "application/json" and answer.content
        return answer.status_code, told, answer.json() if is_json else answer.text

    async def plain(self, message: dict[str, Any]) -> Any:
        return (await self.answer(message, named(message["params"]["name"])))[2]


@asynccontextmanager
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Desk]:
    settings = load_settings(database=on_file(tmp_path / "desk.db"), transport="http")
    async with open_app(settings) as app, served(http_app(app)) as base, httpx2.AsyncClient(timeout=60) as http:
        desk = Desk(app, base, http)
        answered = Straight._answered

        async def counted(self: Straight, *given: Any) -> None:
            desk.straight += 1
            await answered(self, *given)

        monkeypatch.setattr(Straight, "_answered", counted)
        await desk.plain(call("state_set", {"namespace": "n", "key": "k", "value": {"a": 1, "b": "ü\u2028"}}))
        yield desk


@contextlib.contextmanager
def by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Nothing is plain meanwhile."""
    with monkeypatch.context() as patch:
        patch.setattr(straight, "plain", lambda scope, sessions: None)
        yield


def still(answer: Any) -> Any:
    """An answer without what is another one each time."""
    return json.loads(MOVES.sub(lambda found: json.dumps({"m": 1})[1:-1] if found[0][0] == '"' else "x", answer))


async def test_a_plain_call_is_answered_as_the_sdk_would_answer_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with desk(tmp_path, monkeypatch) as it:
        for number, message in enumerate(PLAIN, it.straight + 1):
            name = message["params"]["name"]
            status, kind, body = await it.answer(message, named(name))
            assert it.straight == number, message
            with by_the_sdk(monkeypatch):
                other_status, other_kind, other = await it.answer(message, named(name))
            assert (status, kind) == (other_status, other_kind)
            assert still(json.dumps(body)) == still(json.dumps(other))


async def test_a_result_that_asks_or_is_a_handle_goes_out_as_the_sdk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with desk(tmp_path, monkeypatch) as it:
        mail = {"to": ["ann@example.org"], "subject": "s", "text": "t"}
        handle = (await it.plain(call("email_send", mail, HANDLES)))["result"]
        assert handle["resultType"] == "task" and f"{ABOUT}serverInfo" in handle["_meta"]
        asked = await it.plain(ASKS)
        decide = {"approval_id": asked["result"]["structuredContent"]["approval"]["id"]}
        needed = (await it.plain(call("approvals_decide", decide, FORM)))["result"]
        assert needed["resultType"] == "input_required" and f"{ABOUT}serverInfo" in needed["_meta"]
        with by_the_sdk(monkeypatch):
            other = await it.plain(call("approvals_decide", decide, FORM))
        assert still(json.dumps(needed)) == still(json.dumps(other["result"]))
        assert it.straight == 4


async def test_whatever_is_not_plain_is_answered_by_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with desk(tmp_path, monkeypatch) as it:
        for message, headers in OTHERS:
            answer = await it.answer(message, headers)
            assert it.straight == 1, message
            with by_the_sdk(monkeypatch):
                assert await it.answer(message, headers) == answer


async def test_a_header_that_stands_twice_is_no_plain_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with desk(tmp_path, monkeypatch) as it:
        headers = [*named("state_get").items(), ("mcp-name", "state_get")]
        answer = await it.http.post(f"{it.base}/mcp", content=json.dumps(GET), headers=headers)
        assert answer.status_code == 400 and "more than once" in answer.text
        assert it.straight == 1


async def test_what_a_client_says_of_itself_is_checked_word_for_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with desk(tmp_path, monkeypatch) as it:
        for info, plain in (({"name": "t", "version": "1"}, 1), ({"name": "t", "version": 1}, 0)):
            before = it.straight
            answer = await it.plain(params(_meta=META | {f"{ABOUT}clientInfo": info}))
            assert ("result" in answer, it.straight - before) == (bool(plain), plain)


async def test_progress_and_signs_of_life_make_the_answer_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.kernel.waiting.PROGRESS_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(INTERVAL, 0.15)
    waits = {"wait_seconds": 1, "type": "task.created"}
    async with desk(tmp_path, monkeypatch) as it:
        for meta, told in (({"progressToken": "p"}, True), ({}, False)):
            message = call("events_read", waits, meta)
            status, kind, stream = await it.answer(message, named("events_read"))
            assert (status, kind) == (200, "text/event-stream")
            assert ("notifications/progress" in stream and '"progressToken":"p"' in stream) is told
            assert ": ping\r\n\r\n" in stream
            *_, last = [json.loads(line[6:]) for line in stream.split("\r\n") if line.startswith("data: ")]
            assert last["id"] == 1 and "events" in last["result"]["structuredContent"]
        assert it.straight == 3


async def test_a_call_whose_client_is_gone_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with desk(tmp_path, monkeypatch) as it:
        content = json.dumps(call("events_read", {"wait_seconds": 50, "type": "task.created"})).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in named("events_read", host="localhost").items())
        _, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(f"POST /mcp HTTP/1.1\r\n{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        async with asyncio.timeout(40):
            while not it.app.limits.held(Thing.WAITS):
                await asyncio.sleep(0.01)
            watch = Stopwatch()
            writer.close()
            while it.app.limits.held(Thing.WAITS):
                await asyncio.sleep(0.01)
        assert watch.seconds < 5 and it.straight == 2


async def test_where_spans_are_taken_the_sdk_answers_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.protocol.http.is_traced", lambda: True)
    async with desk(tmp_path, monkeypatch) as it:
        assert "result" in await it.plain(GET)
        assert it.straight == 0


LEGACY = "2025-11-25"
HELLO = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def before(name: str, arguments: Any, **members: Any) -> dict[str, Any]:
    """A call of the era before."""
    params = {"name": name, "arguments": arguments} | members
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@asynccontextmanager
async def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[tuple[Desk, dict[str, str]]]:
    """A session of the era before: its server, and what its requests say."""
    for tool in KNOWN.values():
        tool.whole()  # the first call of one that is not loaded yet is the SDK's
    async with desk(tmp_path, monkeypatch) as it:
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        opened = await it.http.post(f"{it.base}/mcp", json=hello, headers=ACCEPT)
        yield it, ACCEPT | {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}


def message_of(answer: tuple[int, str, Any]) -> tuple[int, Any]:
    """The status and the message of an answer, whatever its form."""
    status, kind, body = answer
    lines = body.split("\r\n") if kind.startswith("text/event-stream") else []
    return status, json.loads(next(line[6:] for line in lines if line.startswith("data: "))) if lines else body


async def test_a_plain_call_of_a_session_is_answered_as_the_sdk_would_answer_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with session(tmp_path, monkeypatch) as (it, headers):
        for number, call_ in enumerate(PLAIN[:7] + PLAIN[8:], it.straight + 1):
            name, arguments = call_["params"]["name"], call_["params"]["arguments"]
            if name == "approvals_decide":
                break
            message = before(name, arguments, _meta={"progressToken": 1, "other": {}}) | {"id": call_["id"]}
            answer = message_of(await it.answer(message, headers))
            assert it.straight == number, message
            with by_the_sdk(monkeypatch):
                other = message_of(await it.answer(message, headers))
            assert still(json.dumps(answer)) == still(json.dumps(other))


async def test_what_is_not_plain_in_a_session_is_answered_by_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    get = before("state_get", {"namespace": "n", "key": "k"})
    async with session(tmp_path, monkeypatch) as (it, headers):
        for message, said in (
            (get, headers | {"mcp-session-id": "none"}),
            (get, headers | {"mcp-protocol-version": "2025-06-18"}),
            (get, {name: value for name, value in headers.items() if name != "mcp-protocol-version"}),
            (before("state_get", "{}"), headers),
            (before("no_such_tool", {}), headers),
            (before("approvals_decide", {"approval_id": "nothing"}), headers),
            (before("state_get", {}, _meta={f"{ABOUT}related-task": {"taskId": "t"}}), headers),
            (before("state_get", {}, task={"ttl": 1}), headers),
            ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers),
        ):
            answer = message_of(await it.answer(message, said))
            assert it.straight == 1, message
            with by_the_sdk(monkeypatch):
                assert message_of(await it.answer(message, said)) == answer


async def test_a_call_that_its_session_cancels_is_answered_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with session(tmp_path, monkeypatch) as (it, headers):
        waits = before("events_read", {"wait_seconds": 50, "type": "task.created"}) | {"id": "7"}
        await it.plain(call("events_read", {"limit": 1}))  # loads the tool
        waiting = asyncio.create_task(it.answer(waits, headers))
        async with asyncio.timeout(40):
            while not it.app.limits.held(Thing.WAITS):
                await asyncio.sleep(0.01)
            for others, held in (({"mcp-session-id": "none"}, 1), ({}, 0)):
                told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
                await it.answer(told, headers | others)
                assert not held or it.app.limits.held(Thing.WAITS)
            _, answer = message_of(await waiting)
        assert not it.app.limits.held(Thing.WAITS)
        assert answer["error"] == {"code": -32800, "message": "Request cancelled"}


async def test_a_session_that_ends_ends_its_calls_and_one_that_is_used_rests_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with session(tmp_path, monkeypatch) as (it, headers):
        waits = before("events_read", {"wait_seconds": 50, "type": "task.created"})
        await it.plain(call("events_read", {"limit": 1}))
        waiting = asyncio.create_task(it.answer(waits, headers))
        async with asyncio.timeout(40):
            while not it.app.limits.held(Thing.WAITS):
                await asyncio.sleep(0.01)
            await it.http.delete(f"{it.base}/mcp", headers=headers)
            assert "error" in message_of(await waiting)[1]
        assert not it.app.limits.held(Thing.WAITS) and not it.app.limits.held(Thing.SESSIONS)
        assert (await it.answer(before("agents_find", {}), headers))[0] == 404


def test_the_sdk_keeps_of_a_session_what_is_asked_of_it():
    transport = StreamableHTTPServerTransport(mcp_session_id="s", idle_timeout=1)
    assert {"_requests_in_flight", "idle_scope", "is_terminated"} <= set(dir(transport))
    manager = StreamableHTTPSessionManager(Server("s"))
    assert {"_server_instances", "_session_owners", "session_idle_timeout"} <= set(dir(manager))


def test_who_comes_to_be_told_of_a_client_that_is_gone_is_told_at_once():
    going, told = Going(), list[str]()
    early, spared = (lambda: told.append("early")), (lambda: told.append("spared"))
    going.tell(early)
    going.tell(spared)
    going.spare(spared)
    going.gone()
    going.tell(lambda: told.append("late"))
    assert told == ["early", "late"]
