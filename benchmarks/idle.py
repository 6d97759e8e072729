"""How often an idle server wakes: nobody writes, and nothing is due. Linux only.

    python -m benchmarks.idle [--seconds 60] [--subscribers 20] [--url postgresql://...]

Counted is how often the system gave a processor to one of the server's threads, and for how long.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.sse import sse_client

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
SETTLE_SECONDS = 4.0
WAKES_PER_MINUTE_AIM = 30


def uri(number: int) -> str:
    """What one subscriber listens to."""
    return f"ops://state/bench/{number}"


def wakes(pid: int) -> int:
    """How often the threads of a process were given a processor."""
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(count) for text in statuses for count in re.findall(r"ctxt_switches:\s+(\d+)", text))


def processor_seconds(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def on_stdio(url: str, subscribers: int) -> AsyncGenerator[int]:
    """A server on stdio with streams open; its process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "--database", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    asked: list[dict[str, Any]] = [{"id": 0, "method": "server/discover", "params": {"_meta": META}}]
    for number in range(1, subscribers + 1):
        wanted = {"notifications": {"resourceSubscriptions": [uri(number)]}, "_meta": META}
        asked.append({"id": number, "method": "subscriptions/listen", "params": wanted})
    for one in asked:
        process.stdin.write(json.dumps({"jsonrpc": "2.0"} | one).encode() + b"\n")
        await process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def on_http(url: str, subscribers: int, transport: str) -> AsyncGenerator[int]:
    """A server over HTTP with streams open; its process id."""
    port = await _free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "--database", url, "--transport", transport, "--port", str(port)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        await _until_it_serves(base)
        async with contextlib.AsyncExitStack() as stack:
            for number in range(1, subscribers + 1):
                await _subscribe(stack, base, number, transport)
            yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _subscribe(stack: contextlib.AsyncExitStack, base: str, number: int, transport: str) -> None:
    if transport == "sse":
        client = await stack.enter_async_context(Client(sse_client(f"{base}/sse"), mode="legacy"))
        await client.subscribe_resource(uri(number))
    else:
        client = await stack.enter_async_context(Client(f"{base}/mcp"))
        await stack.enter_async_context(client.listen(resource_subscriptions=[uri(number)]))


async def _free_port() -> int:
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    return port


async def _until_it_serves(base: str) -> None:
    async with httpx2.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(f"{base}/health")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def measure(url: str, transport: str, subscribers: int, seconds: float) -> float:
    """Wakes a minute of one server; prints them."""
    serving = on_stdio(url, subscribers) if transport == "stdio" else on_http(url, subscribers, transport)
    async with serving as pid:
        await asyncio.sleep(SETTLE_SECONDS)
        before, used = wakes(pid), processor_seconds(pid)
        await asyncio.sleep(seconds)
        per_minute = (wakes(pid) - before) * 60 / seconds
        share = (processor_seconds(pid) - used) / seconds
    print(f"{transport:6} {subscribers:3} subscribers: {per_minute:7.0f} wakes a minute, {share:.2%} of a processor")
    return per_minute


async def all_of_them(options: argparse.Namespace) -> bool:
    """Every transport without and with subscribers; whether all stayed within the aim."""
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/desk.db"
        seen = [
            await measure(url, transport, subscribers, options.seconds)
            for transport in ("stdio", "http", "sse")
            for subscribers in (0, options.subscribers)
        ]
    return max(seen) <= WAKES_PER_MINUTE_AIM


def main() -> int:
    """Measure and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--url", help="a database; a temporary SQLite file by default")
    return 0 if asyncio.run(all_of_them(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
