"""Answers to COMMIT that a proxy before PostgreSQL loses: nothing is doubled and nothing told wrongly."""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_server.kernel.errors import AtCapacity, Conflict, OpsError, Unavailable
from mcp_server.kernel.json_text import dump_json
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres import outcome as lookup
from mcp_server.persistence.postgres.outcome import find_out
from mcp_server.persistence.postgres.server import PostgresServer
from mcp_server.persistence.writer import OutcomeUnknown
from tests.persistence.test_database import WITH_NOTES, note, noted
from tests.postgres_servers import PostgresProcess, Proxy
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
CUTS = int(os.environ.get("COMMIT_CUTS", "150"))
"""So many answers are lost; ten thousand take some minutes."""


@pytest.fixture
def own(tmp_path: Path) -> Generator[PostgresProcess]:
    """A server of the test's own."""
    server = PostgresProcess(tmp_path / "pg")
    server.make()
    server.start()
    yield server
    server.end()


@pytest.fixture
async def proxy(own: PostgresProcess) -> AsyncGenerator[Proxy]:
    """What stands before it."""
    async with Proxy(own.port, seed=7).running() as running:
        yield running


class Work:
    """What was answered to several who write at once, and whether it is true."""

    def __init__(self, world: World, proxy: Proxy) -> None:
        self.world, self.proxy = world, proxy
        self.appended: dict[str, bool] = {}
        """By title, whether it was acknowledged; the others were refused, and nothing was written."""
        self.counted: dict[str, int | None] = {}
        """By note, the version that was acknowledged."""
        self.finished: dict[str, int] = {}
        self.refused = 0

    @property
    def goes_on(self) -> bool:
        return self.proxy.lost < CUTS or self.proxy.cut < CUTS / 3

    def _take(self, error: OpsError) -> None:
        assert isinstance(error, Unavailable) and "Nothing was written" in error.message, error
        self.refused += 1

    async def append(self, name: str) -> None:
        number = 0
        while self.goes_on:
            number += 1
            title = f"{name}-{number}"
            self.appended[title] = False
            try:
                await self.world.created({"title": title, "run_at": "2100-01-01T00:00:00Z"})
            except OpsError as error:
                self._take(error)
            else:
                self.appended[title] = True

    async def count(self, name: str) -> None:
        number, version = 0, 0
        while self.goes_on:
            number += 1
            text = f"{name}-{number}"
            self.counted[text] = None
            try:
                written = await self.world.write("n", "counter", version, expected_version=version, note=text)
            except Conflict as error:
                version = error.details["current_version"]
            except OpsError as error:
                self._take(error)
                version = (await self.world.read("n", "counter")).version
            else:
                version = self.counted[text] = written.version

    async def work(self, name: str) -> None:
        agent = await self._surely(lambda: self.world.agent(name))
        while self.goes_on:
            await self._surely(
                lambda: self.world.created({"title": "to do", "idempotency_key": f"{name}-{len(self.finished)}"})
            )
            try:
                claims = await self.world.claim(agent, max_tasks=2)
            except AtCapacity as error:
                raise AssertionError(f"tasks are leased that nobody was told of: {error}") from None
            except OpsError as error:
                self._take(error)
                continue
            for claimed in claims:
                assert claimed.attempt == 1, "it was leased before, and nobody was told"
                await self._surely(lambda claimed=claimed: self.world.finish(claimed))
                self.finished[claimed.task.id] = self.finished.get(claimed.task.id, 0) + 1

    async def _surely(self, call: Any) -> Any:
        while True:
            try:
                return await call()
            except OpsError as error:
                self._take(error)

    async def check(self) -> None:
        world = self.world
        rows = await world.database.fetch_all(
            "events_after", filters=("types",), types=dump_json(["task.created"]), xid=0, seq=0, limit=10**6
        )
        ids = [row["aggregate_id"] for row in rows]
        titles = [(await world.desk.tasks.get(world.call, id_)).title for id_ in ids]
        for title, is_told in self.appended.items():
            assert titles.count(title) == is_told, (title, titles.count(title), is_told)
        document = await world.read("n", "counter")
        told = sorted(version for version in self.counted.values() if version is not None)
        assert told == list(range(1, document.version + 1)), "each version was told to who wrote it, and to nobody else"
        assert set(self.finished.values()) == {1}
        counts = await world.desk.tasks.counts(world.call)
        assert counts.get("running", 0) == 0, counts


