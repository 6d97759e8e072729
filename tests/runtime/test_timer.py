"""The timer does what time makes due, and survives a store that fails for a while."""

import asyncio

import pytest

from mcp_server.kernel.errors import Busy
from mcp_server.runtime import timers
from mcp_server.runtime.timers import run_timer
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_the_timer_settles_what_is_due_and_goes_on_after_a_failure(world: World, monkeypatch):
    monkeypatch.setattr(timers, "LOOK_SECONDS_MAX", 0.01)
    agent = await world.agent()
    task = await world.task(retry={"max_attempts": 3, "delay_seconds": 0})
    await world.claim_one(agent, lease_seconds=5)
    real, failures = world.desk.housekeeping.settle, [Busy("for a while")]

    async def flaky() -> None:
        if failures:
            raise failures.pop()
        await real()

    monkeypatch.setattr(type(world.desk.housekeeping), "settle", lambda self: flaky())
    async with world.database.feed.listen("task") as listener:
        timer = asyncio.create_task(run_timer(world.desk.housekeeping, world.database.feed, world.database.loops))
        await asyncio.sleep(0.05)
        assert await world.status(task) == "running"
        world.clock.advance(6)
        while not any(event["type"] == "task.lease_expired" for event in await listener.wait(10)):
            pass
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
    assert await world.status(task) == "queued"
