"""What a call needs is loaded beside the event loop, once, and nobody is overtaken for it."""

import asyncio
import sys
import threading
from typing import Any

import pytest

from mcp_server.kernel.authority import Permission
from mcp_server.protocol.loading import Loading
from tests.world import World
from tools import KNOWN, TOOLS, KnownTool

pytestmark = pytest.mark.anyio


async def test_calls_of_an_area_that_is_being_loaded_come_in_their_order_and_the_loop_goes_on(world: World):
    gate, order = threading.Event(), list[int]()
    threads: list[threading.Thread] = []

    def whole() -> Any:
        threads.append(threading.current_thread())
        assert gate.wait(60)

    known = KnownTool("slow", "system", Permission.STATE_READ, False, False, whole, "none_that_is_loaded")
    loading = world.desk.get(Loading)

    async def call(number: int) -> None:
        await loading.tool(known)
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(call(number))
        while not threads:
            await asyncio.sleep(0)
        assert order == []
        gate.set()
    assert order == [0, 1, 2]
    assert threading.main_thread() is not threads[0]


async def test_every_tool_is_found_by_what_is_known_of_it(world: World):
    loading = world.desk.get(Loading)
    assert [await loading.tool(KNOWN[tool.name]) for tool in TOOLS] == list(TOOLS)
    assert all(known.is_loaded for known in KNOWN.values())
    assert {f"tools.{known.module}" for known in KNOWN.values()} <= sys.modules.keys()
