"""The store as the house sees it: a transaction, the database, and the feed that tells of changes.

`Transaction` and `Database` are Protocols because two engines stand behind them; see `mcp_server.persistence`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.times import Micros

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="Memory")
Row = Mapping[str, Any]


class Memory:
    """What transaction functions of one kind keep from one transaction to the next. A rollback forgets it, since what
    was written did not come to be."""

    shared: ClassVar[bool] = False
    """Whether all writers of a database have one together; then it must be safe to use from several threads."""

    def forget(self) -> None:
        """Forget everything."""
        raise NotImplementedError


class Transaction(Protocol):
    """One open transaction, as a transaction function sees it.

    Such a function is plain and synchronous, `def claim(tx, origin, ...) -> T`, and runs whole in a writer thread. It
    may run again from the start, so it must have no effect but through its transaction.
    """

    writes: int
    """How often something was written."""

    events_appended: int
    """How many events were appended."""

    notes: dict[Any, Any]
    """What one function leaves for the next of the same transaction, or what was read ahead for it."""

    def one(self, statement: str, /, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a named statement, or None."""
        ...

    def all(self, statement: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Every row of a named statement."""
        ...

    def together(self, *asked: tuple[str, dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Every row of each of several named statements with their parameters, which run in this order. Where a server
        is asked, its answers are waited for once."""
        ...

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a named statement; the number of rows it touched."""
        ...

    def append(self, origin: Origin, event: Event) -> int:
        """Append an event to the log without touching any other table; its number, which is negative as long as the log
        has not given out one."""
        ...

    def record(self, origin: Origin, event: Event) -> int:
        """Append an event and write the fields it carries into its aggregate's row. Returns what `append` does."""
        ...

    def fold(self, event: Event) -> None:
        """Write the fields that an event carries into its aggregate's row, and nothing into the log."""
        ...

    def settle(self) -> None:
        """Have the database check all that was written so far, which else may be held back until the next read."""
        ...

    def keep_text(self, kind: str, id_: str, folded: str, *, new: bool, at: Micros = 0) -> None:
        """Write by what text, folded, something is found from now on; and once, since when it is there, where its list
        has the newest first. What tells the words of its row is written by `fold` with them."""
        ...

    def is_the_engines(self, error: BaseException) -> bool:
        """Whether a failure is the engine's: then the whole transaction has failed."""
        ...

    def memory(self, kind: type[M]) -> M:
        """What is kept from one transaction to the next."""
        ...

    def tell(self, hook: "Hook[P, T]", /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Let every area that listens do its part; what each answers."""
        ...

    def wake(self, name: str) -> None:
        """After the commit, wake who waits under this name in this process."""
        ...


ReadAhead = Callable[[Transaction, "list[tuple[Any, ...]]"], None]
"""Reads once for all calls of one transaction function in a transaction, given the arguments of each."""


@dataclass(frozen=True, eq=False)
class Hook(Generic[P, T]):
    """A moment at which areas touch without importing each other: the area that owns the moment tells of it, and who
    listens does its part in the same transaction."""

    name: str

    def heard_by(self, function: Callable[Concatenate[Transaction, P], T]) -> "Heard":
        """A listener, for an area's record."""
        return Heard(self, function)


@dataclass(frozen=True, slots=True)
class Heard:
    """A hook and one function that listens to it."""

    hook: Hook[..., Any]
    function: Callable[..., Any]


class Listener(Protocol):
    """One waiter's view of the event feed."""

    async def wait(self, seconds: float) -> list[Row]:
        """The events that arrived; an empty list when none did in time."""
        ...

    def take_overflow(self) -> bool:
        """Whether events were dropped since this was last asked."""
        ...


class Feed(Protocol):
    """Wakes whoever waits for a change, whichever process made it."""

    def listen(self, *aggregate_types: str) -> AbstractAsyncContextManager[Listener]:
        """A listener that misses nothing committed after it is entered."""
        ...

    def end_waits(self) -> None:
        """Let whoever waits answer with what there is, now and from now on."""
        ...

    @property
    def waits_are_over(self) -> bool:
        """Whether that was asked for."""
        ...

    @property
    def commits(self) -> int:
        """A number that changes with every commit that was noticed."""
        ...

    async def rest(self, woken: asyncio.Event, since: int, seconds: float) -> None:
        """Wait until `woken` is set, for so long at most; after a second, only while nobody commits.

        Args:
            woken: set, too, when somebody commits while this waits for that.
            since: what `commits` was when the caller last looked whether there is something to do.
            seconds: how long.
        """
        ...


class LogHolder(Protocol):
    """Whose transaction every cursor through the log waits for."""

    @property
    def session(self) -> str:
        """Which, in words."""
        ...

    @property
    def remedy(self) -> str:
        """What ends it."""
        ...


class Database(Protocol):
    """The transactional store."""

    @property
    def engine(self) -> str:
        """`sqlite` or `postgres`."""
        ...

    @property
    def name(self) -> str:
        """The database, for messages."""
        ...

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written, which was allowed when it was opened."""
        ...

    @property
    def clock(self) -> Callable[[], Micros]:
        """What time it is for everybody who uses the store, in microseconds UTC."""
        ...

    @property
    def clock_is_off_by(self) -> Micros:
        """By how much this machine's clock is ahead of that; behind is negative."""
        ...

    async def keep_time(self) -> None:
        """See that the clock is right, where that is due."""
        ...

    @property
    def feed(self) -> Feed:
        """Tells of changes."""
        ...

    async def log_holder(self, seconds: float | None = None) -> "LogHolder | None":
        """Who keeps the newest events out of the log, where somebody has for so long, or for a while."""
        ...

    async def amiss(self) -> str | None:
        """What keeps everything from being written, where its files were cut off, overwritten or replaced."""
        ...

    @property
    def loops(self) -> Loops:
        """Keeps this process's background loops at work."""
        ...

    @property
    def wakers(self) -> dict[str, Callable[[], None]]:
        """Whom `Transaction.wake` wakes in this process."""
        ...

    async def write(self, function: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction function whole; returns only after its commit."""
        ...

    async def write_or(
        self,
        orphaned: Callable[[T], None],
        function: Callable[Concatenate[Any, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`write`, and should the caller be cancelled while its transaction commits, `orphaned` is told the result."""
        ...

    def mark(self) -> bytes | None:
        """What stays the same as long as nothing that is marked (`Aggregate.marked`) changes, whichever
        process does that; it has moved before its caller is answered. None where only the database can tell."""
        ...

    def post(self, function: Callable[Concatenate[Any, P], object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a transaction function whose outcome nobody waits for."""
        ...

    async def fetch_all(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> list[Row]:
        """The rows of a named statement."""
        ...

    async def fetch_one(self, statement: str, /, *, filters: Iterable[str] = (), **parameters: Any) -> Row | None:
        """The first row of a named statement, or None."""
        ...
