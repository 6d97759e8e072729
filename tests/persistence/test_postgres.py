"""What is PostgreSQL's own."""

import asyncio

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.areas import AREAS
from mcp_server.domain.search.transactions import index_some
from mcp_server.domain.tasks import claiming
from mcp_server.domain.tasks import transactions as tasks
from mcp_server.domain.tasks.commands import ClaimTasks, FinishTask
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.positions import Position
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres import readers
from mcp_server.persistence.postgres.server import PostgresServer
from mcp_server.persistence.postgres.transaction import PostgresTransaction, _arrays
from mcp_server.upkeep.dead_rows import DEAD_MIN, inspect_dead_rows
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.inspection import inspect_database
from tests.persistence.test_database import WITH_NOTES, note, noted
from tests.world import open_world

pytestmark = pytest.mark.anyio


async def test_a_server_that_does_not_answer_is_told_without_the_password():
    url = "postgresql://me:secret@127.0.0.1:1/desk"
    with pytest.raises(Unavailable, match="postgresql://127.0.0.1:1/desk failed") as refused:
        await Database.open(url, WITH_NOTES)
    assert "secret" not in str(refused.value) + str(refused.value.details)
    (finding,) = inspect_database(url)
    assert not finding.ok and "secret" not in finding.detail


async def test_a_living_server_is_described(postgres_url: str):
    answers, schema, *others = inspect_database(postgres_url)
    assert answers.ok and "PostgreSQL 18" in answers.detail
    assert schema.ok and schema.detail == "The desk lies in the schema datamcp."
    named = ["server_clock", "writing", "event_log", "documents", "statistics", "autovacuum", "dead_rows"]
    assert [finding.name for finding in others] == named
    assert not any(finding.warns or not finding.ok for finding in others)


async def test_a_reader_reads_no_table_for_what_has_become_rare_since_it_was_counted(postgres_url: str):
    async with open_world(postgres_url) as world:
        await world.tasks(*[{}] * 100)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("ANALYZE texts")
        assert await world.database.write(index_some) == 100
        asked = {"text_kind": "task", "text_needle": "nowhere", "text_trigrams": ["now", "owh"]}
        sql = world.database._compose("tasks_find", ("task_text_indexed",))
        plan = await world.database.backend.read(f"EXPLAIN {sql}", {"limit": 20, **asked})
        steps = "\n".join(row["QUERY PLAN"] for row in plan)
        assert "Seq Scan" not in steps and "texts_new" in steps, steps


def test_rows_that_autovacuum_does_not_clear_away_are_told_with_who_holds_them(postgres_url: str):
    many = 2 * DEAD_MIN
    with psycopg.connect(postgres_url, autocommit=True) as connection, psycopg.connect(postgres_url) as reader:

        def told() -> Finding:
            connection.execute("SELECT pg_stat_force_next_flush()")
            connection.execute("SELECT pg_stat_clear_snapshot()")
            return inspect_dead_rows(connection, seconds=0)

        connection.execute("ALTER TABLE spent_seals SET (autovacuum_enabled = false)")  # who tests is quicker than it
        assert told() == Finding("dead_rows", True, "Autovacuum keeps up with what is dead.")
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM spent_seals")
        connection.execute("INSERT INTO spent_seals SELECT n::text, n FROM generate_series(1, %s) n", [many])
        connection.execute("DELETE FROM spent_seals")
        held = told()
        assert (held.ok, held.warns) == (True, True)
        pid = reader.info.backend_pid
        assert (
            f"cannot be cleared away: session {pid} (" in held.detail
            and "Spent_seals has 20,000 dead rows" in held.detail
        )
        assert f"pg_terminate_backend({pid})" in (held.remedy or "")
        reader.rollback()
        behind = told()
        assert behind.warns and behind.detail.startswith(
            "Autovacuum does not keep up: spent_seals has 20,000 dead rows"
        )
        assert 'VACUUM (ANALYZE) "spent_seals"' in (behind.remedy or "")
        connection.execute("VACUUM spent_seals")
        assert told().warns is None
        connection.execute("ALTER TABLE spent_seals RESET (autovacuum_enabled)")


def test_a_table_that_autovacuum_leaves_out_is_told(postgres_url: str):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks SET (autovacuum_enabled = false)")
        (told,) = [finding for finding in inspect_database(postgres_url) if finding.warns]
        assert told.name == "autovacuum" and "leaves out tasks" in told.detail
        assert told.remedy == 'ALTER TABLE "tasks" RESET (autovacuum_enabled).'
        connection.execute("ALTER TABLE tasks RESET (autovacuum_enabled)")
        assert not any(finding.warns for finding in inspect_database(postgres_url))


async def test_lost_connections_are_opened_again(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
    try:
        await database.write(note, "before")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'datamcp%' AND datname = current_database()"
            )
        for number in range(8):
            await database.write(note, f"n{number}")
        assert len(await noted(database)) == 9
    finally:
        await database.close()


