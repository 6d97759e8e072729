"""A transaction as the transaction functions see it: named statements, rows by name, events appended.

A transaction function is plain and synchronous, `def claim(tx, ...) -> T`, and runs whole in a writer thread. It may
run again from the start after a deadlock or a lost batch, so it must have no effect but through `tx`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from pydantic_core import to_json

from mcp_server.domain.events import Event, Origin
from mcp_server.domain.values import RawJson
from mcp_server.persistence.statements import Engine, dialect, statements

Row = Mapping[str, Any]

# Aggregates whose rows are the fold of their events, and the key column of each table.
_TABLES = {
    "task": ("tasks", "id"),
    "agent": ("agents", "id"),
    "instance": ("instances", "id"),
    "document": ("documents", "id"),
}


class Cursor(Protocol):
    """What both drivers' cursors have."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Sequence[Any]] | None: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Connection(Protocol):
    """What both drivers' connections have."""

    def execute(self, sql: str, parameters: Mapping[str, Any], /) -> Cursor: ...


class Transaction:
    """One open transaction on one engine."""

    def __init__(self, connection: Connection, engine: Engine, columns: dict[str, tuple[str, ...]]) -> None:
        """Wrap an open transaction.

        Args:
            connection: the driver's connection.
            engine: which SQL dialect it speaks.
            columns: column names by statement, kept by the session from one transaction to the next.
        """
        self.engine: Engine = engine
        self._columns = columns
        self._connection = connection
        self._statements = statements(engine)
        self.events_appended = 0
        self.writes = 0

    def one(self, statement: str, /, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a named statement, or None."""
        cursor = self._connection.execute(self._statements[statement], parameters)
        row = cursor.fetchone()
        return None if row is None else dict(zip(self._names(statement, cursor), row, strict=True))

    def all(self, statement: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Every row of a named statement."""
        cursor = self._connection.execute(self._statements[statement], parameters)
        rows = cursor.fetchall()
        names = self._names(statement, cursor) if rows else ()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def run(self, statement: str, /, **parameters: Any) -> int:
        """Run a named statement; the number of rows it touched."""
        self.writes += 1
        return self._connection.execute(self._statements[statement], parameters).rowcount

    def _names(self, statement: str, cursor: Cursor) -> tuple[str, ...]:
        """The statement's column names; asking the driver each time costs more than fetching the row."""
        names = self._columns.get(statement)
        if names is None:
            names = self._columns[statement] = tuple(column[0] for column in cursor.description or ())
        return names

    def append(self, origin: Origin, event: Event) -> None:
        """Append an event to the log without touching any other table."""
        self.events_appended += 1
        self.writes += 1
        self._connection.execute(
            self._statements["event_append"],
            {
                "at": origin.at,
                "type": event.type,
                "aggregate_type": event.aggregate_type,
                "aggregate_id": event.aggregate_id,
                "version": event.version,
                "actor": origin.actor,
                "correlation_id": origin.correlation_id,
                "causation_seq": origin.causation_seq,
                "data": event_json(event.data),
            },
        )

    def record(self, origin: Origin, event: Event) -> None:
        """Append an event and write the fields it carries into its aggregate's row, in one transaction.

        The row and the log cannot disagree, since both are written from the same event.
        """
        table, key = _TABLES[event.aggregate_type]
        columns = (*event.data, "version")
        build = _insert_sql if event.creates else _update_sql
        self.writes += 1
        sql = build(self.engine, table, key, columns)
        self._connection.execute(sql, {**event.data, "version": event.version, "id": event.aggregate_id})
        self.append(origin, event)


def event_json(data: Mapping[str, Any]) -> str:
    """An event's data as JSON text; fields that hold checked JSON go in as they are."""
    plain = {name: value for name, value in data.items() if not isinstance(value, RawJson)}
    text = to_json(plain).decode()
    if len(plain) == len(data):
        return text
    raw = ",".join(f'"{name}":{value}' for name, value in data.items() if isinstance(value, RawJson))
    return f"{text[:-1]},{raw}}}" if plain else f"{{{raw}}}"


# The column names below come from the domain's own events, never from a caller.
@cache
def _insert_sql(engine: Engine, table: str, key: str, columns: tuple[str, ...]) -> str:
    names = ", ".join((key, *columns))
    values = ", ".join(f":{name}" for name in ("id", *columns))
    return dialect(f"INSERT INTO {table} ({names}) VALUES ({values})", engine)  # noqa: S608


@cache
def _update_sql(engine: Engine, table: str, key: str, columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    return dialect(f"UPDATE {table} SET {assignments} WHERE {key} = :id", engine)  # noqa: S608
