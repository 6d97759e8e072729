"""What the web server lets in, and how long."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import pytest
from mcp.shared._httpx_utils import create_mcp_http_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from mcp_server.runtime import web
from tests.web import served

pytestmark = pytest.mark.anyio
LARGE = 8 * 1024 * 1024


async def _large(_: Request) -> PlainTextResponse:
    return PlainTextResponse(b"x" * LARGE)


async def _slow(_: Request) -> StreamingResponse:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(4):
            yield b"x"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces())


APP = Starlette(routes=[Route("/large", _large), Route("/slow", _slow)])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS_MAX", 0.2)


@asynccontextmanager
async def connected(base: str) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rsplit(":", 1)[1]))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def told(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server ends the connection."""
    data = b""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                data += piece
    return data


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /la", b"GET /slow HTTP/1.1\r\nHost: a\r\n"])
async def test_a_connection_without_a_whole_request_head_is_ended(sent: bytes):
    async with served(APP) as base, connected(base) as (reader, writer):
        writer.write(sent)
        assert await told(reader) == b""


@pytest.mark.usefixtures("impatient")
async def test_a_half_head_after_an_answer_is_ended_too():
    async with served(APP) as base, connected(base) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(b"GET /slow HT")
        assert await told(reader) == b""


@pytest.mark.usefixtures("impatient")
async def test_a_request_that_takes_longer_than_its_head_may_is_answered():
    async with served(APP) as base, connected(base) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await told(reader)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n0\r\n\r\n") and b"\r\ndate: " in answer


async def test_a_head_without_an_end_is_ended_at_its_limit():
    async with served(APP) as base, connected(base) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(b"GET /slow HTTP/1.1\r\nx: " if _ == 0 else b"y" * 16_384)
                await writer.drain()
                await asyncio.sleep(0)
        assert await told(reader) == b""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("reads", [True, False])
async def test_a_large_answer_reaches_who_reads_it_slowly_and_holds_nothing_for_who_does_not(
    reads: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(web, "UNREAD_SECONDS_MAX", 60 if reads else 0.1)
    loop = asyncio.get_running_loop()
    async with served(APP) as base:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.connect(("127.0.0.1", int(base.rsplit(":", 1)[1])))
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            client.setblocking(False)
            for _ in range(10):  # longer than a head may take, and than nothing may be read, in as many turns
                await asyncio.sleep(0.05)
            got = 0
            with contextlib.suppress(ConnectionError):
                while got < LARGE and (piece := await loop.sock_recv(client, 1 << 18)):
                    got += len(piece)
            assert (got >= LARGE) is reads


async def test_a_connection_that_rests_is_let_go_by_the_sdks_client_before_the_server_ends_it():
    """Whoever asks just then would be told nothing of what became of the call."""
    async with create_mcp_http_client() as client:
        (pool,) = {transport._pool for transport in (client._transport, *client._mounts.values()) if transport}
        assert pool._keepalive_expiry < web.KEPT_SECONDS - 2
    assert web.KEPT_SECONDS < web.HEAD_SECONDS_MAX, "it is closed, and not cut off"


GET = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_however_many_hold_connections_open_who_asks_is_let_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web, "room", lambda _: (3, 10))
    async with served(APP) as base, contextlib.AsyncExitStack() as stack:
        half = [await stack.enter_async_context(connected(base)) for _ in range(3)]
        for _, writer in half:
            writer.write(b"GET /slow HT")
        await asyncio.sleep(0.05)
        async with connected(base) as (reader, writer):
            writer.write(GET)
            assert b"200 OK" in await told(reader)
        assert await told(half[0][0]) == b""  # who had been silent longest
        writer = half[1][1]
        writer.write(GET[12:])
        assert b"200 OK" in await told(half[1][0])


async def test_where_all_are_being_answered_the_next_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web, "room", lambda _: (2, 10))
    async with served(APP) as base, contextlib.AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connected(base)) for _ in range(2)]
        for _, writer in busy:
            writer.write(GET)
        await busy[1][0].readuntil(b"\r\n\r\n")
        async with connected(base) as (reader, _):
            refused = await told(reader)
        assert refused.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in refused
        assert [b"\r\n0\r\n\r\n" in await told(reader) for reader, _ in busy] == [True, True]
        async with connected(base) as (reader, writer):
            writer.write(GET)
            assert b"200 OK" in await told(reader)


async def test_what_a_target_says_of_the_host_counts_and_nothing_that_a_proxy_says_of_the_client():
    async def tell(request: Request) -> PlainTextResponse:
        assert request.client is not None
        return PlainTextResponse(f"{request.headers.getlist('host')} {request.client.host} {request.url.scheme}")

    headers = b"Host: a\r\nHost: b\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    async with served(Starlette(routes=[Route("/x", tell)])) as base:
        async with connected(base) as (reader, writer):
            writer.write(b"GET http://evil.example:81/x HTTP/1.1\r\n" + headers)
            answer = await told(reader)
        assert answer.endswith(b"['evil.example:81'] 127.0.0.1 http") and b"uvicorn" not in answer
        async with connected(base) as (reader, writer):
            writer.write(b"GET /x HTTP/1.1\r\n" + headers)
            assert (await told(reader)).endswith(b"['a', 'b'] 127.0.0.1 http")


@pytest.mark.parametrize("files", [8, 64, 256, 1024, 4096, 100_000])
def test_connections_leave_files_for_everything_else(files: int):
    connections, at_once = web.room(files)
    assert 1 <= connections <= web.CONNECTIONS_MAX and at_once >= 1
    assert files < 64 or connections + at_once + web.FILES_KEPT <= files


class Sent(asyncio.Transport):
    """A transport that notes each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.write(b"closed")


async def test_a_head_goes_out_in_one_write_with_the_body_that_follows_at_once():
    sent = Sent()
    transport = web.HeadWithBody(sent, asyncio.get_running_loop())
    transport.write(b"head ")
    transport.write(b"body")
    transport.write(b"more")
    await asyncio.sleep(0)
    assert sent.writes == [b"head body", b"more"]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_head_without_a_body_goes_out_before_anything_else_happens(ended: bool):
    sent = Sent()
    transport = web.HeadWithBody(sent, asyncio.get_running_loop())
    transport.write(b"head ")
    if ended:
        transport.close()
    await asyncio.sleep(0)
    transport.write(b"body")
    assert sent.writes == [b"head ", *([b"closed"] if ended else []), b"body"]


async def test_a_client_is_woken_once_by_a_whole_answer(monkeypatch: pytest.MonkeyPatch):
    writes: list[int] = []

    class Counted(web.HeadWithBody):
        def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(sent := Sent(), loop)
            loop.call_later(0.05, lambda: (writes.append(len(sent.writes)), transport.writelines(sent.writes)))

    monkeypatch.setattr(web, "HeadWithBody", Counted)
    async with served(APP) as base, connected(base) as (reader, writer):
        writer.write(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Not Found" in await reader.readuntil(b"Not Found")
    assert writes == [1]
