"""A process that dies while it waits for a lock leaves no ghost in the line."""

import asyncio

import pytest

from tests.patience import Stopwatch
from tests.processes import server, start

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL in turn, in the slow suite."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.mark.slow
async def test_a_waiter_killed_dash_nine_is_out_of_the_line_in_about_two_seconds_and_those_behind_are_woken(url: str):
    async with server(url) as holder, server(url) as behind:
        await holder.call("locks_acquire", name="a", owner="holder", mode="shared")
        doomed = await start(url)
        await doomed.initialize()
        arguments = {"name": "a", "owner": "doomed", "wait_seconds": 50}
        await doomed.send(id=77, method="tools/call", params={"name": "locks_acquire", "arguments": arguments})
        while not (await holder.call("locks_find"))["locks"][0]["line"]:
            await asyncio.sleep(0.05)
        waiting = asyncio.create_task(
            behind.call("locks_acquire", name="a", owner="behind", mode="shared", wait_seconds=50)
        )
        while len((await holder.call("locks_find"))["locks"][0]["line"]) < 2:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)  # both are still there after longer than a waiter may be silent
        doomed.process.kill()
        killed = Stopwatch()
        await doomed.process.wait()
        granted = await waiting
        assert granted["lock"]["owner"] == "behind"
        assert killed.seconds < 4
        assert (await holder.call("locks_find"))["locks"][0]["line"] == []
        doomed.process._transport.close()
