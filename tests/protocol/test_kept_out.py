"""Wrong keys: counted, logged without the key, slowed; and what a stranger is told of the server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from starlette.types import Message, Receive, Scope, Send

from mcp_server.app import open_app
from mcp_server.commands.serve import http_app
from mcp_server.config import load_settings
from mcp_server.domain.desk import Desk
from mcp_server.domain.people.commands import AddUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.people.secrets import sha256_of
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import Busy
from mcp_server.protocol import kept_out
from mcp_server.protocol.kept_out import KeptOut, note
from tests.protocol.test_http import tokens_file
from tests.world import on_file

pytestmark = pytest.mark.anyio
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Lock:
    """What looks at keys, with time that passes only as it is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.counted: list[str] = []
        self.door = KeptOut(self, self.counted.append, lambda: self.now, self._sleep)
        self.hold: asyncio.Event | None = None

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        if self.hold is not None:
            await self.hold.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        status = 200 if key == b"Bearer right" else 401
        if key not in (None, b"Bearer right", b"Basic x"):
            note("expired" if key == b"Bearer old" else "unknown")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, key: str | None, address: str = "192.0.2.1") -> tuple[int, bool]:
        """The status; and whether the connection is ended."""
        headers = [] if key is None else [(b"authorization", key.encode())]
        scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": (address, 1)}
        started: list[Message] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)

        receive: Any = None
        await self.door(scope, receive, send)
        return started[0]["status"], (b"connection", b"close") in started[0]["headers"]


async def test_a_wrong_key_is_answered_the_later_the_more_often_and_a_right_one_from_there_at_once():
    lock = Lock()
    for _ in range(7):
        assert (await lock.ask("Bearer wrong"))[0] == 401
        before = len(lock.slept)
        assert (await lock.ask("Bearer right"))[0] == 200 and (await lock.ask(None))[0] == 401
        assert len(lock.slept) == before
    assert lock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    assert lock.counted.count("unknown") == lock.counted.count("missing") == 7
    await lock.ask("Basic x", "192.0.2.2")
    assert (lock.slept[-1], lock.counted[-1]) == (0.1, "malformed")
    lock.now = kept_out.FORGOTTEN_SECONDS + 1
    await lock.ask("Bearer wrong")
    assert lock.slept[-1] == 0.1


async def test_who_brings_what_was_right_once_is_told_at_once_and_counted():
    lock = Lock()
    for _ in range(9):
        assert await lock.ask("Bearer old") == (401, False)
    assert lock.slept == [] and lock.counted == ["expired"] * 9


async def test_one_network_of_ipv6_is_one_address_and_two_are_two():
    lock = Lock()
    for address in ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1", "::ffff:192.0.2.7", "::ffff:192.0.2.8", "unix"):
        await lock.ask("Bearer wrong", address)
    assert lock.slept == [0.1, 0.2, 0.1, 0.1, 0.1, 0.1]


async def test_however_many_addresses_fail_few_are_remembered_and_few_answers_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_out, "ADDRESSES_MAX", 5)
    monkeypatch.setattr(kept_out, "LATE_MAX", 3)
    lock = Lock()
    for number in range(100):
        await lock.ask("Bearer wrong", f"192.0.2.{number}")
    assert len(lock.door._known) == 5
    lock.hold = asyncio.Event()
    waiting = [asyncio.create_task(lock.ask("Bearer wrong")) for _ in range(3)]
    await asyncio.sleep(0)
    assert await lock.ask("Bearer wrong") == (401, True)  # at once, and then the connection ends
    lock.hold.set()
    assert await asyncio.gather(*waiting) == [(401, False)] * 3
    lock.hold = None
    gone = asyncio.create_task(lock.ask("Bearer wrong"))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert lock.door._late == 0


