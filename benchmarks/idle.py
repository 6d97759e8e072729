"""How often an idle server wakes: nobody writes, and nothing is due; a bare server of the same SDK beside. Linux only.

    python -m benchmarks.idle [--seconds 60] [--subscribers 20] [--url postgresql://...]

Counted is how often the system gave a processor to one of the server's threads, and for how long. Every stream over
HTTP is sent a sign of life four times a minute, which finds out who is gone; the bare server's are, too.
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

from mcp.client import Client
from mcp.client.sse import sse_client

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
SETTLE_SECONDS = 4.0
WAKES_PER_MINUTE_AIM = 30
"""And what the bare server needs for as many streams."""


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
async def on_stdio(url: str | None, subscribers: int) -> AsyncGenerator[int]:
    """A server on stdio with streams open; its process id. Without a database, the bare one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *(["benchmarks.bare_server"] if url is None else ["mcp_server", "--database", url])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    asked: list[dict[str, Any]] = [{"id": 0, "method": "server/discover", "params": {"_meta": META}}]
    for number in range(1, subscribers + 1):
        wanted = {"notifications": {"resourceSubscriptions": [uri(number)]}, "_meta": META}
        asked.append({"id": number, "method": "subscriptions/listen", "params": wanted})
    asked.append({"id": "loaded", "method": "tools/list", "params": {"_meta": META}})  # discovery is answered before
    for one in asked:
        process.stdin.write(json.dumps({"jsonrpc": "2.0"} | one).encode() + b"\n")
        await process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def on_http(url: str | None, subscribers: int, transport: str) -> AsyncGenerator[int]:
    """A server over HTTP with streams open; its process id. Without a database, the bare one."""
    port = await _free_port()
    with tempfile.TemporaryDirectory() as folder:
        bare = ("benchmarks.bare_server", transport, str(port), folder)
        ours = ("mcp_server", "--database", str(url), "--transport", transport, "--port", str(port))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *(bare if url is None else ours)), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _until_it_serves(port)
            async with contextlib.AsyncExitStack() as stack:
                for number in range(1, subscribers + 1):
                    await _subscribe(stack, f"http://127.0.0.1:{port}", number, transport, is_bare=url is None)
                yield process.pid
        finally:
            process.terminate()
            await process.wait()


async def _subscribe(
    stack: contextlib.AsyncExitStack, base: str, number: int, transport: str, *, is_bare: bool
) -> None:
    """The bare server has nothing to subscribe to: there a client only keeps its stream open."""
    if transport == "sse" or is_bare:
        legacy = sse_client(f"{base}/sse") if transport == "sse" else f"{base}/mcp"
        client = await stack.enter_async_context(Client(legacy, mode="legacy"))
        if not is_bare:
            await client.subscribe_resource(uri(number))
    else:
        client = await stack.enter_async_context(Client(f"{base}/mcp"))
        await stack.enter_async_context(client.listen(resource_subscriptions=[uri(number)]))


async def _free_port() -> int:
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    return port


async def _until_it_serves(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)


async def measure(url: str | None, transport: str, subscribers: int, seconds: float) -> float:
    """Wakes a minute of one server; prints them."""
    serving = on_stdio(url, subscribers) if transport == "stdio" else on_http(url, subscribers, transport)
    async with serving as pid:
        await asyncio.sleep(SETTLE_SECONDS)
        before, used = wakes(pid), processor_seconds(pid)
        await asyncio.sleep(seconds)
        per_minute = (wakes(pid) - before) * 60 / seconds
        share = (processor_seconds(pid) - used) / seconds
    name = f"{'bare' if url is None else 'ours'} {transport:6} {subscribers:3} subscribers"
    print(f"{name}: {per_minute:7.0f} wakes a minute, {share:.2%} of a processor", flush=True)
    return per_minute


async def all_of_them(options: argparse.Namespace) -> bool:
    """Every transport without and with subscribers; whether all stayed within the aim."""
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/desk.db"
        over: list[float] = []
        for transport in ("stdio", "http", "sse"):
            for subscribers in (0, options.subscribers):
                streams = 0 if transport == "stdio" else subscribers
                allowed = WAKES_PER_MINUTE_AIM + await measure(None, transport, streams, options.seconds)
                over.append(await measure(url, transport, subscribers, options.seconds) - allowed)
    return max(over) <= 0


def main() -> int:
    """Measure and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--url", help="a database; a temporary SQLite file by default")
    return 0 if asyncio.run(all_of_them(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
