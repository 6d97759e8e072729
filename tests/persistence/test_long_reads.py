"""Reads that take a moment, the timer's among them, never stand behind all the readers' long ones."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.state.commands import FindDocuments
from mcp_server.persistence.database import Database
from mcp_server.persistence.statements import long_statements
from mcp_server.runtime.timers import run_timer
from tests.patience import within
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
SEARCHES = 40
SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 500000) SELECT count(*) FROM n",
    "postgres": "SELECT count(*) FROM generate_series(1, 1000000) AS n (i)",
}


def made_slow(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each read for a search take as long as one among millions does."""
    read = database.backend.read

    async def slower(sql, parameters):
        if not {"text_needle", "text_trigrams"}.isdisjoint(parameters):
            await read(SLOW[database.engine], {})
        return await read(sql, parameters)

    monkeypatch.setattr(database.backend, "read", slower)


async def test_a_lease_is_handed_on_and_a_short_read_answers_while_forty_searches_run(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    async with open_world(url) as world:
        holder, next_one = await world.agent("holder"), await world.agent("next")
        await world.write("ns", "page", "abc")
        task = await world.task(retry={"max_attempts": 3, "delay_seconds": 0})
        await world.claim_one(holder, lease_seconds=1)
        made_slow(world.database, monkeypatch)
        searches = [
            asyncio.create_task(world.desk.state.find(world.call, FindDocuments(text="ab"))) for _ in range(SEARCHES)
        ]
        await asyncio.sleep(0)
        world.clock.advance(1.001)
        with within(2):
            async with running_timer(world):
                assert (await world.claim_one(next_one)).task.id == task.id
        with within(1):
            assert await world.desk.tasks.counts(world.call) == {"running": 1}
        assert sum(search.done() for search in searches) < SEARCHES / 2
        monkeypatch.undo()
        assert [[one.key for one in found.items] for found in await asyncio.gather(*searches)] == [["page"]] * SEARCHES


@asynccontextmanager
async def running_timer(world: World) -> AsyncGenerator[None]:
    """A timer that has noticed a lost lease."""
    async with world.database.feed.listen("task") as listener:
        timer = asyncio.create_task(run_timer(world.desk.housekeeping, world.database.feed, world.database.loops))
        while not any(event["type"] == "task.lease_expired" for event in await listener.wait(10)):
            pass
        yield
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)


def test_what_searches_text_counts_as_long():
    known = long_statements(AREAS.sql)
    asked = {f"filter.{kind}_{way}" for kind in ("task", "document", "email") for way in ("text", "text_indexed")}
    among = {"filter.task_text_among", "filter.email_text_among"}
    assert asked | among | {"texts_proposed", "texts_walked", "tasks_titled"} <= known


def test_nothing_that_the_timer_asks_counts_as_long():
    asked = {"dues", *(one.rows for one in AREAS.rightings), *(one.due for one in AREAS.sweeps)}
    assert asked.isdisjoint(long_statements(AREAS.sql))
