"""What `tests.sessions` leaves from one test to the next is as good as new, or is not left."""

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from tests.sessions import Sessions

SETTINGS = "SELECT current_setting('lock_timeout'), (SELECT count(*) FROM pg_prepared_statements)"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.fixture
def sessions() -> Generator[Sessions]:
    left = Sessions()
    with left.left():
        yield left
    left.close()


def begun(url: str, **how: Any) -> tuple[int, psycopg.Connection[Any]]:
    connection = psycopg.connect(url, **how)
    return connection.info.backend_pid, connection


def test_a_session_that_is_left_is_taken_over_and_has_forgotten_what_was_done_in_it(
    postgres_url: str, sessions: Sessions
):
    pid, before = begun(postgres_url, autocommit=True)
    before.execute(
        "SET lock_timeout = 77; LISTEN news; SELECT pg_advisory_lock(1); CREATE TEMPORARY TABLE mine (n int)"
    )
    before.execute("SELECT 1", prepare=True)
    before.execute("NOTIFY news")
    before.close()
    assert before.closed and sessions.pids == [pid]
    taken, after = begun(postgres_url, autocommit=True)
    assert taken == pid and sessions.pids == []
    assert after.execute(SETTINGS).fetchone() == ("0", 0) and after.execute(LOCKS).fetchone() == (0,)
    assert after.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    assert list(after.notifies(timeout=0)) == []
    with pytest.raises(psycopg.OperationalError, match="closed"):
        before.execute("SELECT 1")
    after.close()


def test_one_in_a_transaction_is_ended_and_one_that_somebody_has_ended_is_not_taken_over(
    postgres_url: str, sessions: Sessions
):
    _, working = begun(postgres_url)
    working.execute("SELECT 1")
    working.close()
    assert sessions.pids == []
    pid, idle = begun(postgres_url, autocommit=True)
    idle.close()
    other, killer = begun(postgres_url, application_name="another", autocommit=True)
    assert other != pid, "asked for in other words"
    killer.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,))
    after, working = begun(postgres_url, autocommit=True)
    assert after != pid and working.execute("SELECT 1").fetchone() == (1,)
    working.close()
    killer.close()


@pytest.mark.anyio
async def test_those_of_an_event_loop_are_left_as_well(postgres_url: str, sessions: Sessions):
    pids = set[int]()
    for _ in range(2):
        connection = await psycopg.AsyncConnection.connect(postgres_url, autocommit=True)
        pids.add(connection.info.backend_pid)
        await connection.close()
        assert connection.closed and sessions.pids == list(pids)
