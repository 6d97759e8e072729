"""Large messages are read and checked where they keep nobody waiting."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server import _streamable_http_modern as modern

from mcp_server.protocol import bodies, large, tool_calls, wire
from tests.faults.test_stdio_ends import HELLO, META, call, piped
from tests.protocol.test_kept_out import server

pytestmark = pytest.mark.anyio
LARGE = [{"a": 1, "b": [1, 2]}] * 20_000


@pytest.fixture
def in_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done in the event loop's thread."""
    done: list[str] = []
    bodies.read_once()

    def noted(what: str, function: Any) -> Any:
        def run(*args: Any, **more: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                done.append(what)
            return function(*args, **more)

        return run

    monkeypatch.setattr(wire, "_DECODER", SimpleNamespace(decode=noted("parse", wire._DECODER.decode)))
    monkeypatch.setattr(bodies, "json", SimpleNamespace(loads=noted("the SDK's parse", json.loads), dumps=json.dumps))
    monkeypatch.setattr(tool_calls, "validated", noted("check", tool_calls.validated))
    return done


def request(value: Any, **more: Any) -> dict[str, Any]:
    params = {"name": "state_set", "arguments": {"namespace": "n", "key": "k", "value": value}}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params | more}


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_large_message_over_http_is_read_and_checked_beside_the_event_loop(
    tmp_path: Path, era: str, in_loop: list[str]
):
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "state_set"}
    async with server(tmp_path) as (client, _):
        if era == "legacy":
            hello, told = HELLO.splitlines()
            begun = await client.post("/mcp", content=hello, headers={"content-type": "application/json"})
            headers = {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
            await client.post("/mcp", content=told, headers={"content-type": "application/json"} | headers)
        more = {"_meta": META} if era == "auto" else {}
        in_loop.clear()
        answer = await client.post("/mcp", json=request(LARGE, **more), headers=headers)
        assert "bytes of JSON; at most 262144 are allowed" in answer.text
        assert in_loop == []
        answer = await client.post("/mcp", json=request("small", **more), headers=headers)
        assert '"version":1' in answer.text
        assert in_loop == ["parse", *["the SDK's parse"] * (era == "auto"), "check"]  # handing it over would cost more


def test_the_sdk_still_reads_messages_as_it_is_given_them():
    bodies.read_once()
    assert isinstance(modern.json, bodies._ReadOnce)
    assert modern.json.dumps([1]) == "[1]"


async def test_what_is_no_json_is_refused_alike_however_long_it_is(tmp_path: Path):
    async with server(tmp_path) as (client, _):
        for size in (1, 2 * large.LARGE_BYTES):
            body = b'{"jsonrpc": "2.0", "id": 7, "method": "' + b"x" * size
            answer = await client.post("/mcp", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400 and answer.json()["error"]["code"] == wire.PARSE_ERROR


def test_large_and_small_messages_over_stdio_are_answered(tmp_path: Path):
    lines = [call(n, "state_set", namespace="n", key="k", value=LARGE if n % 2 else n) for n in range(1, 5)]
    answers = piped(tmp_path, HELLO + b"".join(lines))
    assert [answers[n]["result"].get("isError", False) for n in range(1, 5)] == [True, False, True, False]
    assert {answers[n]["result"]["structuredContent"]["document"]["version"] for n in (2, 4)} == {1, 2}
