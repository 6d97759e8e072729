"""What a client over HTTP waits for is cancelled once the client is gone, in both eras."""

import asyncio
import json
import sys
from typing import Any

import pytest
from mcp.client import Client

from tests.patience import Stopwatch, passes
from tests.protocol.test_http import http_server

pytestmark = pytest.mark.anyio

CLIENT = """
import asyncio, json, sys
from mcp.client import Client

async def main():
    async with Client(sys.argv[1], mode=sys.argv[2]) as client:
        await client.call_tool(sys.argv[3], json.loads(sys.argv[4]))

asyncio.run(main())
"""


async def waiting_client(base: str, era: str, tool: str, arguments: dict[str, Any]) -> asyncio.subprocess.Process:
    """A client's process that waits for an answer."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, f"{base}/mcp", era, tool, json.dumps(arguments)),
        stderr=asyncio.subprocess.DEVNULL,
    )


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return (await client.call_tool(tool, arguments)).structured_content or {}


@pytest.mark.slow
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_client_that_is_gone_leaves_the_line_for_a_lock(sqlite_url: str, era: str):
    async with http_server(sqlite_url) as (base, _), Client(f"{base}/mcp") as client:
        await call(client, "locks_acquire", name="a", owner="holder")
        gone = await waiting_client(base, era, "locks_acquire", {"name": "a", "owner": "gone", "wait_seconds": 50})

        async def line() -> list[Any]:
            return (await call(client, "locks_find"))["locks"][0]["line"]

        while not await line():
            await asyncio.sleep(0.05)
        gone.kill()
        await gone.wait()
        watch = Stopwatch()
        while await line():
            assert watch.seconds < 3
            await asyncio.sleep(0.05)
        await call(client, "locks_release", name="a", owner="holder")
        assert "lock" in await call(client, "locks_acquire", name="a", owner="next")


@pytest.mark.slow
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_client_that_is_gone_takes_no_task_any_more(sqlite_url: str, era: str):
    async with http_server(sqlite_url) as (base, _), Client(f"{base}/mcp") as client:
        agent = (await call(client, "agents_register", name="worker"))["agent"]["id"]
        gone = await waiting_client(base, era, "tasks_claim", {"agent_id": agent, "wait_seconds": 50})
        await asyncio.sleep(2)
        gone.kill()
        await gone.wait()
        await passes(0.5)
        task = (await call(client, "tasks_create", tasks=[{"title": "t"}]))["tasks"][0]["id"]
        await asyncio.sleep(0.5)
        assert (await call(client, "tasks_find", task_id=task))["task"]["status"] == "queued"
