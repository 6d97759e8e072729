"""What is PostgreSQL's own."""

import asyncio
import contextlib

import psycopg
import pytest

from mcp_server.domain.errors import Unavailable
from mcp_server.persistence.database import Database
from mcp_server.persistence.event_log import Position
from mcp_server.persistence.inspection import inspect_database
from mcp_server.persistence.postgres import PostgresServer
from mcp_server.persistence.postgres_backend import PostgresBackend
from tests.persistence.test_database import note, noted

pytestmark = pytest.mark.anyio


async def test_a_server_that_does_not_answer_is_told_without_the_password():
    url = "postgresql://me:secret@127.0.0.1:1/desk"
    with pytest.raises(Unavailable, match="postgresql://127.0.0.1:1/desk failed") as refused:
        await Database.open(url)
    assert "secret" not in str(refused.value) + str(refused.value.details)
    (finding,) = inspect_database(url)
    assert not finding.ok and "secret" not in finding.detail


async def test_a_living_server_is_described(postgres_url: str):
    answers, documents = inspect_database(postgres_url)
    assert answers.ok and "PostgreSQL 18" in answers.detail
    assert documents.ok


async def test_lost_connections_are_opened_again(postgres_url: str):
    database = await Database.open(postgres_url)
    try:
        await database.write(note, "before")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'datamcp' AND datname = current_database()"
            )
        for number in range(8):
            await database.write(note, f"n{number}")
        assert len(await noted(database)) == 9
    finally:
        await database.close()


async def test_a_deadlock_is_resolved_by_running_the_loser_again(postgres_url: str):
    database = await Database.open(postgres_url)
    try:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE pair (id int PRIMARY KEY, n int)")
            connection.execute("INSERT INTO pair VALUES (1, 0), (2, 0)")

        def both(tx, first: int, second: int) -> None:
            for row in (first, second):
                tx._connection.execute("UPDATE pair SET n = n + 1 WHERE id = %s", (row,))
                tx._connection.execute("SELECT pg_sleep(0.05)")

        await asyncio.gather(*(database.write(both, *order) for order in [(1, 2), (2, 1)] * 3))
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT n FROM pair ORDER BY id").fetchall() == [(6,), (6,)]
    finally:
        await database.close()


async def test_a_reader_misses_no_event_although_commits_arrive_out_of_order(postgres_url: str):
    """A transaction that took its number first and commits last must not be skipped."""
    database = await Database.open(postgres_url)
    try:
        with psycopg.connect(postgres_url) as slow:
            slow.execute("SELECT pg_current_xact_id()")
            slow.execute(
                "INSERT INTO events (at, type, aggregate_type, aggregate_id, version, actor, correlation_id, data) "
                "VALUES (1, 'note.made', 'note', 'early', 1, 'a', 'c', '{}')"
            )
            await database.write(note, "late")
            assert await noted(database) == []
            seen = await database.events_end()
            assert seen == Position(0, 0)
            slow.commit()
        assert await noted(database) == ["early", "late"]
    finally:
        await database.close()


async def test_a_read_only_connection_refuses_to_write(postgres_url: str):
    database = await Database.open(postgres_url)
    try:
        with pytest.raises(Unavailable, match="read-only"):
            await _delete(database)
    finally:
        await database.close()


async def _delete(database: Database) -> None:
    database._composed[("bad", ())] = "DELETE FROM events"
    await database.fetch_all("bad")


def test_the_driver_that_is_missing_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match=r"data-mcp-server-agent\[postgres\]"):
        PostgresServer("postgresql://x")


async def test_a_cancellation_that_the_pool_swallows_still_ends_the_read(postgres_url: str):
    database = await Database.open(postgres_url)
    backend = database.backend
    assert isinstance(backend, PostgresBackend)
    pool = backend._pool
    waiting = asyncio.Event()

    class Swallowing:
        """What asyncio.wait_for does on Python 3.11 when the connection comes together with the cancellation."""

        @contextlib.asynccontextmanager
        async def connection(self):
            waiting.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            async with pool.connection() as connection:
                yield connection

    try:
        backend._pool = Swallowing()  # type: ignore[assignment]
        reading = asyncio.create_task(database.fetch_one("system_ready"))
        await waiting.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    finally:
        backend._pool = pool
        await database.close()