async def test_a_deadlock_is_resolved_by_running_the_loser_again(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
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
    database = await Database.open(postgres_url, WITH_NOTES)
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
    database = await Database.open(postgres_url, WITH_NOTES)
    try:
        with pytest.raises(Unavailable, match="read-only"):
            await _delete(database)
    finally:
        await database.close()


async def test_a_read_whose_turn_does_not_come_is_told_so(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "TURN_SECONDS", 0.1)
    database = await Database.open(postgres_url, WITH_NOTES)
    database._composed[("slow", ())] = "SELECT pg_sleep(1)"
    try:
        reading = [asyncio.create_task(database.fetch_all("slow")) for _ in range(readers.READERS_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="4 reads have kept the database"):
            await database.events_end()
        assert len(await asyncio.gather(*reading)) == 4
        assert await database.events_end() == Position(0, 0)
    finally:
        await database.close()


async def test_a_read_that_is_cancelled_leaves_its_connection_to_others_or_ends_it(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
    database._composed[("slow", ())] = "SELECT pg_sleep(60)"
    try:
        reading = [asyncio.create_task(database.fetch_all("slow")) for _ in range(8)]
        await asyncio.sleep(0.2)
        for task in reading:
            task.cancel()
        assert {type(told) for told in await asyncio.gather(*reading, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        await asyncio.gather(*(database.events_end() for _ in range(20)))
    finally:
        await database.close()


async def test_a_closed_store_is_not_read(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
    await database.close()
    with pytest.raises(Unavailable, match="closed"):
        await database.events_end()


async def _delete(database: Database) -> None:
    database._composed[("bad", ())] = "DELETE FROM events"
    await database.fetch_all("bad")


def test_the_driver_that_is_missing_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Unavailable, match=r"data-mcp-server-agent\[postgres\]"):
        PostgresServer("postgresql://x")


@pytest.mark.slow
async def test_changing_some_tasks_reads_those_and_no_others(postgres_url: str):
    async with open_world(postgres_url) as world:
        agent = await world.agent(capacity=100)
        for _ in range(20):
            await world.tasks(*[{}] * 100)
        context = world.desk.context

        def work(tx: PostgresTransaction, table: str) -> int:
            command = ClaimTasks(agent_id=agent.id, max_tasks=50, lease_seconds=60)
            for row, token in claiming.claim(tx, context.origin(world.call), command):
                finish = FinishTask(task_id=row["id"], lease_token=token, outcome="completed")
                tasks.finish(tx, context.origin(world.call), finish)
            tx.flush()
            query = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = %s"
            ((read,),) = tx._connection.execute(query, [table]).fetchall()
            return read

        for _ in range(8):  # as often as it takes the driver to prepare a statement, and the server to plan it for good
            assert await world.database.write(work, "tasks") == 0


async def test_claims_that_wait_together_read_the_queue_once(postgres_url: str, monkeypatch):
    looks: list[int] = []
    fetch = claiming._Line._fetch

    def counted(line, tx, limit: int) -> None:
        looks.append(limit)
        fetch(line, tx, limit)

    monkeypatch.setattr(claiming._Line, "_fetch", counted)
    async with open_world(postgres_url) as world:
        agent = await world.agent(capacity=65)
        await world.tasks(*[{}] * 100)
        context = world.desk.context
        command = ClaimTasks(agent_id=agent.id, max_tasks=10, lease_seconds=60)
        calls = [(context.origin(world.call), command)] * 7

        def claim_all(tx) -> list[int]:
            AREAS.read_ahead[claiming.claim](tx, calls)
            return [len(claiming.claim(tx, *call)) for call in calls]

        assert await world.database.write(claim_all) == [10] * 6 + [5]
        assert looks == [65]


_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
_COLUMNS = st.one_of(
    st.lists(st.none() | _TEXTS, min_size=3, max_size=3),
    st.lists(_TEXTS, min_size=3, max_size=3),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False), min_size=3, max_size=3),
)


def test_what_is_sent_as_arrays_arrives_as_it_was(postgres_url: str):
    with psycopg.connect(postgres_url, autocommit=True) as connection:

        @given(st.lists(_COLUMNS, min_size=1, max_size=4))
        def check(columns: list[list[object]]) -> None:
            kinds, arrays = _arrays(tuple(map(tuple, columns)))
            sent = [column for column, kind in zip(columns, kinds, strict=True) if kind is not None]
            assert all(value is None for column in columns if column not in sent for value in column)
            if sent:
                unnested = ", ".join(f"CAST(%s AS {kind}[])" for kind in kinds if kind is not None)
                rows = connection.execute(f"SELECT * FROM unnest({unnested})", arrays).fetchall()  # type: ignore[arg-type]
                assert rows == list(zip(*sent, strict=True))

        check()


def test_a_nul_is_refused_before_it_could_shift_what_follows():
    with pytest.raises(ValueError, match="NUL"):
        _arrays([("a", "b\0c")])