@asynccontextmanager
async def server(tmp_path: Path, **flags: object) -> AsyncGenerator[tuple[httpx2.AsyncClient, Desk]]:
    settings = load_settings(database=on_file(tmp_path / "desk.db"), transport="http", **flags)
    async with open_app(settings) as app:
        asgi = http_app(app)
        async with (
            asgi.router.lifespan_context(asgi),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=asgi),
                base_url="http://127.0.0.1:8765",
                headers={"accept": "application/json, text/event-stream"},
            ) as client,
        ):
            yield client, app.desk


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_failures_are_counted_by_reason_and_logged_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_out, "FIRST_SECONDS", 0.001)
    keys = str(tokens_file(tmp_path, right="user:ann:admin"))
    async with server(tmp_path, tokens_file=keys) as (client, _):
        with structlog.testing.capture_logs() as logged:
            for _ in range(5):
                assert (await client.post("/mcp", json=PING, headers=bearer("s3cret"))).status_code == 401
            assert (await client.post("/mcp", json=PING)).status_code == 401
            assert (await client.get("/health", headers=bearer("s3cret"))).status_code == 200  # counted all the same
        told = [entry for entry in logged if entry["event"] == "a key was refused"]
        assert [entry["times"] for entry in told] == [1, 2, 4] and "s3cret" not in str(logged)
        assert {(entry["reason"], entry["address"]) for entry in told} == {("unknown", "127.0.0.1")}
        metrics = (await client.get("/metrics", headers=bearer("right"))).text
        assert 'datamcp_auth_failures_total{reason="unknown"} 6.0' in metrics
        assert 'datamcp_auth_failures_total{reason="missing"} 1.0' in metrics


async def test_a_right_key_is_answered_while_wrong_ones_from_the_same_address_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_out, "FIRST_SECONDS", 60)
    monkeypatch.setattr(kept_out, "SECONDS_MAX", 60)
    keys = str(tokens_file(tmp_path, right="user:ann:admin"))
    async with server(tmp_path, tokens_file=keys) as (client, _):
        wrong = [asyncio.create_task(client.get("/metrics", headers=bearer("wrong"))) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert (await client.get("/metrics", headers=bearer("right"))).status_code == 200
        assert not any(one.done() for one in wrong), "they began to wait before"
        for one in wrong:
            one.cancel()
        await asyncio.gather(*wrong, return_exceptions=True)


async def test_where_there_are_keys_a_stranger_is_told_only_whether_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_out, "FIRST_SECONDS", 0)
    keys = str(tokens_file(tmp_path, right="user:ann:viewer"))
    async with server(tmp_path, tokens_file=keys) as (client, desk):
        for headers in ({}, bearer("wrong")):
            health = await client.get("/health", headers=headers)
            assert (health.status_code, health.json()) == (200, {"ok": True})
            assert (await client.get("/metrics", headers=headers)).status_code == 401
        assert {"ok", "version", "loops"} <= (await client.get("/health", headers=bearer("right"))).json().keys()
        assert b"datamcp_" in (await client.get("/metrics", headers=bearer("right"))).content
        desk.loops.hold("something-inside", Busy("It is busy."))
        failing = await client.get("/health")
        assert (failing.status_code, failing.json()) == (503, {"ok": False})
        assert (await client.get("/health", headers=bearer("right"))).json()["loops"] == ["something-inside"]


async def test_a_key_of_other_toolsets_is_not_told_what_all_calls_count(tmp_path: Path):
    async with server(tmp_path, tokens_file=str(tokens_file(tmp_path, right="user:ann:admin"))) as (client, desk):
        people = desk.get(PeopleService)
        await people.add_user(SYSTEM_CALL, AddUser(name="bob"))
        for text, toolsets, status in (("tasks", ("tasks",), 403), ("system", ("tasks", "system"), 200)):
            narrow = CreateKey(kind="user", holder="bob", name=text, toolsets=toolsets)
            await people.create_key(SYSTEM_CALL, narrow, sha256_of(text))
            answer = await client.get("/metrics", headers=bearer(text))
            assert (answer.status_code, b"datamcp_" in answer.content) == (status, status == 200)


async def test_without_keys_only_this_machine_gets_in_and_is_told_all(tmp_path: Path):
    with structlog.testing.capture_logs() as logged:
        async with server(tmp_path, role="operator") as (client, _):
            assert {"ok", "version", "loops"} <= (await client.get("/health")).json().keys()
            assert (await client.get("/metrics")).status_code == 200
    told = [entry for entry in logged if entry["event"].startswith("no keys: every program on this machine")]
    assert [(entry["user"], entry["role"], entry["log_level"]) for entry in told] == [("local", "operator", "warning")]
