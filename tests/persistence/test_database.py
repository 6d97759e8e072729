"""The store's promises, on both engines: whole transactions, nothing lost, nothing left behind."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.area import Aggregate, Area
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import Busy, Conflict, OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.telling import Telling
from mcp_server.persistence import jobs
from mcp_server.persistence.database import Database, make_backend
from mcp_server.persistence.transaction import Transaction, event_json

pytestmark = pytest.mark.anyio


class Notes(Area):
    """An area of these tests: it has one event and nothing else."""

    def sql(self) -> str:
        return ""


NOTE = Aggregate("note", {"made": Telling.of("name")}, Permission.EVENTS_READ)
WITH_NOTES = Areas(*AREAS.all, Notes("notes", aggregates=(NOTE,)))


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database]:
    """A store on each engine in turn."""
    opened = await Database.open(url, WITH_NOTES)
    try:
        yield opened
    finally:
        await opened.close()


def note(tx: Transaction, name: str) -> str:
    tx.append(Origin(1, "user:t", "c"), Event("note.made", "note", name, 1, {"name": name}))
    return name


async def noted(database: Database) -> list[str]:
    rows = await database.fetch_all("events_after", xid=0, seq=0, limit=10_000)
    return [row["aggregate_id"] for row in rows]


async def test_a_write_returns_what_its_function_returned_after_the_commit(database: Database):
    assert await database.write(note, "a") == "a"
    assert await noted(database) == ["a"]


@pytest.mark.parametrize("when", ["before the answer", "once the answer is there"])
async def test_what_was_done_for_a_caller_that_is_cancelled_just_then_is_told_to_who_undoes_it(
    database: Database, when: str, monkeypatch: pytest.MonkeyPatch
):
    told: list[str] = []
    calls: list[asyncio.Task[str]] = []
    answer = jobs._set

    def cancel_too(outcomes: Any) -> None:
        steps = [lambda: answer(outcomes), calls[0].cancel]
        for step in steps if when == "once the answer is there" else reversed(steps):
            step()

    monkeypatch.setattr(jobs, "_set", cancel_too)
    calls.append(asyncio.create_task(database.write_or(told.append, note, "a")))
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    assert told == ["a"] == await noted(database)


async def test_a_function_that_raises_leaves_nothing_and_its_neighbours_are_kept(database: Database):
    def refuse_early(tx: Transaction) -> None:
        raise Conflict("early")

    def refuse_late(tx: Transaction) -> None:
        note(tx, "half")
        raise Conflict("late")

    def bug(tx: Transaction) -> None:
        note(tx, "half")
        raise ZeroDivisionError

    jobs = [refuse_early, refuse_late, bug] * 5
    calls = [database.write(note, f"n{n}") for n in range(15)]
    outcomes = await asyncio.gather(*calls, *(database.write(job) for job in jobs), return_exceptions=True)
    assert outcomes[:15] == [f"n{n}" for n in range(15)]
    assert [type(outcome) for outcome in outcomes[15:]] == [Conflict, Conflict, ZeroDivisionError] * 5
    assert sorted(await noted(database)) == sorted(f"n{n}" for n in range(15))


async def test_a_wrong_statement_is_a_bug_and_not_a_broken_database(database: Database):
    with pytest.raises(Exception) as raised:
        await database.write(lambda tx: tx.run("task_by_id"))
    assert not isinstance(raised.value, OpsError)
    with pytest.raises(Exception) as raised:
        await database.fetch_all("task_by_id")
    assert not isinstance(raised.value, OpsError)
    await database.write(note, "still works")


async def test_a_cancelled_caller_tears_no_transaction_and_the_store_goes_on(database: Database):
    started, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> str:
        started.set()
        go.wait(60)
        return note(tx, "slow")

    running = asyncio.create_task(database.write(slow))
    while not started.is_set():
        await asyncio.sleep(0.001)
    waiting = [asyncio.create_task(database.write(note, f"w{n}")) for n in range(50)]
    await asyncio.sleep(0)
    for task in (running, *waiting):
        task.cancel()
    await asyncio.gather(running, *waiting, return_exceptions=True)
    go.set()
    await database.write(note, "after")
    with anyio.fail_after(60):  # PostgreSQL has several writers: "after" may overtake
        while "slow" not in (names := await noted(database)):
            await anyio.lowlevel.checkpoint()
    assert names.count("slow") == 1 and "after" in names


async def test_a_cancelled_call_that_has_not_begun_is_skipped(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:
        go = threading.Event()
        first = asyncio.create_task(database.write(lambda tx: go.wait(60)))
        await asyncio.sleep(0.01)
        skipped = asyncio.create_task(database.write(note, "skipped"))
        await asyncio.sleep(0.01)
        skipped.cancel()
        await asyncio.gather(skipped, return_exceptions=True)
        go.set()
        await first
        await database.write(note, "kept")
        assert await noted(database) == ["kept"]
    finally:
        await database.close()


async def test_closing_writes_what_is_queued_and_refuses_what_comes_later(url: str):
    database = await Database.open(url, WITH_NOTES)
    writes = [asyncio.create_task(database.write(note, f"n{n}")) for n in range(100)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*writes) == [f"n{n}" for n in range(100)]
    with pytest.raises(Unavailable, match="shutting down"):
        await database.write(note, "late")
    again = await Database.open(url, WITH_NOTES)
    assert len(await noted(again)) == 100
    await again.close()


async def test_a_caller_whose_turn_does_not_come_is_told_that_the_store_is_busy(sqlite_url: str, monkeypatch):
    monkeypatch.setattr("mcp_server.persistence.database.WAIT_SECONDS_MAX", 0.05)
    monkeypatch.setattr("mcp_server.persistence.database.WATCH_EVERY_SECONDS", 0.02)
    database = await Database.open(sqlite_url, WITH_NOTES)
    go = threading.Event()
    try:
        running = asyncio.create_task(database.write(lambda tx: go.wait(60) and note(tx, "ran")))
        await asyncio.sleep(0.02)
        with pytest.raises(Busy, match="Nothing was written"):
            await database.write(note, "never")
        go.set()
        await running
        assert await noted(database) == ["ran"]
    finally:
        go.set()
        await database.close()


async def test_many_writes_share_a_commit(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    batches: list[int] = []
    database.on_commit = batches.append
    reads: list[float] = []
    database.on_read = reads.append
    try:
        await asyncio.gather(*(database.write(note, f"n{n}") for n in range(200)))
        await noted(database)
    finally:
        await database.close()
    assert sum(batches) == 200 and len(batches) < 100 and len(reads) == 1


async def test_a_metric_that_fails_does_not_stop_the_writer(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    database.on_commit = lambda events: 1 / 0
    try:
        for name in ("a", "b"):
            await database.write(note, name)
        assert await noted(database) == ["a", "b"]
    finally:
        await database.close()


async def test_a_loop_that_has_gone_does_not_stop_the_writer(sqlite_url: str):
    database = await Database.open(sqlite_url, WITH_NOTES)
    try:
        loop = asyncio.new_event_loop()
        job = jobs.Job(note, ("orphan",), loop, loop.create_future(), 0.0)
        loop.close()
        database._writers[0].submit(job)
        await database.write(note, "mine")
        assert await noted(database) == ["orphan", "mine"]
    finally:
        await database.close()


async def test_listeners_hear_of_changes_by_kind_and_a_lazy_one_costs_nobody_else(database: Database):
    feed = database.feed
    async with feed.listen("note") as listener, feed.listen("other") as other, feed.listen() as lazy:
        for number in range(30):
            await asyncio.gather(*(database.write(note, f"{number}.{n}") for n in range(50)))
        heard: list[str] = []
        while len(heard) < 1000 and (events := await listener.wait(60)):
            heard += [event["aggregate_id"] for event in events]
        assert await other.wait(0) == []
        assert len(heard) >= 1000
        assert len(await lazy.wait(60)) <= 1000
    async with feed.listen("note") as listener:
        await database.write(note, "again")
        heard = []
        while "again" not in heard:
            events = await listener.wait(60)
            assert events, "the event was missed"
            heard += [event["aggregate_id"] for event in events]


async def test_a_listener_hears_what_another_process_commits(url: str):
    """Two stores on one database stand for two processes: they share nothing but the database."""
    mine, theirs = await Database.open(url, WITH_NOTES), await Database.open(url, WITH_NOTES)
    try:
        async with mine.feed.listen("note") as listener:
            for number in range(5):
                await theirs.write(note, f"n{number}")
                assert [event["aggregate_id"] for event in await listener.wait(60)] == [f"n{number}"]
    finally:
        await theirs.close()
        await mine.close()


def test_event_data_holds_checked_json_as_it_is():
    assert event_json({"a": 1, "b": RawJson('{"x":[1]}'), "c": None}) == '{"a":1,"c":null,"b":{"x":[1]}}'
    assert event_json({"b": RawJson("[]")}) == '{"b":[]}'
    assert event_json({}) == "{}"


@pytest.mark.parametrize("bad", ["", "desk.db", "mysql://x", "sqlite://desk.db"])
def test_a_database_url_that_nobody_knows_is_refused_with_examples(bad: str):
    with pytest.raises(ValidationFailed, match="sqlite:///relative.db"):
        make_backend(bad, AREAS)


def upgrade(tx: Transaction) -> None:
    """What a newer version does to the schema, at its start."""
    connection: Any = tx._connection
    connection.execute("CREATE TABLE from_the_future (id INTEGER)")
    connection.execute("INSERT INTO migrations (number, name, checksum) VALUES (9999, 'future', 'x')")


async def test_a_server_that_runs_writes_nothing_once_a_newer_one_has_upgraded_the_schema(url: str):
    old, new = await Database.open(url, WITH_NOTES), await Database.open(url, WITH_NOTES)
    try:
        assert await old.write(note, "a") == "a"
        await new.write(upgrade)
        if old.engine == "postgres":  # asked once a second there
            await asyncio.sleep(1.1)
        for _ in range(2):
            with pytest.raises(Unavailable, match="has schema 9999, but this version knows only up to"):
                await old.write(note, "b")
        assert await noted(old) == ["a"]
    finally:
        await old.close()
        await new.close()
