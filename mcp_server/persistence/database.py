"""`Database`: the one door to the store. Writes are transaction functions run by the writer; reads are single named
statements on read-only connections; `feed` tells who waits that something changed."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.errors import OpsError, Unavailable, ValidationFailed
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.positions import Position
from mcp_server.kernel.schemas import is_server
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros
from mcp_server.persistence.feed import EventFeed, Page, Watcher
from mcp_server.persistence.holding import HOLDS_AFTER_SECONDS, LogHolder, log_holder
from mcp_server.persistence.jobs import WAIT_SECONDS_MAX, Job
from mcp_server.persistence.statements import Engine, long_statements, short_statements, statements
from mcp_server.persistence.transaction import Transaction
from mcp_server.persistence.writer import Writer, WriterSession

P = ParamSpec("P")
T = TypeVar("T")
WATCH_EVERY_SECONDS = 1.0


class Backend(Protocol):
    """What an engine brings: connections for writing, reading and watching, and words for its failures."""

    engine: Engine
    name: str
    areas: Areas
    lanes: int
    """How many writers; see `Area.lanes`."""
    hears_all: bool
    """Whether its watchers may miss nothing, on this system."""

    long_reads: int
    """How many reads that may take long run side by side: fewer than there are readers."""

    is_read_only: bool
    """Whether it turned out that nothing can be written, which was allowed."""

    @property
    def clock(self) -> Callable[[], Micros]:
        """What time it is for everybody who uses the database."""
        ...

    @property
    def clock_is_off_by(self) -> Micros:
        """By how much this machine's clock is ahead of that; behind is negative."""
        ...

    async def keep_time(self) -> None:
        """See that the clock is right, where that is due."""
        ...

    def prepare(self) -> list[int]:
        """Create or migrate the database; the numbers of the migrations applied. Blocks."""
        ...

    def open_session(self) -> WriterSession:
        """A connection for one writer thread."""
        ...

    def open_watcher(self) -> Watcher:
        """A connection that notices other processes' commits."""
        ...

    async def open_readers(self) -> None:
        """Connect for reading."""
        ...

    def read_now(self, sql: str, parameters: dict[str, Any]) -> list[Row] | None:
        """Run one statement that reads a row by its key, where that takes a moment; None where it has to be awaited."""
        ...

    def mark(self) -> bytes | None:
        """See `kernel.store.Database.mark`."""
        ...

    async def read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Run one statement on a read-only connection."""
        ...

    async def close_readers(self) -> None:
        """Close the reading connections."""
        ...

    def doubts(self) -> bool:
        """Whether a look from beside finds its files other than they were left; the next write says what it is."""
        ...

    def explain(self, error: BaseException) -> OpsError | None:
        """The engine's failure as a refusal; None when the error is not the engine's."""
        ...


class Database:
    """An open store. Use `Database.open`."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.engine: Engine = backend.engine
        self.name = backend.name
        self.mark = backend.mark
        """See `kernel.store.Database.mark`."""
        self.on_commit: Callable[[int], None] | None = None
        self.on_read: Callable[[float], None] | None = None
        self.wakers: dict[str, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._statements = statements(backend.engine, backend.areas.sql)
        self._short = {name: self._statements[name] for name in short_statements(backend.areas.sql)}
        self._long = long_statements(backend.areas.sql)
        self._long_reads = asyncio.Semaphore(backend.long_reads)
        self._composed: dict[tuple[str, tuple[str, ...]], str] = {}
        self._unanswered: dict[Job, None] = {}
        self._watchdog: asyncio.TimerHandle | None = None
        self.loops = Loops()
        self.feed = EventFeed(
            self._changes_since,
            self._mark,
            backend.open_watcher,
            self.loops,
            hears_all=backend.hears_all,
        )
        self._writers = [
            Writer(backend.open_session, self._committed, backend.areas.read_ahead, self.loops)
            for _ in range(backend.lanes)
        ]

    @staticmethod
    async def open(
        url: str, areas: Areas, *, allow_unsafe_sqlite: bool = False, may_only_read: bool = False
    ) -> "Database":
        """Open a store, creating or migrating it as needed.

        Args:
            url: `sqlite:///path/to/file.db` or `postgresql://...`.
            areas: whose statements and tables there are.
            allow_unsafe_sqlite: use a SQLite library that corrupts shared files; for a single process only.
            may_only_read: where it cannot be written, only read it.

        Raises:
            OpsError: the database cannot be used; the message names it and the remedy.
        """
        backend = make_backend(url, areas, allow_unsafe_sqlite=allow_unsafe_sqlite, may_only_read=may_only_read)
        await asyncio.to_thread(backend.prepare)
        try:
            await backend.open_readers()
        except BaseException:
            await backend.close_readers()
            raise
        return Database(backend)

    @property
    def clock(self) -> Callable[[], Micros]:
        """What time it is for everybody who uses the database, in microseconds UTC."""
        return self.backend.clock

    @property
    def clock_is_off_by(self) -> Micros:
        """By how much this machine's clock is ahead of that; behind is negative."""
        return self.backend.clock_is_off_by

    async def keep_time(self) -> None:
        """See that the clock is right, where that is due.

        Raises:
            OpsError: the database does not answer.
        """
        try:
            await self.backend.keep_time()
        except Exception as error:
            raise self.backend.explain(error) or error from error

    async def write(
        self, function: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a transaction function whole in the writer thread; returns only after its commit.

        Cancelling the caller never tears the transaction: it is either skipped before it starts or committed whole.

        Raises:
            OpsError: what the function raised (it is rolled back), or that the store is busy or unavailable.
        """
        assert not kwargs, "transaction functions take positional arguments only"
        return await self._answer(self._submit(function, args))

    async def write_or(
        self,
        orphaned: Callable[[T], None],
        function: Callable[Concatenate[Transaction, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`write`, and should the caller be cancelled while its transaction commits, `orphaned` is told the result."""
        assert not kwargs, "transaction functions take positional arguments only"
        return await self._answer(self._submit(function, args, orphaned))

    def post(
        self, function: Callable[Concatenate[Transaction, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Queue a transaction function whose outcome nobody waits for. What it raises is dropped.

        Raises:
            Unavailable: the store is closed.
        """
        assert not kwargs, "transaction functions take positional arguments only"
        self._submit(function, args).future.add_done_callback(_drop)

    def _submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], orphaned: Callable[[Any], None] | None = None
    ) -> Job:
        loop = self._loop
        job = Job(function, args, loop, loop.create_future(), loop.time(), orphaned)
        self._writers[self.backend.areas.lanes.get(function, 0) % len(self._writers)].submit(job)
        return job

    async def _answer(self, job: Job) -> Any:
        self._unanswered[job] = None
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(WATCH_EVERY_SECONDS, self._watch)
        try:
            return await job.future
        except asyncio.CancelledError:
            if not job.abandon():
                job.leave()
            raise
        except Exception as error:
            explained = self.backend.explain(error)
            if explained is None:
                raise
            raise explained from error
        finally:
            del self._unanswered[job]

    async def fetch_all(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> list[Row]:
        """The rows of a named statement, narrowed by named filters, on a read-only connection."""
        rows = self._read_now(statement, parameters)
        return await self._read(statement, tuple(filters), parameters) if rows is None else rows

    async def _read(self, statement: str, filters: tuple[str, ...], parameters: dict[str, Any]) -> list[Row]:
        sql = self._compose(statement, filters)
        started = time.perf_counter()
        try:
            async with self._turn(statement, *[f"filter.{name}" for name in filters]):
                rows = await self.backend.read(sql, parameters)
        except Exception as error:
            explained = self.backend.explain(error)
            if explained is None:
                raise
            raise explained from error
        if self.on_read is not None:
            self.on_read(time.perf_counter() - started)
        return rows

    async def fetch_one(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> Row | None:
        """The first row of a named statement, or None."""
        rows = self._read_now(statement, parameters)
        if rows is None:
            rows = await self._read(statement, tuple(filters), parameters)
        return rows[0] if rows else None

    def _read_now(self, statement: str, parameters: dict[str, Any]) -> list[Row] | None:
        """The rows of a short statement, which takes no filters; None where it has to be awaited."""
        sql = self._short.get(statement)
        if sql is None:
            return None
        started = time.perf_counter()
        rows = self.backend.read_now(sql, parameters)
        if self.on_read is not None and rows is not None:
            self.on_read(time.perf_counter() - started)
        return rows

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written, which was allowed when it was opened."""
        return self.backend.is_read_only

    async def events_end(self) -> Position:
        """The position after the newest readable event."""
        row = await self.fetch_one("events_end")
        return Position(0, 0) if row is None else Position.of(row)

    async def close(self) -> None:
        """Stop the feed, run what is queued, close every connection."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        await self.feed.close()
        for writer in self._writers:
            await asyncio.to_thread(writer.close)
        await self.backend.close_readers()

    def _watch(self) -> None:
        """One timer for all calls: tell those whose turn has not come in time that the store is busy."""
        now = self._loop.time()
        for job in list(self._unanswered):
            if now - job.submitted_at > WAIT_SECONDS_MAX:
                job.give_up(self.name)
        again = bool(self._unanswered)
        self._watchdog = self._loop.call_later(WATCH_EVERY_SECONDS, self._watch) if again else None

    async def log_holder(self, seconds: float | None = None) -> LogHolder | None:
        """The transaction that keeps the newest events out of the log, where one has for so long, or for a while."""
        row = await self.fetch_one("log_holder", seconds=HOLDS_AFTER_SECONDS if seconds is None else seconds)
        return None if row is None else log_holder(row)

    async def amiss(self) -> str | None:
        """What keeps everything from being written, where the files were cut off, overwritten or replaced."""
        if self.is_read_only or not await asyncio.to_thread(self.backend.doubts):
            return None
        try:
            return await self.write(lambda _: None)  # looks at them with the turn to write
        except OpsError as error:
            return error.message if isinstance(error, Unavailable) else None

    async def _changes_since(self, page: Page, limit: int) -> list[Row]:
        since, upto, after = page
        return await self.fetch_all("changes_since", since=since, upto=upto, xid=after.xid, seq=after.seq, limit=limit)

    async def _mark(self) -> Row:
        row = await self.fetch_one("changes_mark")
        assert row is not None, "it always has one row"
        return row

    def _turn(self, *parts: str) -> contextlib.AbstractAsyncContextManager[None]:
        """What may take long waits for its turn; the rest, the timer's looks among it, always finds a reader."""
        return self._long_reads if self._long.intersection(parts) else contextlib.nullcontext()

    def _committed(self, events_appended: int, woken: set[str]) -> None:
        self.feed.wake()
        for name in woken & self.wakers.keys():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
                self._loop.call_soon_threadsafe(self.wakers[name])
        if self.on_commit is not None and events_appended:
            self.on_commit(events_appended)

    def _compose(self, statement: str, filters: tuple[str, ...]) -> str:
        sql = self._composed.get((statement, filters))
        if sql is None:
            fragments = " ".join(self._statements[f"filter.{name}"] for name in filters)
            sql = self._statements[statement].replace("{{filters}}", fragments)
            self._composed[(statement, filters)] = sql
        return sql


def _drop(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def without_credentials(url: str) -> str:
    """Which database a URL means, without a user or a password."""
    scheme, separator, rest = url.partition("://")
    place = rest if scheme == "sqlite" else rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}{separator}{place}" if separator else url


def make_backend(url: str, areas: Areas, *, allow_unsafe_sqlite: bool = False, may_only_read: bool = False) -> Backend:
    """The backend that a database URL names; nothing is opened yet.

    Raises:
        ValidationFailed: not a database URL that this server knows.
        Unavailable: the engine cannot be used here.
    """
    if url.startswith("sqlite:///"):
        from mcp_server.persistence.sqlite.library import load_library

        load_library()  # first of all, since it may not be there
        from mcp_server.persistence.sqlite.backend import SqliteBackend

        return SqliteBackend(sqlite_file(url), areas, allow_unsafe=allow_unsafe_sqlite, may_only_read=may_only_read)
    if is_server(url):
        from mcp_server.persistence.postgres.backend import PostgresBackend

        return PostgresBackend(url, areas)
    raise ValidationFailed(
        f"{url.split('@')[-1]!r} is not a database URL.",
        next="Use sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name.",
    )


def sqlite_file(url: str) -> Path:
    """The file that an SQLite URL names.

    Raises:
        ValidationFailed: it begins with a home directory, and there is none.
    """
    try:
        return Path(url.removeprefix("sqlite:///")).expanduser()
    except RuntimeError:
        raise ValidationFailed(
            f"{url!r} begins with a home directory, and there is none for it.",
            next="Give an absolute path: sqlite:////absolute.db.",
        ) from None
