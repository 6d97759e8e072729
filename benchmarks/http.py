"""Calls over HTTP, beside a bare server of the same SDK, in one run and in turn: Streamable HTTP of both eras, and SSE.

    python -m benchmarks.http [--seconds 2] [--rounds 3] [--connections 1,32] [--ways modern,legacy,sse]

`get` is a read beside the bare server's echo; `set` a durable write beside its echo with one commit. Rates: above 1 is
better than the bare server. p99 and processor time of the server: above 1 is worse. On a busy machine, take many short
rounds, and believe the processor time first.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

from benchmarks.idle import processor_seconds

STARTS_WITHIN_LOOKS = 1200
"""A busy machine takes half a minute to start a server."""
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CLIENT: dict[str, Any] = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
DOCUMENT = {"namespace": "bench", "key": "k"}
WRITTEN = {"namespace": "bench", "value": {"n": "1"}}


class Wire:
    """One kept connection, and as much of HTTP/1.1 as these servers answer with."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.headers: dict[str, str] = {"host": f"127.0.0.1:{port}", "content-type": "application/json"}
        self.headers["accept"] = "application/json, text/event-stream"

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, method: str, path: str, body: bytes, **more: str) -> dict[str, str]:
        """One request; the headers of its answer, with the status as `status`."""
        head = "".join(f"{name}: {value}\r\n" for name, value in (self.headers | more).items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        answered = dict(line.lower().split(": ", 1) for line in lines)
        return answered | {"status": first.split()[1]}

    async def body(self, answered: dict[str, str]) -> bytes:
        """The whole body of an answer."""
        if "content-length" in answered:
            return await self.reader.readexactly(int(answered["content-length"]))
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncGenerator[bytes]:
        """A chunked body, piece by piece."""
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()

    async def post(self, path: str, message: dict[str, Any], **more: str) -> tuple[dict[str, str], dict[str, Any]]:
        """One message; the headers of its answer, and the answer."""
        answered = await self.send("POST", path, json.dumps({"jsonrpc": "2.0"} | message).encode(), **more)
        body = await self.body(answered)
        if answered.get("content-type", "").startswith("text/event-stream"):
            data = [line[5:] for line in body.split(b"\n") if line.startswith(b"data:") and len(line) > 8]
            body = data[-1]
        return answered, json.loads(body) if body.strip() and body.strip() != b"Accepted" else {}


class Caller:
    """One client of one way to call."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)
        self.ids = itertools.count(1)

    async def begin(self) -> None:
        """Do what comes before the first call."""
        await self.wire.open()

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call's answer."""
        params = {"name": tool, "arguments": arguments, "_meta": META}
        routing = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
        message = {"id": next(self.ids), "method": "tools/call", "params": params}
        return (await self.wire.post("/mcp", message, **routing))[1]

    def end(self) -> None:
        """Close what is open."""
        self.wire.writer.close()


class Legacy(Caller):
    """A session of the era before."""

    async def begin(self) -> None:
        """Initialize."""
        await self.wire.open()
        answered, _ = await self.wire.post("/mcp", {"id": 0, "method": "initialize", "params": CLIENT})
        self.wire.headers |= {"mcp-session-id": answered["mcp-session-id"], "mcp-protocol-version": LEGACY}
        await self.wire.post("/mcp", {"method": "notifications/initialized"})

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call's answer."""
        message = {"id": next(self.ids), "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        return (await self.wire.post("/mcp", message))[1]


class Sse(Caller):
    """The pair of a stream and posts."""

    async def begin(self) -> None:
        """Open the stream, and initialize."""
        self.stream = Wire(self.wire.port)
        await self.stream.open()
        await self.stream.send("GET", "/sse", b"")
        self.events = self.stream.chunks()
        self.path = (await self._event()).decode()
        await self.wire.open()
        await self._ask({"id": 0, "method": "initialize", "params": CLIENT})
        await self.wire.post(self.path, {"method": "notifications/initialized"})

    async def _event(self) -> bytes:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            text += await anext(self.events)
        data = [line[5:].strip() for line in text.split(b"\r\n") if line.startswith(b"data:")]
        return data[0] if data else await self._event()

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.wire.post(self.path, message)
        return json.loads(await self._event())

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call's answer."""
        params = {"name": tool, "arguments": arguments}
        return await self._ask({"id": next(self.ids), "method": "tools/call", "params": params})

    def end(self) -> None:
        """Close both."""
        super().end()
        self.stream.writer.close()


WAYS: dict[str, tuple[str, type[Caller]]] = {
    "modern": ("http", Caller),
    "legacy": ("http", Legacy),
    "sse": ("sse", Sse),
}


@contextlib.contextmanager
def serving(name: str, transport: str, folder: str, **variables: str) -> Generator[tuple[int, int]]:
    """A server process, with further variables in its environment; its port and its id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bare = [sys.executable, "-m", "benchmarks.bare_server", transport, str(port), folder]
    ours = [sys.executable, "-m", "mcp_server", "--transport", transport, "--port", str(port)]
    ours += ["--database", f"sqlite:///{folder}/bench.db"]
    environment = os.environ | {"DATAMCP_LOG_LEVEL": "error"} | variables
    process = subprocess.Popen(bare if name == "bare" else ours, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(STARTS_WITHIN_LOOKS):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


async def measured(caller: type[Caller], port: int, connections: int, tool: str, seconds: float) -> list[float]:
    """How long each call took, in seconds."""
    callers = [caller(port) for _ in range(connections)]
    took: list[float] = []
    for one in callers:
        await one.begin()
    ends = time.perf_counter() + seconds

    async def run(one: Caller, number: int) -> None:
        arguments = DOCUMENT if tool in ("echo", "state_get") else WRITTEN | {"key": f"k{number or ''}"}
        while (started := time.perf_counter()) < ends:
            answer = await one.call(tool, arguments)
            took.append(time.perf_counter() - started)
            assert not answer["result"].get("isError"), answer

    await asyncio.gather(*(run(one, number) for number, one in enumerate(callers)))
    for one in callers:
        one.end()
    return took


def compare(way: str, connections: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Both servers in turn, a read and a write."""
    transport, caller = WAYS[way]
    tools = {"bare": {"get": "echo", "set": "commit"}, "ours": {"get": "state_get", "set": "state_set"}}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    used: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(serving(name, transport, folder)) for name in tools}
        asyncio.run(measured(caller, servers["ours"][0], 1, "state_set", 0.2))
        for _ in range(rounds):
            for what, name in itertools.product(("get", "set"), tools):
                port, pid = servers[name]
                before = processor_seconds(pid)
                took = asyncio.run(measured(caller, port, connections, tools[name][what], seconds))
                p99 = sorted(took)[int(len(took) * 0.99)]
                found.setdefault((what, name), []).append((len(took) / seconds, p99 * 1000))
                used.setdefault((what, name), []).append((processor_seconds(pid) - before) * 1000 / len(took))
    result: dict[str, Any] = {}
    for what in ("get", "set"):
        (ours, p99), (bare, bare_p99) = (
            [statistics.median(column) for column in zip(*found[what, name], strict=True)] for name in ("ours", "bare")
        )
        cpu, bare_cpu = (statistics.median(used[what, name]) for name in ("ours", "bare"))
        result[what] = {
            "calls_per_second": {"bare": round(bare), "ours": round(ours)},
            "rate_ratio": round(ours / bare, 2),
            "p99_ms": {"bare": round(bare_p99, 1), "ours": round(p99, 1)},
            "p99_ratio": round(p99 / bare_p99, 2),
            "processor_ms_a_call": {"bare": round(bare_cpu, 2), "ours": round(cpu, 2)},
            "processor_ratio": round(cpu / bare_cpu, 2),
        }
    return result


def main() -> None:
    """Compare each way at each number of connections, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,32")
    parser.add_argument("--ways", default="modern,legacy,sse")
    options = parser.parse_args()
    for way, connections in itertools.product(options.ways.split(","), map(int, options.connections.split(","))):
        told = compare(way, connections, options.seconds, options.rounds)
        print(json.dumps({"way": way, "connections": connections} | told), flush=True)


if __name__ == "__main__":
    main()
