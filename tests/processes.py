"""Real server processes, and a raw JSON-RPC client for them: no SDK between the test and the wire."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


class RawClient:
    """Speaks JSON lines with a server process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._id = 0

    async def send(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        await self.process.stdin.drain()

    async def receive(self, seconds: float | None = 60) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), seconds)
        if not line:
            raise EOFError("the server closed its output")
        return json.loads(line)

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._id += 1
        await self.send(id=self._id, method=method, params=params)
        while (answer := await self.receive()).get("id") != self._id:
            pass
        return answer

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await self.request("tools/call", {"name": tool, "arguments": arguments})
        return answer["result"]["structuredContent"]

    async def initialize(self) -> None:
        await self.request("initialize", INITIALIZE)
        await self.send(method="notifications/initialized")


async def start(
    url: str, *options: str, stderr: int | None = asyncio.subprocess.DEVNULL, **variables: str
) -> RawClient:
    """A server process on a database; `variables` are set as `DATAMCP_...`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATAMCP_")}
    environment |= {f"DATAMCP_{name.upper()}": value for name, value in variables.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_server", "--database", url, *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        limit=64 * 1024 * 1024,
        env=environment,
    )
    return RawClient(process)


@asynccontextmanager
async def server(
    url: str, *options: str, stderr: int | None = asyncio.subprocess.DEVNULL, **variables: str
) -> AsyncGenerator[RawClient]:
    """A server process with a finished handshake; ended by closing its input."""
    client = await start(url, *options, stderr=stderr, **variables)
    try:
        await client.initialize()
        yield client
    finally:
        if client.process.returncode is None:
            assert client.process.stdin is not None
            client.process.stdin.close()
            await asyncio.wait_for(client.process.wait(), 60)
        client.process._transport.close()