@pytest.mark.slow
async def test_answers_to_commit_that_are_lost_double_nothing_and_tell_nothing_wrongly(proxy: Proxy):
    async with open_world(proxy.url) as world:
        work = Work(world, proxy)
        proxy.loses, proxy.cuts = 0.2, 0.1
        async with asyncio.TaskGroup() as working:
            for number in range(3):
                working.create_task(work.append(f"append-{number}"))
                working.create_task(work.count(f"count-{number}"))
                working.create_task(work.work(f"worker-{number}"))
        proxy.loses = proxy.cuts = 0.0
        await work.check()
    print({"lost": proxy.lost, "cut": proxy.cut, "refused": work.refused, "appended": len(work.appended)})


@pytest.mark.slow
async def test_who_cannot_be_told_whether_it_was_saved_is_told_so_and_nothing_runs_again(
    own: PostgresProcess, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lookup, "LOOKS_FOR_SECONDS", 0.3)
    database = await Database.open(proxy.url, WITH_NOTES)
    ran: list[str] = []

    def once(tx: Any, name: str) -> None:
        ran.append(name)
        note(tx, name)

    def and_stop(tx: Any) -> None:
        once(tx, "b")
        tx.flush()

    try:
        await database.write(note, "before")
        proxy.loses = 1.0
        stopped = asyncio.get_running_loop().run_in_executor
        monkeypatch.setattr("mcp_server.persistence.postgres.session.find_out", _stopping(own))
        answers = await asyncio.gather(database.write(once, "a"), database.write(and_stop), return_exceptions=True)
        assert [type(answer) for answer in answers] == [OutcomeUnknown] * 2, answers
        assert answers[0].code == "unavailable" and "idempotency key" in str(answers[0])
        assert sorted(ran) == ["a", "b"]
        proxy.loses = 0.0
        await stopped(None, own.start)
        assert await database.write(note, "after") == "after"
        assert await noted(database) == ["before", "a", "b", "after"]
    finally:
        await database.close()


def _stopping(server: PostgresProcess) -> Any:
    """Look only once the server has gone."""

    def stop_first(*arguments: Any) -> Any:
        server.stop()
        return find_out(*arguments)

    return stop_first


async def test_an_outcome_is_what_the_log_holds_and_an_open_transaction_is_ended(postgres_url: str):
    server = PostgresServer(postgres_url)
    marker = lookup.Marker(1, "note.made", "note", "n", 1, "c")
    columns = "at, type, aggregate_type, aggregate_id, version, correlation_id"

    def recorded(connection: Any) -> str:
        connection.execute(
            f"INSERT INTO events ({columns}, actor, data) VALUES (%s, %s, %s, %s, %s, %s, 'a', '{{}}')", marker
        )
        return connection.execute("SELECT pg_current_xact_id()::text").fetchone()[0]

    def looked_up(xid: str, event: lookup.Marker | None = marker) -> str:
        return find_out(server, xid, event, 5)

    with psycopg.connect(postgres_url) as connection:
        xid = recorded(connection)
        connection.commit()
        assert looked_up(xid) == "committed"
        assert looked_up(xid, marker._replace(correlation_id="another's")) == "undone", "the number was given out again"
        assert looked_up(xid, None) == "unknown", "there is nothing by which to know it"
        xid = recorded(connection)
        connection.rollback()
        assert (looked_up(xid), looked_up(xid, None)) == ("undone", "undone")
        assert looked_up(str(int(xid) + 1_000_000)) == "undone", "a crash took it before anything was written down"
    still = psycopg.connect(postgres_url)
    assert await asyncio.to_thread(looked_up, recorded(still)) == "undone"
    assert still.info.transaction_status == 2, "it does not know yet"
    with pytest.raises(psycopg.OperationalError):
        still.execute("SELECT 1")
    still.close()
