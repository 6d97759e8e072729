"""Somebody who stands still holds what others need to write: they are told who it is, in time, and go on afterwards."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_server.kernel.errors import Busy, OpsError
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres import backend as postgres_backend
from mcp_server.persistence.postgres import server as postgres_server
from mcp_server.persistence.postgres import session as postgres_session
from mcp_server.persistence.postgres.server import PostgresServer
from mcp_server.persistence.sqlite import turnstile
from mcp_server.persistence.sqlite.turnstile import Turnstile
from mcp_server.upkeep import inspection
from mcp_server.upkeep import server as postgres_inspection
from mcp_server.upkeep.findings import Finding
from mcp_server.upkeep.inspection import inspect_database
from tests.patience import within
from tests.persistence.test_database import WITH_NOTES, note, noted
from tests.processes import RawClient, server, start

pytestmark = pytest.mark.anyio

HOLD = """
import sys, time
from pathlib import Path
from mcp_server.persistence.sqlite.turnstile import Turnstile
Turnstile(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


def lock_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///") + ".lock")


def writing(url: str) -> Finding:
    (finding,) = [finding for finding in inspect_database(url) if finding.name == "writing"]
    return finding


@contextlib.contextmanager
def a_stopped_holder(url: str) -> Generator[int]:
    """Another process, stopped, that has the turn; its process id."""
    command = (sys.executable, "-c", HOLD, str(lock_of(url)))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"held\n"
            process.send_signal(signal.SIGSTOP)
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(inspection, "TURN_SECONDS", 0.2)
    monkeypatch.setattr(postgres_session, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(postgres_session, "IMPATIENT_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(postgres_backend, "PREPARE_LOCK_SECONDS", 0.3)
    monkeypatch.setattr(postgres_server, "BLOCKS_AFTER_SECONDS", 0)
    monkeypatch.setattr(postgres_server, "PLACE_LOCK_SECONDS", 0.3)


async def refusals(database: Database, names: list[str]) -> list[Any]:
    return await asyncio.gather(*(database.write(note, name) for name in names), return_exceptions=True)


@pytest.mark.usefixtures("short_waits")
async def test_a_process_stopped_in_its_turn_is_named_to_who_writes_who_starts_and_doctor(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:
        assert await database.write(note, "before") == "before"
        assert writing(sqlite_url).ok
        with a_stopped_holder(sqlite_url) as pid:
            with within(0.2 * 4):  # all that wait are told together
                refused = await refusals(database, ["a", "b", "c", "d"])
            assert [type(error) for error in refused] == [Busy] * 4
            told = str(refused[0])
            if sys.platform == "linux":
                assert f"Process {pid}, which is stopped, has held the turn" in told
            assert f"kill -CONT {pid}" in told and "Nothing was written" in told
            assert refused[0].details["pid"] == pid
            with pytest.raises(Busy, match=f"Process {pid}"):
                await Database.open(sqlite_url, WITH_NOTES)
            found = writing(sqlite_url)
            assert not found.ok and f"Process {pid}" in found.detail
            assert await noted(database) == ["before"], "who reads is not held up"
        assert await database.write(note, "after") == "after"
        assert await noted(database) == ["before", "after"]
        assert writing(sqlite_url).ok
    finally:
        await database.close()


def test_a_turn_that_comes_when_nobody_waits_for_it_any_more_is_given_away(tmp_path: Path):
    path = tmp_path / "desk.db.lock"
    first, second, third = Turnstile(path), Turnstile(path, 0.05), Turnstile(path, 5)
    first.acquire()
    for _ in range(3):
        with pytest.raises(Busy, match=f"Process {os.getpid()} has held"):
            second.acquire()
    first.release()
    third.acquire()  # would wait in vain if the turn had come to second and stayed there
    third.release()
    second.acquire()
    second.release()
    for one in (first, second, third):
        one.close()


def test_a_file_closed_while_it_waits_holds_up_nobody(tmp_path: Path):
    path = tmp_path / "desk.db.lock"
    with Turnstile(path):
        with pytest.raises(Busy), Turnstile(path, 0.02):
            pass
    with Turnstile(path, 5):
        pass
    end_of_the_line()


def end_of_the_line() -> None:
    """Who was given up and closed leaves when its turn comes."""
    for thread in threading.enumerate():
        if thread.name == "store-line":
            thread.join(60)


def waiting_for(path: Path) -> int:
    """How many stand in line for the lock of a file, as the kernel counts them."""
    inode = f":{path.stat().st_ino}"
    return sum(
        "->" in line and line.split()[6].endswith(inode) for line in Path("/proc/locks").read_text("utf-8").splitlines()
    )


def test_the_turn_goes_round_in_the_order_in_which_it_was_asked_for(tmp_path: Path):
    path, order = tmp_path / "desk.db.lock", list[int]()

    def take(number: int) -> None:
        with Turnstile(path):
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with Turnstile(path):
        for thread in threads:
            thread.start()
            limit = time.monotonic() + 60
            while sys.platform == "linux" and waiting_for(path) <= threads.index(thread) and time.monotonic() < limit:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert sorted(order) == list(range(5))
    if sys.platform == "linux":
        assert order == list(range(5))


def test_who_has_the_turn_is_noted_as_long_as_it_lasts(tmp_path: Path):
    path = tmp_path / "desk.db.lock"
    looking = Turnstile(path)
    assert looking.holder() is None
    before = time.time_ns() // 1000
    with Turnstile(path):
        holder = looking.holder()
        assert holder is not None and holder.pid == os.getpid() and not holder.is_stopped
        assert before <= holder.since <= time.time_ns() // 1000
    assert looking.holder() is None
    looking.close()


def test_a_version_of_before_that_notes_nothing_is_held_against_nobody_else(tmp_path: Path):
    import fcntl

    path = tmp_path / "desk.db.lock"
    with Turnstile(path):
        pass
    with path.open("rb") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="Another process holds the turn"), Turnstile(path, 0.02):
            pass
    end_of_the_line()


@pytest.mark.usefixtures("short_waits")
async def test_a_session_that_keeps_a_table_locked_is_named_to_who_writes_who_starts_and_doctor(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
    try:
        await database.write(note, "before")
        with psycopg.connect(postgres_url, application_name="backup tool") as foreign:
            pid = foreign.info.backend_pid
            foreign.execute("LOCK TABLE events, migrations")
            with within(2):
                refused = await refusals(database, ["a", "b", "c", "d"])
            assert [type(error) for error in refused] == [Busy] * 4
            assert f"session {pid} (backup tool" in str(refused[0]) and "Nothing was written" in str(refused[0])
            with pytest.raises(Busy, match=f"session {pid} "):
                await Database.open(postgres_url, WITH_NOTES)
            found = writing_of_postgres(postgres_url)
            assert not found.ok and f"session {pid} (backup tool" in found.detail
        assert await database.write(note, "after") == "after"
        assert await noted(database) == ["before", "after"]
    finally:
        await database.close()


@contextlib.contextmanager
def waiting(url: str, *statements: str, **options: str) -> Generator[None]:
    """A session that has begun a transaction and stands in line for what its last statement needs."""
    with psycopg.connect(url, **options) as session, psycopg.connect(url, autocommit=True) as looking:
        for statement in statements[:-1]:
            session.execute(statement)
        thread = threading.Thread(target=session.execute, args=(statements[-1],))
        thread.start()
        asked = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
        while looking.execute(asked, (session.info.backend_pid,)).fetchone() != ("Lock",):
            time.sleep(0.01)
        yield
        thread.join()


A_ROW = "SELECT FROM migrations WHERE number = 1 FOR UPDATE"


@pytest.mark.usefixtures("short_waits")
async def test_of_those_who_wait_for_each_other_the_one_who_waits_for_nobody_is_named(postgres_url: str):
    database = await Database.open(postgres_url, WITH_NOTES)
    try:
        with psycopg.connect(postgres_url, application_name="innocent") as older:
            older.execute("LOCK TABLE archived_tasks")
            with psycopg.connect(postgres_url, application_name="root") as root:
                root.execute(A_ROW)
                with waiting(postgres_url, "LOCK TABLE events", A_ROW, application_name="middle"):
                    with pytest.raises(Busy) as refused:
                        await database.write(note, "a")
                    named = f"session {root.info.backend_pid} (root, its program says nothing more)"
                    assert named in str(refused.value)
                    root.rollback()
    finally:
        await database.close()


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("application", [postgres_session.WRITES, "somebody else's"])
async def test_a_writer_that_stood_still_for_a_minute_is_ended_by_whom_it_holds_up(
    postgres_url: str, application: str, monkeypatch: pytest.MonkeyPatch
):
    database = await Database.open(postgres_url, WITH_NOTES)
    try:
        await database.write(note, "before")  # its own session has the time that it may take
        monkeypatch.setattr(postgres_session, "TRANSACTION_SECONDS", 0)
        with psycopg.connect(postgres_url, application_name=application) as still:
            still.execute("LOCK TABLE events")
            with pytest.raises(Busy):
                await database.write(note, "a")
            if application == postgres_session.WRITES:
                assert await database.write(note, "b") == "b"
            else:
                with pytest.raises(Busy):
                    await database.write(note, "b")
            still.close()
    finally:
        await database.close()


def test_a_session_whose_process_is_gone_keeps_nothing_locked_while_it_waits(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres_session, "GONE_SECONDS", 0.1)
    gone = postgres_session.PostgresSession(PostgresServer(postgres_url), WITH_NOTES, {})._connection
    with psycopg.connect(postgres_url) as other, contextlib.closing(gone):
        other.execute("LOCK TABLE tasks")
        gone.execute("BEGIN")
        gone.execute("LOCK TABLE events")
        thread = threading.Thread(target=failing, args=(gone, "LOCK TABLE tasks"))
        thread.start()
        with socket.socket(fileno=os.dup(gone.fileno())) as its:
            its.shutdown(socket.SHUT_RDWR)
        other.execute("SET lock_timeout = '5s'")  # half of what it would wait
        other.execute("LOCK TABLE events")
        thread.join()


def failing(session: psycopg.Connection[Any], statement: str) -> None:
    with contextlib.suppress(psycopg.Error):
        session.execute(statement)


def writing_of_postgres(url: str) -> Finding:
    from mcp_server.domain.areas import AREAS
    from mcp_server.persistence.postgres.backend import PostgresBackend

    return postgres_inspection._locked(PostgresBackend(url, AREAS))


async def test_a_transaction_whose_process_stands_still_is_ended_by_the_server(postgres_url: str, monkeypatch):
    monkeypatch.setattr(postgres_session, "TRANSACTION_SECONDS", 0.1)
    database = await Database.open(postgres_url, WITH_NOTES)

    def freeze(tx: Any) -> None:
        tx.all("events_end")
        time.sleep(0.5)
        note(tx, "late")

    try:
        with pytest.raises(OpsError):
            await database.write(freeze)
        assert await database.write(note, "after") == "after"
        assert await noted(database) == ["after"]
    finally:
        await database.close()


async def stop_in_its_turn(client: RawClient, url: str) -> int:
    """Stop a server in the midst of a commit; the id of the request whose answer is still to come."""
    looking, caught, number = Turnstile(lock_of(url)), False, 0
    while not caught:
        number += 1
        arguments = {"namespace": "n", "key": str(number), "value": number}
        call = {"name": "state_set", "arguments": arguments}
        await client.send(id=10_000 + number, method="tools/call", params=call)
        client.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.01)
        holder = looking.holder()
        caught = holder is not None and holder.pid == client.process.pid
        if not caught:
            client.process.send_signal(signal.SIGCONT)
            await client.receive()
    looking.close()
    return 10_000 + number


@pytest.mark.slow
async def test_a_server_stopped_in_its_turn_is_named_by_the_others_and_all_go_on_afterwards(sqlite_url: str):
    async with server(sqlite_url) as frozen, server(sqlite_url) as other:
        await other.call("agents_find")  # it has started
        waits = await stop_in_its_turn(frozen, sqlite_url)
        answer = await other.call("state_set", namespace="n", key="k", value=1)
        assert answer["error"]["code"] == "busy" and str(frozen.process.pid) in answer["error"]["message"]
        late = await start(sqlite_url, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(late.process.communicate(), 60)
        assert late.process.returncode != 0 and str(frozen.process.pid).encode() in said
        frozen.process.send_signal(signal.SIGCONT)
        assert (await frozen.receive())["id"] == waits
        assert (await other.call("state_set", namespace="n", key="k", value=1))["document"]["version"] == 1
