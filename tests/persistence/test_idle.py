"""A store that nobody writes to is left alone, and still hears at once of the first that is written."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from mcp_server.persistence import feed
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres import session
from mcp_server.persistence.postgres.session import PostgresSession
from mcp_server.persistence.sqlite.watcher import DataVersionWatcher
from tests.patience import passes
from tests.persistence.test_database import noted
from tests.persistence.test_feed_outages import heard, note, store

pytestmark = pytest.mark.anyio
FEED = "mcp_server.persistence.feed"


@asynccontextmanager
async def two(url: str) -> AsyncGenerator[tuple[Database, Database]]:
    """Two stores on one database stand for two processes."""
    async with store(url) as mine, store(url) as theirs:
        yield mine, theirs


async def watching(database: Database) -> None:
    """Until other processes are heard."""
    async with asyncio.timeout(60):
        while not database.feed._misses_nothing:
            await asyncio.sleep(0.001)


async def quiet(database: Database) -> None:
    """Until nothing more is heard of what was written before."""
    before = -1
    while before != database.feed.commits:
        before = database.feed.commits
        await passes(0.1)


@pytest.fixture
def nobody_looks(monkeypatch: Any) -> None:
    """Whatever is heard is heard of the engine."""
    monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SECONDS", 600)
    monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SELDOM_SECONDS", 600)
    monkeypatch.setattr(f"{FEED}.BREATH_SECONDS", 0.01)
    monkeypatch.setattr(session, "RESTED_SECONDS", 0.02)


@pytest.mark.usefixtures("nobody_looks")
async def test_who_rests_is_woken_by_the_first_commit_of_any_process(url: str):
    async with two(url) as (mine, theirs):
        await mine.feed.rest(asyncio.Event(), mine.feed.commits, 0.02)  # begins to watch
        await watching(mine)
        for writer in (mine, theirs, theirs):
            await quiet(mine)
            resting = asyncio.create_task(mine.feed.rest(asyncio.Event(), mine.feed.commits, 600))
            await asyncio.sleep(0.05)
            assert not resting.done()
            await writer.write(note, "n")
            async with asyncio.timeout(60):
                await resting


async def test_who_rests_where_nobody_committed_lately_is_woken_by_a_commit_at_once_and_by_nothing_before(
    url: str, monkeypatch: Any
):
    monkeypatch.setattr(f"{FEED}.BREATH_SECONDS", 0.2)
    async with two(url) as (mine, theirs):
        await mine.feed.rest(asyncio.Event(), mine.feed.commits, 0.3)  # begins to watch
        await watching(mine)
        waits: list[float] = []
        real = feed._is_set_within

        async def noted(event: asyncio.Event, seconds: float) -> bool:
            waits.append(seconds)
            return await real(event, seconds)

        monkeypatch.setattr(feed, "_is_set_within", noted)

        async def rested() -> float:
            """How long who begins to rest now does so at first, before it is woken."""
            waits.clear()
            resting = asyncio.create_task(mine.feed.rest(asyncio.Event(), mine.feed.commits, 600))
            while not waits or waits[-1] < 500:
                await asyncio.sleep(0.01)
            await theirs.write(note, "n")
            await resting
            return waits[0]

        async with asyncio.timeout(60):  # a busy machine hears late, and rests late: it is tried until it is in time
            while await rested() != 0.2:
                pass
            while await rested() != 600:
                await quiet(mine)
                await asyncio.sleep(0.25)


@pytest.mark.usefixtures("nobody_looks")
async def test_a_store_that_nobody_writes_to_is_not_read(url: str, monkeypatch: Any):
    async with two(url) as (mine, theirs), mine.feed.listen("note") as listener:
        await watching(mine)
        await theirs.write(note, "a")
        await heard(listener, "a")
        monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SECONDS", 0.01)
        read: list[str] = []
        real = mine.backend.read

        async def counted(sql: str, parameters: dict[str, Any]) -> Any:
            read.append(sql)
            return await real(sql, parameters)

        monkeypatch.setattr(mine.backend, "read", counted)
        await asyncio.sleep(0.3)
        assert len(read) <= 8  # a few looks behind what was written last
        read.clear()
        await asyncio.sleep(0.3)
        assert len(read) <= 2


@pytest.mark.usefixtures("nobody_looks")
async def test_a_writer_on_postgres_killed_before_its_hint_is_heard_all_the_same(postgres_url: str, monkeypatch: Any):
    monkeypatch.setattr(session, "RESTED_SECONDS", 0.2)
    async with two(postgres_url) as (mine, theirs), mine.feed.listen("note") as listener:
        await watching(mine)
        monkeypatch.setattr(PostgresSession, "_notify", lambda self: None)
        await asyncio.sleep(0.25)
        await theirs.write(note, "its hint goes with it")
        await heard(listener, "its hint goes with it")
        await theirs.write(note, "it owes its hint")
        await heard(listener, "it owes its hint")


async def test_what_an_older_transaction_holds_back_is_heard_at_once_and_by_who_reads_the_log_again_afterwards(
    postgres_url: str, monkeypatch: Any
):
    monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SELDOM_SECONDS", 600)
    monkeypatch.setattr(session, "RESTED_SECONDS", 0.05)
    async with two(postgres_url) as (mine, theirs), mine.feed.listen("note") as listener:
        await watching(mine)
        async with mine.feed.listen() as reader:
            with psycopg.connect(postgres_url) as older:
                older.execute("SELECT pg_current_xact_id()")
                await theirs.write(note, "held back")
                await heard(listener, "held back")
                await heard(reader, "held back")
                assert await noted(mine) == []
                assert await reader.wait(0.5) == []  # longer than hints are looked behind
            await heard(reader, "held back")
            assert await noted(mine) == ["held back"]
            assert await listener.wait(0.2) == []


async def test_what_is_let_go_just_when_it_is_asked_for_is_heard_once_more(postgres_url: str, monkeypatch: Any):
    monkeypatch.setattr(f"{FEED}.LOOK_AGAIN_SELDOM_SECONDS", 600)
    async with two(postgres_url) as (mine, theirs), mine.feed.listen() as listener:
        await watching(mine)
        older = await psycopg.AsyncConnection.connect(postgres_url)
        read_since = mine.feed._read_since

        async def let_go_meanwhile(*page: Any) -> Any:
            events = await read_since(*page)
            await older.rollback()
            return events

        await older.execute("SELECT pg_current_xact_id()")
        monkeypatch.setattr(mine.feed, "_read_since", let_go_meanwhile)
        await theirs.write(note, "held back")
        names = await heard(listener, "held back")
        while names.count("held back") < 2:  # a busy machine tells both at once
            names += await heard(listener, "held back")
        await older.close()


async def test_where_the_system_tells_nothing_of_a_write_it_is_looked_for(sqlite_url: str, monkeypatch: Any):
    monkeypatch.setattr("mcp_server.persistence.sqlite.watcher.TOLD_WITHIN_SECONDS", -1)
    silent, other_end = os.pipe()
    monkeypatch.setattr("mcp_server.persistence.sqlite.watcher._writes_to", lambda path: silent)
    async with two(sqlite_url) as (mine, theirs):
        watcher = mine.backend.open_watcher()
        assert isinstance(watcher, DataVersionWatcher) and watcher.misses_nothing
        await theirs.write(note, "a")
        while not await asyncio.to_thread(watcher.wait):
            pass
        assert not watcher.misses_nothing
        await theirs.write(note, "b")
        while not await asyncio.to_thread(watcher.wait):
            pass
        watcher.close()
        os.close(other_end)
