"""A transaction as the transaction functions see it: named statements, rows by name, events appended.

A transaction function is plain and synchronous, `def claim(tx, ...) -> T`, and runs whole in a writer thread. It may
run again from the start after a deadlock or a lost batch, so it must have no effect but through `tx`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic_core import to_json

from mcp_server.domain.events import Event, Origin
from mcp_server.domain.values import RawJson

Row = Mapping[str, Any]

# Aggregates whose rows are the fold of their events, and the key column of each table.
_TABLES = {
    "task": ("tasks", "id"),
    "agent": ("agents", "id"),
    "instance": ("instances", "id"),
    "document": ("documents", "id"),
    "email": ("emails", "id"),
    "approval": ("approvals", "id"),
}


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


ReadAhead = Callable[["Transaction", Sequence[tuple[Any, ...]]], None]
READ_AHEAD: dict[Callable[..., Any], ReadAhead] = {}
"""For transaction functions whose reads can be done for many calls at once: what does it, given their arguments."""


LANES: dict[Callable[..., Any], int] = {}
"""Which writer runs a transaction function where there are several; 0 for those not named here.

On PostgreSQL claims have a writer of their own: they wait for each other on their agent's row anyway, and must not make
others wait as well.
"""


class Leased:
    """The tasks that this process leased last, whole: a row whose version is still the same need not be read again.

    Good because every change of a task raises its version. Before a rollback all are forgotten: versions that never
    were may be given out again.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def keep(self, row: dict[str, Any]) -> None:
        """Remember a row just written, unless it is bulky."""
        if len(row["input"] or "") + len(row["description"]) <= _KEPT_CHARACTERS_MAX:
            with self._lock:
                self._rows[row["id"]] = row
                if len(self._rows) > _KEPT_MAX:
                    del self._rows[next(iter(self._rows))]

    def take(self, id_: str) -> dict[str, Any] | None:
        """The row, which is forgotten: whoever loads it is about to change it."""
        with self._lock:
            return self._rows.pop(id_, None)

    def forget(self) -> None:
        """Forget them all."""
        with self._lock:
            self._rows.clear()


_KEPT_MAX = 1024
_KEPT_CHARACTERS_MAX = 2048


class Kept:
    """What a session keeps from one transaction to the next: column names by statement, rows leased, and the names of
    queues, which stay for good once they are there."""

    def __init__(self, leased: Leased) -> None:
        self.columns: dict[str, tuple[str, ...]] = {}
        self.leased = leased
        self.queues: set[str] = set()

    def forget(self) -> None:
        """A rollback: what was written did not come to be."""
        self.leased.forget()
        self.queues.clear()


class Transaction(ABC):
    """One open transaction; `SqliteTransaction` and `PostgresTransaction` know how their engine likes it done."""

    def __init__(self, connection: Connection, kept: "Kept") -> None:
        """Wrap an open transaction.

        Args:
            connection: the driver's connection.
            kept: what the session keeps from one transaction to the next.
        """
        self._columns = kept.columns
        self.leased = kept.leased
        self.queues = kept.queues
        self._connection = connection
        self.events_appended = 0
        self.writes = 0
        self.ahead: dict[tuple[str, object], Any] = {}
        """What was read ahead, by kind and id; whatever changes it in this transaction drops it."""
        self.memo: object = None
        """What one function has seen and the next of the same transaction may go by; see `claiming`."""

    def one(self, statement: str, /, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a named statement, or None."""
        cursor = self._execute(statement, parameters)
        row = cursor.fetchone()
        return None if row is None else dict(zip(self._names(statement, cursor), row, strict=False))

    def all(self, statement: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Every row of a named statement."""
        cursor = self._execute(statement, parameters)
        rows = cursor.fetchall()
        names = self._names(statement, cursor) if rows else ()
        return [dict(zip(names, row, strict=False)) for row in rows]

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a named statement; the number of rows it touched."""
        self.writes += 1
        return self._execute(statement, parameters).rowcount

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
        """
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
        table, key = _TABLES[event.aggregate_type]
        self.writes += 1
        self.ahead.pop((event.aggregate_type, event.aggregate_id), None)
        values = [*event.data.values(), event.version, event.aggregate_id]
        self._write_row(table, (*event.data, "version", key), values, new=event.creates)
        return self.append(origin, event)

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
    raw = [f'"{name}":{value}' for name, value in data.items() if type(value) is RawJson]
    if with_nulls and not raw:
        return to_json(data).decode()
    plain = {
        name: value for name, value in data.items() if type(value) is not RawJson and (with_nulls or value is not None)
    }
    told = to_json(plain).decode()[1:-1]
    return f"{{{','.join([told, *raw] if told else raw)}}}"


EVENT_COLUMNS = (
    *("at", "type", "aggregate_type", "aggregate_id", "version"),
    *("actor", "correlation_id", "causation_seq", "data"),
)
