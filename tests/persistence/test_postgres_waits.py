"""How often a transaction waits for PostgreSQL, and that what is asked together sees what came while it waited."""

import asyncio
import threading

import psycopg
import pytest

from benchmarks.floor import Tape, noting
from mcp_server.domain.tasks import creation
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction
from mcp_server.persistence.postgres.session import PostgresSession
from tests.world import open_world

pytestmark = pytest.mark.anyio
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def waits(tape: Tape) -> int:
    """How often who asked had to wait: for the commit, and for what is fetched, unless it had been asked by the time of
    an earlier fetch, which brings all that was asked."""
    asked = answered = count = 0
    for what, cursor, *_ in tape.steps:
        asked = cursor if what == "ask" else asked
        if what == "end pipeline" or (what.startswith("fetch") and cursor > answered):
            answered, count = asked, count + 1
    return count


async def test_a_claim_waits_for_the_server_three_times_and_its_finish_twice(postgres_url: str):
    tapes: list[Tape] = []
    with noting(PostgresSession, "_connected", tapes):
        async with open_world(postgres_url) as world:
            agent = await world.agent()
            await world.tasks({}, {})
            await world.finish(await world.claim_one(agent))
            _forget(tapes)
            claimed = await world.claim_one(agent)
            claiming = sum(map(waits, tapes))
            _forget(tapes)
            await world.finish(claimed)
            finishing = sum(map(waits, tapes))
    assert (claiming, finishing) == (3, 2)


def _forget(tapes: list[Tape]) -> None:
    for tape in tapes:
        tape.steps.clear()


async def test_who_comes_to_wait_for_a_task_while_its_finish_waits_for_the_lock_is_released(postgres_url: str):
    async with open_world(postgres_url) as world, open_world(postgres_url) as other:
        agent = await world.agent()
        await world.task(title="parent")
        claimed = await world.claim_one(agent)
        has_locked, may_commit = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        child = CreateTasks.model_validate({"tasks": [{"title": "child", "depends_on": [claimed.task.id]}]})

        def slowly(tx: Transaction, origin: Origin) -> None:
            creation.create(tx, origin, child)
            loop.call_soon_threadsafe(has_locked.set)
            may_commit.wait()

        creating = asyncio.create_task(other.database.write(slowly, other.desk.context.origin(other.call)))
        await has_locked.wait()
        finishing = asyncio.create_task(world.finish(claimed))
        try:
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                while connection.execute(BLOCKED).fetchone() == (0,):
                    await asyncio.sleep(0.01)
        finally:
            may_commit.set()
        await creating
        finished = await finishing
        assert len(finished.released or []) == 1
