"""A transaction as the transaction functions see it: named statements, rows by name, events appended.

A transaction function is plain and synchronous, `def claim(tx, ...) -> T`, and runs whole in a writer thread. It may
run again from the start after a deadlock or a lost batch, so it must have no effect but through `tx`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from pydantic_core import to_json

from mcp_server.kernel.area import Aggregate
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.searching import fold_words
from mcp_server.kernel.store import Hook, Memory
from mcp_server.kernel.times import Micros

M = TypeVar("M", bound=Memory)
P = ParamSpec("P")
T = TypeVar("T")


class Cursor(Protocol):
    """What both drivers' cursors have."""

    @property
    def rowcount(self) -> int: ...
    @property
    def lastrowid(self) -> int | None: ...
    @property
    def description(self) -> Sequence[Sequence[Any]] | None: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def execute(self, sql: str, parameters: Sequence[Any], /) -> "Cursor": ...


class Connection(Protocol):
    """What both drivers' connections have."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any], /) -> Cursor: ...
    def cursor(self) -> Cursor: ...


class Kept:
    """What a session keeps from one transaction to the next: the column names of each statement, and what transaction
    functions remember. Some of that all sessions of a database have together."""

    def __init__(self, shared: dict[type[Memory], Memory]) -> None:
        self.columns: dict[str, tuple[str, ...]] = {}
        self._shared = shared
        self._own: dict[type[Memory], Memory] = {}

    def memory(self, kind: type[M]) -> M:
        """The one memory of a kind, made when it is first asked for."""
        memories = self._shared if kind.shared else self._own
        return cast("M", memories.get(kind) or memories.setdefault(kind, kind()))

    def forget(self) -> None:
        """A rollback: what was written did not come to be."""
        for memory in (*self._own.values(), *self._shared.values()):
            memory.forget()


_DRIVERS = ("sqlite3", "pysqlite3", "psycopg", "mcp_server.persistence.sqlite.door")


class Transaction(ABC):
    """One open transaction; `SqliteTransaction` and `PostgresTransaction` know how their engine likes it done."""

    def __init__(self, connection: Connection, kept: Kept, areas: Areas) -> None:
        """Wrap an open transaction.

        Args:
            connection: the driver's connection.
            kept: what the session keeps from one transaction to the next.
            areas: whose tables and listeners there are.
        """
        self._connection = connection
        self._columns = kept.columns
        self._areas = areas
        self.memory = kept.memory
        self.events_appended = 0
        self.writes = 0
        self.notes: dict[Any, Any] = {}
        """What was read ahead is dropped by whatever changes it in this transaction."""
        self.woken: set[str] = set()
        self.moves_mark = False
        """Whether it changed what the database's mark stands for."""

    def one(self, statement: str, /, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a named statement, or None."""
        cursor = self._execute(statement, parameters)
        row = cursor.fetchone()
        return None if row is None else dict(zip(self._names(statement, cursor), row, strict=False))

    def all(self, statement: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Every row of a named statement."""
        return self._read(statement, self._execute(statement, parameters))

    def together(self, *asked: tuple[str, dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Every row of each of several named statements with their parameters, which run in this order. Where a server
        is asked, its answers are waited for once."""
        cursors = [(statement, self._execute(statement, parameters)) for statement, parameters in asked]
        return [self._read(statement, cursor) for statement, cursor in cursors]

    def _read(self, statement: str, cursor: Cursor) -> list[dict[str, Any]]:
        rows = cursor.fetchall()
        names = self._names(statement, cursor) if rows else ()
        return [dict(zip(names, row, strict=False)) for row in rows]

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a named statement; the number of rows it touched."""
        self.writes += 1
        return self._execute(statement, parameters).rowcount

    @abstractmethod
    def settle(self) -> None:
        """Have the database check all that was written so far."""

    @abstractmethod
    def _execute(self, statement: str, parameters: dict[str, Any]) -> Cursor:
        """Run a named statement."""

    def _names(self, statement: str, cursor: Cursor) -> tuple[str, ...]:
        """The statement's column names; asking the driver each time costs more than fetching the row."""
        names = self._columns.get(statement)
        if names is None:
            names = self._columns[statement] = tuple(column[0] for column in cursor.description or ())
        return names

    def append(self, origin: Origin, event: Event) -> int:
        """Append an event to the log without touching any other table.

        Returns:
            Its number, for the events that it brings about in the same transaction. One that the log has not given
            out yet is negative.

        Raises:
            LookupError: no area names an event of this type.
            TypeError: it tells less or more than its area says.
        """
        self._areas.telling[event.type].require(event)
        self.events_appended += 1
        self.writes += 1
        return self._write_event(
            (
                origin.at,
                event.type,
                event.aggregate_type,
                event.aggregate_id,
                event.version,
                origin.actor,
                origin.correlation_id,
                origin.causation_seq,
                event_json(event.data, with_nulls=not event.creates),
            )
        )

    def record(self, origin: Origin, event: Event) -> int:
        """Append an event and write the fields it carries into its aggregate's row, in one transaction.

        The row and the log cannot disagree, since both are written from the same event. Returns what `append` does.
        """
        self.fold(event)
        return self.append(origin, event)

    def fold(self, event: Event) -> None:
        """Write the fields that an event carries into its aggregate's row: what of `record` a rebuild does. What it
        tells beside them stands in the log alone."""
        table, key, beside, marked = self._areas.rows[event.aggregate_type]
        if not beside.isdisjoint(event.data):
            event = event.without(beside)
        self.writes += 1
        self.moves_mark |= marked
        self.notes.pop((event.aggregate_type, event.aggregate_id), None)
        values = [*event.data.values(), event.version, event.aggregate_id]
        self._write_row(table, (*event.data, "version", key), values, new=event.creates)
        worded = self._areas.worded[event.type]
        if worded is not None:
            self._keep_words(event, worded)

    def keep_text(self, kind: str, id_: str, folded: str, *, new: bool, at: Micros = 0) -> None:
        """Write by what text something is found from now on, in the same transaction."""
        self.writes += 1
        if new:
            self._write_row("texts", ("kind", "at", "is_new", "folded", "about"), [kind, at, 1, folded, id_], new=True)
        else:
            self._write_row("texts", ("kind", "is_new", "folded", "about"), [kind, 1, folded, id_], new=False)

    def _keep_words(self, event: Event, worded: Aggregate) -> None:
        """Where an event tells of other words, all of them make the text, those that it does not tell, too."""
        row: Mapping[str, Any] = event.data
        words = worded.words
        if not event.creates:
            told = row.keys() & set(words)
            if not told:
                return
            if len(told) < len(words):
                row = self.one(worded.row or "", id=event.aggregate_id) or {}
        folded = fold_words(row, words, worded.json)
        self.keep_text(event.aggregate_type, event.aggregate_id, folded, new=event.creates, at=row.get("created_at", 0))

    def is_the_engines(self, error: BaseException) -> bool:
        """Whether a failure is the driver's: by DB-API, all of its classes come from one that is called Error."""
        return any(kind.__name__ == "Error" and kind.__module__.startswith(_DRIVERS) for kind in type(error).__mro__)

    def tell(self, hook: Hook[P, T], /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Let every area that listens do its part; what each answers."""
        return [function(self, *args, **kwargs) for function in self._areas.listeners[hook]]

    def wake(self, name: str) -> None:
        """After the commit, wake who waits under this name in this process."""
        self.woken.add(name)

    @abstractmethod
    def _write_row(self, table: str, columns: tuple[str, ...], values: list[Any], *, new: bool) -> None:
        """Insert a row, or update the one whose key is the last of the values."""

    @abstractmethod
    def _write_event(self, values: tuple[Any, ...]) -> int:
        """Append an event, whose values are those of `EVENT_COLUMNS`; its number."""


def event_json(data: Mapping[str, Any], *, with_nulls: bool = True) -> str:
    """An event's data as JSON text; fields that hold checked JSON go in as they are.

    A creation's leaves nulls out: what it does not tell is null.
    """
    raw: list[str] = []
    plain: dict[str, Any] = {}
    for name, value in data.items():
        if type(value) is RawJson:
            raw.append(f'"{name}":{value}')
        elif with_nulls or value is not None:
            plain[name] = value
    told = to_json(plain).decode()
    return f"{{{','.join([told[1:-1], *raw] if plain else raw)}}}" if raw else told


EVENT_COLUMNS = (
    *("at", "type", "aggregate_type", "aggregate_id", "version"),
    *("actor", "correlation_id", "causation_seq", "data"),
)
