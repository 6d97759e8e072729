"""The proxy in front of replicas: where it leads, what it waits for, and what it says of that."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.integrations.processes import proxy as proxies
from mcp_server.integrations.processes.dialogue import Dialogue
from mcp_server.integrations.processes.proxy import Proxy
from tests.ports import free_port

pytestmark = pytest.mark.anyio
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
WHOLE = [
    (GET, OK),
    (GET, CHUNKED),
    (GET, b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    (GET, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK),
    (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
    (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", OK),
]


def said(question: bytes, answer: list[bytes]) -> list[bool]:
    """After each part of an answer, whether nothing is under way."""
    dialogue = Dialogue()
    dialogue.ask(question)
    told = [dialogue.is_idle]
    for part in answer:
        dialogue.answer(part)
        told.append(dialogue.is_idle)
    return told


@given(st.sampled_from(WHOLE), st.lists(st.integers(1, 120), max_size=8))
def test_an_answer_is_whole_with_its_last_byte_and_not_before_however_it_arrives(
    spoken: tuple[bytes, bytes], cuts: list[int]
):
    question, answer = spoken
    places = sorted({min(cut, len(answer)) for cut in cuts} | {0, len(answer)})
    parts = [answer[start:end] for start, end in itertools.pairwise(places)]
    told = said(question, parts)
    assert told == [False] * len(parts) + [True]


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"frame"],
        [b"HTTP/1.1 200 OK\r\n\r\nuntil it closes"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmore than two"],
        [b"220 mail.example.org ESMTP\r\n\r\n"],
        [OK, b"what nobody asked for"],
        [b"x" * 70_000],
    ],
)
def test_what_cannot_be_told_to_be_whole_is_never_taken_for_that(parts: list[bytes]):
    assert said(GET, parts)[-1] is False
    dialogue = Dialogue()
    dialogue.ask(b"\x16\x03\x01 not HTTP")
    assert not dialogue.is_idle


def test_a_second_request_before_the_first_is_answered_stays_with_its_replica():
    dialogue = Dialogue()
    dialogue.ask(GET)
    dialogue.ask(GET)
    dialogue.answer(OK)
    assert not dialogue.is_idle


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=20))
def test_no_bytes_make_it_fail(spoken: list[tuple[bool, bytes]]):
    dialogue = Dialogue()
    for is_answer, data in spoken:
        (dialogue.answer if is_answer else dialogue.ask)(data)


class Replica:
    """Answers each request with its name; while it is held, it says only the beginning."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go = asyncio.Event()
        self.go.set()
        self.asked = asyncio.Event()
        self.status = 200

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.set()
                length = len(self.name)
                writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: {length}\r\n\r\n{self.name[0]}".encode())
                await self.go.wait()
                writer.write(self.name[1:].encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


class Bench:
    """A proxy in the test's own loop."""

    def __init__(self, folder: Path) -> None:
        self.routes = folder / "p.routes"
        self.ending = asyncio.Event()
        self.proxy = Proxy(self.routes, folder / "p.status")
        self.status = folder / "p.status"

    async def lead(self, *ports: int, release: str = "r", health: Any = None) -> None:
        self.routes.write_text(json.dumps({"release": release, "ports": list(ports), "health": health}))
        await self.says(lambda told: (told["release"], told["ports"]) == (release, sorted(ports)))

    async def says(self, is_so: Any) -> None:
        async with asyncio.timeout(60):
            while not self.status.exists() or not is_so(json.loads(self.status.read_text())):
                await asyncio.sleep(0.01)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, connection: Any = None) -> str:
        reader, writer = connection or await self.connect()
        writer.write(GET)
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.partition(b"Length: ")[2].split(b"\r\n")[0]))
        if connection is None:
            writer.close()
        return body.decode()


@asynccontextmanager
async def bench(folder: Path) -> AsyncGenerator[Bench]:
    made = Bench(folder)
    made.port = free_port()
    running = asyncio.create_task(made.proxy.run("127.0.0.1", made.port, made.ending))
    await made.says(bool)
    try:
        yield made
    finally:
        made.ending.set()
        async with asyncio.timeout(60):
            await running


async def test_a_connection_that_is_kept_goes_on_with_the_new_release_and_what_is_under_way_with_the_old(
    tmp_path: Path,
):
    old, new = Replica("old"), Replica("new")
    async with bench(tmp_path) as one:
        before, after = await old.open(), await new.open()
        await one.lead(before)
        kept, slow = await one.connect(), await one.connect()
        assert await one.ask(kept) == "old"
        old.go.clear()
        old.asked.clear()
        under_way = asyncio.create_task(one.ask(slow))
        await old.asked.wait()
        await one.lead(after, release="s")
        await one.says(lambda told: told["left"] == {str(before): 1})
        assert await one.ask(kept) == "new" and await one.ask() == "new"
        old.go.set()
        assert await under_way == "old"
        await one.says(lambda told: told["left"] == {})
        old.close()
        assert await one.ask(slow) == "new", "the same connection"
        for _, writer in (kept, slow):
            writer.close()
        new.close()


async def test_a_connection_waits_until_a_replica_takes_it(tmp_path: Path):
    late = Replica("late")
    async with bench(tmp_path) as one:
        asked = asyncio.create_task(one.ask())
        await asyncio.sleep(0.1)
        assert not asked.done()
        await one.lead(await late.open())
        assert await asked == "late"
        late.close()


async def test_a_replica_that_takes_no_connection_is_passed_over(tmp_path: Path):
    gone, well = Replica("gone"), Replica("well")
    async with bench(tmp_path) as one:
        ports = await gone.open(), await well.open()
        await one.lead(*ports)
        assert {await one.ask() for _ in range(4)} == {"gone", "well"}
        gone.close()
        assert {await one.ask() for _ in range(6)} == {"well"}
        well.close()


async def test_what_does_not_answer_as_it_should_is_asked_last_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(proxies, "HEALTH_SECONDS", 0.05)
    ill, well = Replica("ill"), Replica("well")
    async with bench(tmp_path) as one:
        await one.lead(await ill.open(), await well.open(), health={"path": "/", "status": 200})
        ill.status = 503
        async with asyncio.timeout(60):
            while {await one.ask() for _ in range(6)} != {"well"}:
                await asyncio.sleep(0.02)
        ill.status = 200
        async with asyncio.timeout(60):
            while {await one.ask() for _ in range(6)} != {"ill", "well"}:
                await asyncio.sleep(0.02)
        ill.close()
        well.close()


async def test_a_client_that_goes_away_leaves_nothing_open(tmp_path: Path):
    replica = Replica("here")
    async with bench(tmp_path) as one:
        await one.lead(await replica.open())
        replica.go.clear()
        _, writer = await one.connect()
        writer.write(GET)
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await one.lead(release="s")
        replica.go.set()
        await one.says(lambda told: told["left"] == {})
        replica.close()
