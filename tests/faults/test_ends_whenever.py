"""A server ends with exit code 0 within two seconds of SIGTERM, SIGINT or the end of stdin, whatever it does then."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import httpx2
import pytest

from mcp_server.persistence.sqlite.turnstile import Turnstile
from tests.faults.test_http_ends import ACCEPT, client_of
from tests.faults.test_stdio_ends import HELLO, call
from tests.patience import within
from tests.ports import free_port
from tests.protocol.test_http import http_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="what a process has set up is read from /proc"),
]
TRANSPORTS = ["stdio", "http", "sse"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@contextmanager
def loading(folder: Path, transport: str) -> Generator["Popen[bytes]"]:
    """A server that has just begun to load."""
    options = ["--database", f"sqlite:///{folder / 'x.db'}", "--transport", transport, "--port", str(free_port())]
    # Where coverage is measured, it catches the signal before the server does.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    process = Popen([sys.executable, "-m", "mcp_server", *options], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=plain)
    try:
        while not catches(process, signal.SIGTERM):
            time.sleep(0.002)
        yield process
    finally:
        process.kill()
        process.communicate()


def catches(process: "Popen[bytes]", number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


def ends(process: "Popen[bytes]", how: signal.Signals) -> None:
    """Ends it, and looks how."""
    with within(2):
        process.send_signal(how)
        assert process.wait(60) == 0


def test_a_server_that_is_still_loading_ends_at_once(tmp_path: Path):
    with loading(tmp_path, "stdio") as process:
        ends(process, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_ends_however_far_it_has_loaded(tmp_path: Path, transport: str, how: signal.Signals):
    for step in range(12):
        with loading(tmp_path, transport) as process:
            time.sleep(step * 0.12)
            ends(process, how)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_waits_for_a_database_ends(tmp_path: Path, transport: str):
    with Turnstile(tmp_path / "x.db.lock"), loading(tmp_path, transport) as process:
        time.sleep(2.5)
        ends(process, signal.SIGTERM)


@pytest.mark.slow
def test_a_server_whose_write_waits_for_its_turn_ends(tmp_path: Path):
    with loading(tmp_path, "stdio") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(HELLO + call(1, "state_set", namespace="n", key="k", value=1))
        process.stdin.flush()
        assert process.stdout.readline() and process.stdout.readline()
        with Turnstile(tmp_path / "x.db.lock"):
            process.stdin.write(call(2, "state_set", namespace="n", key="k", value=2))
            process.stdin.flush()
            time.sleep(0.5)
            ends(process, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize(("transport", "era"), [("http", "auto"), ("http", "legacy"), ("sse", "legacy")])
async def test_a_server_over_http_whose_clients_wait_ends(
    sqlite_url: str, transport: str, era: Any, how: signal.Signals
):
    async with http_server(sqlite_url, transport=transport) as (base, server):
        async with client_of(base, transport, era) as client:
            await client.call_tool("agents_register", {"name": "a"})
            waits = [
                asyncio.create_task(client.call_tool(tool, arguments | {"wait_seconds": 50}))
                for tool, arguments in (("tasks_claim", {"agent_id": "a"}), ("events_read", {"types": ["call.ended"]}))
            ]
            await asyncio.sleep(0.5)
            with within(2):
                server.process.send_signal(how)
                assert await asyncio.wait_for(server.process.wait(), 60) == 0
            await asyncio.gather(*waits, return_exceptions=True)


def deaf(base: str, request: str, body: bytes = b"") -> socket.socket:
    """A connection that has asked, and whose answer nobody reads."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = base.removeprefix("http://")
    one.connect(("127.0.0.1", int(address.rsplit(":", 1)[1])))
    one.sendall(f"{request}\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return one


def head(path: str, **headers: str) -> str:
    return "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (ACCEPT | headers).items())])


async def ask_without_reading(base: str, transport: str, era: str, http: httpx2.AsyncClient) -> list[socket.socket]:
    """Ask for far more than the system's buffers hold."""
    get = {"namespace": "n", "key": "k"}
    if transport == "sse":
        stream = deaf(base, "GET /sse HTTP/1.1")
        said = b""
        while b"/messages/" not in said or not said.endswith(b"\n\r\n"):
            said += stream.recv(1)
        path = said.rsplit(b"data: ", 1)[1].split()[0].decode()
        for line in [*HELLO.splitlines(), *(call(n, "state_get", **get) for n in range(50))]:
            assert (await http.post(base + path, content=line)).status_code == 202
        return [stream]
    if era == "auto":
        modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "state_get"}
        return [deaf(base, head("/mcp", **modern), call(n, "state_get", era, **get)) for n in range(20)]
    hello = await http.post(f"{base}/mcp", content=HELLO.splitlines()[0])
    session = {"mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    return [deaf(base, head("/mcp", **session), call(n, "state_get", **get)) for n in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize(("transport", "era"), [("http", "auto"), ("http", "legacy"), ("sse", "legacy")])
async def test_a_server_over_http_whose_clients_read_nothing_ends(
    sqlite_url: str, transport: str, era: Any, how: signal.Signals
):
    async with http_server(sqlite_url, transport=transport) as (base, server):
        async with client_of(base, transport, era) as client:
            await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": "x" * 250_000})
        async with httpx2.AsyncClient(headers=ACCEPT) as http:
            asked = await ask_without_reading(base, transport, era, http)
            await asyncio.sleep(1)
            with within(2):
                server.process.send_signal(how)
                assert await asyncio.wait_for(server.process.wait(), 60) == 0
        for one in asked:
            one.close()
