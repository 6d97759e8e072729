"""How a server over HTTP ends, and what half-open clients cost it."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client

from tests.faults.test_mail_processes import smtp
from tests.integrations.smtp_servers import breaking_server
from tests.patience import within
from tests.ports import free_port
from tests.processes import INITIALIZE
from tests.protocol.test_http import http_server

pytestmark = pytest.mark.anyio
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HALF_HEAD, HALF_BODY = (
    b"POST /mcp HTTP/1.1\r\nHo",
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 9\r\n\r\n{",
)


def client_of(base: str, transport: str, era: Any = "legacy") -> Client:
    return Client(f"{base}/mcp", mode=era) if transport == "http" else Client(sse_client(f"{base}/sse"), mode="legacy")


@asynccontextmanager
async def open_streams(base: str, transport: str) -> AsyncGenerator[list[asyncio.Task[bytes]]]:
    """Streams that no message comes on; each ends with what was said."""

    async def heard(http: httpx2.AsyncClient, path: str, headers: dict[str, str], opened: asyncio.Event) -> bytes:
        said = b""
        async with http.stream("GET", base + path, headers=headers) as answer:
            opened.set()
            async for piece in answer.aiter_raw():
                said += piece
        return said

    async with httpx2.AsyncClient(headers=ACCEPT, timeout=60) as http:
        headers: dict[str, str] = {}
        if transport == "http":
            hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
            headers = {"mcp-session-id": (await http.post(f"{base}/mcp", json=hello)).headers["mcp-session-id"]}
        opened = asyncio.Event()
        streams = [asyncio.create_task(heard(http, "/mcp" if headers else "/sse", headers, opened))]
        await opened.wait()
        yield streams
        await asyncio.gather(*streams, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_what_a_server_held_is_free_at_once_when_it_ends(sqlite_url: str, transport: str, how: signal.Signals):
    async with breaking_server(DATA="stall") as (mailbox, port):
        async with http_server(sqlite_url, transport=transport, **smtp(port)) as (base, server):
            async with client_of(base, transport) as client:
                mail = {"to": ["a@example.org"], "subject": "s", "text": "t"}
                await client.call_tool("email_send", mail)
                while not mailbox.connections:
                    await asyncio.sleep(0.05)
            with within(2):
                server.process.send_signal(how)
                assert await asyncio.wait_for(server.process.wait(), 60) == 0
        async with http_server(sqlite_url, transport=transport, **smtp(port)) as _:
            with within(20):  # the lease itself would last half a minute
                while mailbox.connections < 2:
                    await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_streams_are_ended_by_a_server_that_ends(sqlite_url: str, transport: str):
    async with http_server(sqlite_url, transport=transport) as (base, server):
        async with open_streams(base, transport) as streams:
            with within(1):
                server.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    await asyncio.gather(*streams)  # a stream that is cut off raises
                assert await server.process.wait() == 0


@pytest.mark.slow
async def test_a_subscription_is_answered_by_a_server_that_ends(sqlite_url: str):
    async with http_server(sqlite_url) as (base, server), httpx2.AsyncClient(headers=ACCEPT, timeout=60) as http:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        wanted = {"notifications": {"resourceSubscriptions": ["ops://tasks"]}, "_meta": meta}
        listen = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": wanted}
        era = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
        said = b""
        async with http.stream("POST", f"{base}/mcp", json=listen, headers=era) as stream:
            async for piece in stream.aiter_raw():
                if b"acknowledged" in piece:
                    server.process.send_signal(signal.SIGTERM)
                said += piece
        assert json.loads(said.rsplit(b"data: ", 1)[1])["id"] == 7
        assert await asyncio.wait_for(server.process.wait(), 60) == 0


@contextmanager
def few_files(folder: Path, files: int) -> Generator[tuple[int, "subprocess.Popen[bytes]", Path]]:
    """A server that may open so many files: its port, process and log."""
    port, log = free_port(), folder / "log"
    options = f"--database sqlite:///{folder / 'x.db'} --transport http --port {port}"
    command = f"ulimit -n {files}; exec {sys.executable} -m mcp_server {options}"
    with log.open("wb") as errors, subprocess.Popen(["sh", "-c", command], stderr=errors) as process:
        try:
            yield port, process, log
        finally:
            process.terminate()


async def health(port: int, seconds: float) -> bool:
    """Whether the server says that it is well within so many seconds."""
    ends = time.monotonic() + seconds
    async with httpx2.AsyncClient() as http:
        while time.monotonic() < ends:
            with contextlib.suppress(httpx2.TransportError):
                if (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                    return True
            await asyncio.sleep(0.1)
    return False


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
async def test_clients_that_say_half_of_it_cost_a_server_with_few_files_nothing_and_are_ended(tmp_path: Path):
    with few_files(tmp_path, 64) as (port, process, log):
        assert await health(port, 20)
        before = processor_seconds(process.pid)
        half = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for number, one in enumerate(half):
            with contextlib.suppress(ConnectionError):
                one.sendall(HALF_HEAD if number % 2 else HALF_BODY % port)
        await asyncio.sleep(4)
        assert processor_seconds(process.pid) - before < 1
        assert await health(port, 40)
        assert log.stat().st_size < 20_000
        for one in half:
            one.close()


@pytest.mark.slow
async def test_half_requests_of_many_clients_are_ended(sqlite_url: str):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        async with http_server(sqlite_url) as (base, _):
            port = int(base.rsplit(":", 1)[1])
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1500)]
            for _, writer in opened:
                writer.write(HALF_HEAD)
            assert await health(port, 2)  # meanwhile
            async with asyncio.timeout(60):
                assert {await reader.read() for reader, _ in opened} == {b""}
            for _, writer in opened:
                writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
