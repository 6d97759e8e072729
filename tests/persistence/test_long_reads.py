"""Reads that take a moment, the timer's among them, never stand behind all the readers' long ones."""

import asyncio

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.persistence.database import Database
from mcp_server.persistence.statements import long_statements
from tests.world import open_world

pytestmark = pytest.mark.anyio
SEARCHES = 30
SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 500000) SELECT count(*) FROM n",
    "postgres": "SELECT count(*) FROM generate_series(1, 1000000) AS n (i)",
}


def made_slow(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each search take as long as one among millions does."""
    read = database.backend.read

    async def slower(sql, parameters):
        if "text_needle" in parameters:
            await read(SLOW[database.engine], {})
        return await read(sql, parameters)

    monkeypatch.setattr(database.backend, "read", slower)


async def test_a_short_read_and_the_timer_answer_while_thirty_searches_run(url: str, monkeypatch: pytest.MonkeyPatch):
    async with open_world(url) as world:
        made_slow(world.database, monkeypatch)
        given = {"now": 0, "limit": 1, "text_needle": "x"}
        searches = [
            asyncio.create_task(world.database.fetch_all("state_find", filters=("document_text",), **given))
            for _ in range(SEARCHES)
        ]
        await asyncio.sleep(0)
        assert await world.desk.housekeeping.next_due() is None
        assert await world.desk.tasks.counts(world.call) == {}
        assert sum(search.done() for search in searches) < SEARCHES / 2
        assert await asyncio.gather(*searches) == [[]] * SEARCHES


def test_what_searches_text_counts_as_long():
    known = long_statements(AREAS.sql)
    assert {"filter.task_text", "filter.document_text", "tasks_titled"} <= known
    assert "dues" not in known
