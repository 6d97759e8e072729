"""PostgreSQL goes away, stands still or refuses, and comes back: callers are told in time and why, all works again at
once afterwards, and who listens has missed nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_server.kernel.errors import Busy, OpsError, Unavailable
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres import server as postgres_server
from mcp_server.persistence.postgres import session as postgres_session
from tests.patience import within
from tests.persistence.test_database import WITH_NOTES, note, noted
from tests.persistence.test_feed_outages import heard
from tests.postgres_servers import PostgresProcess

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
DOWN_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "1"))
"""20 and 100 by hand."""
AGAIN_SECONDS = 2
"""How soon all works again."""


@pytest.fixture
def own(tmp_path: Path) -> Generator[PostgresProcess]:
    """A server of the test's own."""
    server = PostgresProcess(tmp_path / "pg")
    server.make(
        "wal_level = replica\nmax_connections = 30\nsuperuser_reserved_connections = 0\nreserved_connections = 0\n"
    )
    server.start()
    yield server
    server.end()


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = await Database.open(url, WITH_NOTES)
    try:
        yield database
    finally:
        await database.close()


async def refused(call: Awaitable[Any]) -> OpsError:
    """What a call is told that fails."""
    with pytest.raises(OpsError) as told:
        await call
    return told.value


async def until_it_works(call: Callable[[], Awaitable[Any]]) -> Any:
    while True:
        try:
            return await call()
        except OpsError:
            await asyncio.sleep(0.01)


async def down_and_up(mine: Database, theirs: Database, down: Callable[[], None], up: Callable[[], None]) -> None:
    """What is promised of an outage."""
    async with mine.feed.listen("note") as listener:
        await theirs.write(note, "before")
        await heard(listener, "before")
        await asyncio.to_thread(down)
        with within(AGAIN_SECONDS):
            told = await asyncio.gather(
                *(refused(mine.events_end()) for _ in range(20)),
                *(refused(mine.write(note, "lost")) for _ in range(20)),
            )
        assert {type(error) for error in told} == {Unavailable}
        assert all("came to read is saved" in error.message for error in told[:20])
        assert all("Nothing was written" in error.message for error in told[20:])
        await asyncio.sleep(DOWN_SECONDS)
        await asyncio.to_thread(up)
        with within(AGAIN_SECONDS):
            await until_it_works(lambda: theirs.write(note, "after"))
            await heard(listener, "after")
            assert await noted(mine) == ["before", "after"]


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_after_an_outage_reads_writes_and_listeners_work_again_at_once(own: PostgresProcess, mode: str):
    async with opened(own.url) as mine, opened(own.url) as theirs:
        await down_and_up(mine, theirs, lambda: own.stop(mode), own.start)


async def test_after_a_failover_the_same_server_goes_on_at_the_standby(own: PostgresProcess, tmp_path: Path):
    standby = PostgresProcess(tmp_path / "standby")
    standby.follow(own)
    standby.start()
    hosts = f"127.0.0.1:{own.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def down() -> None:
        position = own.run("SELECT pg_current_wal_lsn()")[0][0]
        while not standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0]:
            pass
        own.stop()

    try:
        async with opened(url) as mine, opened(url) as theirs:
            await down_and_up(mine, theirs, down, standby.promote)
    finally:
        standby.end()


async def test_what_was_read_only_when_a_session_began_is_written_as_soon_as_it_can_be(own: PostgresProcess):
    async with opened(own.url) as database:
        await database.write(note, "before")
        own.run("ALTER DATABASE postgres SET default_transaction_read_only = on")
        own.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datamcp-write'")
        told = await refused(database.write(note, "lost"))
        assert "read-only" in told.message and "default_transaction_read_only" in told.message
        assert await noted(database) == ["before"]
        with psycopg.connect(own.url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
        assert await database.write(note, "after") == "after"
        own.run("ALTER SYSTEM SET default_transaction_read_only = on")
        own.run("SELECT pg_reload_conf()")
        await until_it_is(lambda: database.write(note, "perhaps"), "read-only")
        with psycopg.connect(own.url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
        with within(AGAIN_SECONDS):
            await until_it_works(lambda: database.write(note, "at last"))


async def until_it_is(call: Callable[[], Awaitable[Any]], text: str) -> None:
    """Call until it is refused so: a setting reaches sessions a moment after it was set."""
    while True:
        try:
            await call()
        except OpsError as error:
            assert text in error.message
            return


async def test_where_no_connection_is_left_that_is_told_and_one_that_there_is_serves_all_reads(own: PostgresProcess):
    async with opened(own.url) as database:
        await database.write(note, "before")
        own.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datamcp-write'")
        others: list[psycopg.Connection[Any]] = []
        try:
            while True:
                others.append(psycopg.connect(own.url))
        except psycopg.OperationalError:
            pass
        told = await refused(database.write(note, "lost"))
        assert "too many clients" in told.message, told
        assert len(await asyncio.gather(*(database.events_end() for _ in range(20)))) == 20
        for other in others:
            other.close()
        with within(AGAIN_SECONDS):
            await until_it_works(lambda: database.write(note, "after"))


async def test_an_operators_statement_timeout_is_told_with_the_remedy(own: PostgresProcess):
    own.run("ALTER DATABASE postgres SET statement_timeout = '300ms'")
    async with opened(own.url) as database:
        await database.write(note, "before")
        with psycopg.connect(own.url) as other:
            other.execute("LOCK TABLE events")
            for call in (database.write(note, "lost"), database.events_end()):
                told = await refused(call)
                assert "statement timeout" in told.message and "(statement_timeout)" in told.message
        with within(AGAIN_SECONDS):
            assert await database.write(note, "after") == "after"
            assert await noted(database) == ["before", "after"]


async def test_reads_and_writes_behind_a_lock_are_told_and_go_on_when_it_is_gone(
    own: PostgresProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres_session, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(postgres_server, "READ_LOCK_SECONDS", 0.3)
    async with opened(own.url) as database:
        await database.write(note, "before")
        with psycopg.connect(own.url) as other:
            other.execute("LOCK TABLE events")
            assert isinstance(await refused(database.write(note, "lost")), Busy)
            assert "Another transaction has locked" in (await refused(database.events_end())).message
        with within(AGAIN_SECONDS):
            assert await database.write(note, "after") == "after"
            assert await noted(database) == ["before", "after"]


async def test_a_backend_that_stands_still_is_left_and_another_asked(
    own: PostgresProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.persistence.postgres.bounded.ANSWER_SECONDS", 0.5)
    async with opened(own.url) as database:
        await database.write(note, "before")
        await database.events_end()
        found = own.run("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'datamcp-%'")
        for (pid,) in found:
            os.kill(pid, signal.SIGSTOP)
        try:
            with within(5):
                assert await database.write(note, "after") == "after"
                assert await noted(database) == ["before", "after"]
        finally:
            for (pid,) in found:
                os.kill(pid, signal.SIGCONT)
