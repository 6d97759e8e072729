"""The feed through outages: a read or a connection that fails costs a delay, and no event."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from mcp_server.kernel.errors import Busy, OpsError, Unavailable
from mcp_server.kernel.events import Event, Origin
from mcp_server.persistence.database import Database
from mcp_server.persistence.feed import Listener
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.sqlite.library import load_library
from mcp_server.persistence.transaction import Transaction
from tests.persistence.test_database import WITH_NOTES

pytestmark = pytest.mark.anyio


def note(tx: Transaction, name: str) -> str:
    tx.append(Origin(1, "user:t", "c"), Event("note.made", "note", name, 1, {"name": name}))
    return name


async def heard(listener: Listener, name: str) -> list[str]:
    """What the listener hears, up to the event of this name."""
    names: list[str] = []
    async with asyncio.timeout(60):
        while name not in names:
            names += [event["aggregate_id"] for event in await listener.wait(60)]
    return names


async def cut_readers(database: Database, url: str) -> None:
    """Close every reading connection under the store."""
    if isinstance(database.backend, SqliteBackend):
        for reader in database.backend._readers:
            await reader.close()
        return
    await asyncio.to_thread(terminate, url, "datamcp-read")


def terminate(url: str, application: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database() AND pid <> pg_backend_pid()",
            (application,),
        ).fetchall()
        assert ended


class Outage:
    """A store whose reads fail until they are let through again."""

    def __init__(self, database: Database, error: Exception) -> None:
        self._real = database.backend.read
        self.error: Exception | None = error
        self.failed = asyncio.Event()

    async def read(self, sql: str, parameters: dict[str, Any]) -> Any:
        if self.error is not None:
            self.failed.set()
            raise self.error
        return await self._real(sql, parameters)


@asynccontextmanager
async def store(url: str) -> AsyncGenerator[Database]:
    database = await Database.open(url, WITH_NOTES)
    try:
        yield database
    finally:
        await database.close()


async def resting(database: Database, name: str) -> None:
    """Until the loop shows as failing."""
    async with asyncio.timeout(60):
        while name not in database.loops.failing():
            await asyncio.sleep(0.001)


async def test_a_listener_hears_of_changes_although_the_reading_connections_were_closed(url: str):
    async with store(url) as database, database.feed.listen("note") as listener:
        for name in ("a", "b"):
            await cut_readers(database, url)
            await database.write(note, name)
            assert await heard(listener, name) == [name]
        assert database.loops.failing() == []


async def test_reads_go_on_after_their_connections_were_closed(url: str):
    async with store(url) as database:
        await database.write(note, "a")
        await asyncio.gather(*(database.events_end() for _ in range(8)))
        await cut_readers(database, url)
        rows = await asyncio.gather(*(database.fetch_all("events_after", xid=0, seq=0, limit=10) for _ in range(8)))
        assert [row["aggregate_id"] for (row,) in rows] == ["a"] * 8


async def test_a_reader_of_a_closed_sqlite_store_stays_closed(sqlite_url: str):
    async with store(sqlite_url) as database:
        pass
    with pytest.raises(ValueError, match="closed"):
        await database.events_end()


async def test_a_sqlite_connection_closed_under_its_thread_is_replaced_too(sqlite_url: str):
    async with store(sqlite_url) as database:
        assert isinstance(database.backend, SqliteBackend)
        for reader in database.backend._readers:
            await reader._execute(reader._conn.close)
        await database.write(note, "a")
        for _ in database.backend._readers:
            assert (await database.events_end()).seq > 0


@pytest.mark.parametrize("error", [Busy("The store is busy."), ZeroDivisionError("a bug")])
async def test_a_change_committed_during_an_outage_is_heard_after_it(url: str, monkeypatch: Any, error: Exception):
    async with store(url) as database, database.feed.listen("note") as listener:
        outage = Outage(database, error)
        with monkeypatch.context() as patch:
            patch.setattr(database.backend, "read", outage.read)
            await database.write(note, "during")
            await outage.failed.wait()
            await resting(database, "event-feed")
            await database.write(note, "later")
            async with database.feed.listen("note") as newcomer:
                outage.error = None
                assert await heard(listener, "later") == ["during", "later"]
                await heard(newcomer, "later")
        (entry,) = database.loops.report()
        assert entry["name"] == "event-feed" and entry["restarts"] >= 1 and entry["state"] == "running"
        told = str(error) if isinstance(error, OpsError) else f"bug: {type(error).__name__}"
        assert told in entry["last_error"]
        assert database.loops.failing() == []


async def test_one_busy_read_costs_nobody_an_event(url: str, monkeypatch: Any):
    async with store(url) as database, database.feed.listen("note") as listener:
        await database.write(note, "before")
        await heard(listener, "before")
        real, failures = database.backend.read, [Busy("The store is busy.")]

        async def once(sql: str, parameters: dict[str, Any]) -> Any:
            if failures:
                raise failures.pop()
            return await real(sql, parameters)

        monkeypatch.setattr(database.backend, "read", once)
        await database.write(note, "during")
        assert await heard(listener, "during") == ["during"]


async def test_a_first_read_that_fails_is_told_and_the_next_listener_starts_afresh(url: str, monkeypatch: Any):
    async with store(url) as database:
        with monkeypatch.context() as patch:
            patch.setattr(database.backend, "read", Outage(database, Busy("The store is busy.")).read)
            with pytest.raises(OpsError, match="busy"):
                async with database.feed.listen("note"):
                    pass
        async with database.feed.listen("note") as listener:
            await database.write(note, "a")
            assert await heard(listener, "a") == ["a"]
        assert database.loops.report() == []


def closed_connection() -> Any:
    connection = load_library().connect(":memory:", isolation_level=None)
    connection.close()
    return connection


async def test_other_processes_are_heard_although_the_watching_connection_was_closed(url: str, monkeypatch: Any):
    """Two stores on one database stand for two processes."""
    monkeypatch.setattr("mcp_server.persistence.feed.LOOK_AGAIN_SECONDS", 600)  # only the watcher can hear
    async with store(url) as mine, store(url) as theirs:
        opened: list[Any] = []
        real = mine.feed._open_watcher

        def open_watcher() -> Any:
            opened.append(real())
            return opened[-1]

        monkeypatch.setattr(mine.feed, "_open_watcher", open_watcher)
        async with mine.feed.listen("note") as listener:
            await theirs.write(note, "before")
            await heard(listener, "before")
            if isinstance(mine.backend, SqliteBackend):
                # Its thread may be reading: closed under it, SQLite's memory would go.
                watching, opened[0]._connection = opened[0]._connection, closed_connection()
                opened[0].interrupt()
                await resting(mine, "store-watcher")
                watching.close()
            else:
                pid = opened[0]._connection.info.backend_pid
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
            await theirs.write(note, "during")
            await heard(listener, "during")
            await theirs.write(note, "after")
            await heard(listener, "after")
        if not isinstance(mine.backend, SqliteBackend):
            assert [one["last_error"] for one in mine.loops.report() if "bug" in one["last_error"]] == []
            assert "store-watcher" in [one["name"] for one in mine.loops.report()]


async def test_a_watcher_that_cannot_be_opened_shows_and_is_tried_again(url: str, monkeypatch: Any):
    async with store(url) as database:
        real, failures = database.feed._open_watcher, [Busy("no connection left")] * 2

        def open_watcher() -> Any:
            if failures:
                raise failures.pop()
            return real()

        monkeypatch.setattr(database.feed, "_open_watcher", open_watcher)
        async with database.feed.listen("note"):
            await resting(database, "store-watcher")
            async with asyncio.timeout(60):
                while database.loops.failing() or failures:
                    await asyncio.sleep(0.001)
        (entry,) = database.loops.report()
        assert entry["last_error"] == "no connection left"


async def test_a_writer_that_hits_a_bug_tells_its_callers_and_works_on(url: str, monkeypatch: Any):
    async with store(url) as database:
        bugs = [RuntimeError("a bug in the session")]

        await database.write(note, "before")
        for writer in database._writers:
            real = writer._one_by_one

            def flaky(*arguments: Any, real: Any = real) -> Any:
                if bugs:
                    raise bugs.pop()
                return real(*arguments)

            monkeypatch.setattr(writer, "_one_by_one", flaky)

        def late(tx: Transaction) -> None:
            note(tx, "half")
            raise ZeroDivisionError

        with pytest.raises(RuntimeError, match="a bug in the session"):
            await database.write(late)
        assert await database.write(note, "after") == "after"
        (entry,) = database.loops.report()
        assert entry["name"] == "store-writer" and entry["last_error"] == "bug: RuntimeError"


_DIES = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.mark.parametrize(
    ("where", "dies"),
    [
        ("server._READS", f"{_DIES}, %s, %s"),
        ("session._PLANNING", _DIES),
    ],
)
async def test_a_connection_lost_while_it_is_made_ready_is_told_as_an_outage(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, where: str, dies: str
):
    monkeypatch.setattr(f"mcp_server.persistence.postgres.{where}", dies)
    with pytest.raises(Unavailable, match="The database .* failed: terminating connection"):
        async with store(postgres_url) as database:
            await database.write(note, "a")
