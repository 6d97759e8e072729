"""A transaction on PostgreSQL, where every statement has its price: what is only written is held back and sent
together, rows of one shape in one statement, before the next read or the commit."""

from functools import cache
from typing import Any

from pydantic_core import to_json

from mcp_server.persistence.transaction import (
    EVENT_COLUMNS,
    Connection,
    Cursor,
    Kept,
    Transaction,
    insert_sql,
    update_sql,
)

_Shape = tuple[str, tuple[str, ...], bool]
"""A table, its columns with the key last, and whether the rows are new."""


class PostgresTransaction(Transaction):
    """See the module. Reads see everything written before them, as they would without."""

    def __init__(self, connection: Connection, kept: Kept) -> None:
        super().__init__(connection, "postgres", kept)
        self._rows: dict[_Shape, list[list[Any]]] = {}
        self._changed: set[str] = set()
        self._events: list[tuple[Any, ...]] = []

    def flush(self) -> None:
        """Send what has been held back."""
        self._flush_rows()
        if self._events:
            records = [
                dict(zip(EVENT_COLUMNS, values, strict=True), seq=number) for number, values in enumerate(self._events)
            ]
            linked = any((values[_CAUSE] or 0) < 0 for values in self._events)
            self._connection.execute(_APPEND_LINKED if linked else _APPEND_MANY, [to_json(records).decode()])
            self._events = []

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Cursor:
        self._flush_rows()
        return super()._execute(statement, parameters)

    def _write_row(self, table: str, columns: tuple[str, ...], values: list[Any], *, new: bool) -> None:
        if values[-1] in self._changed:  # one statement cannot change a row twice
            self._flush_rows()
        self._changed.add(values[-1])
        self._rows.setdefault((table, columns, new), []).append(values)

    def _write_event(self, values: tuple[Any, ...]) -> int:
        self._events.append(values)
        return -len(self._events)

    def _flush_rows(self) -> None:
        for (table, columns, new), rows in self._rows.items():
            if len(rows) == 1:
                self._connection.execute((insert_sql if new else update_sql)("postgres", table, columns), rows[0])
            else:
                # A column that a record leaves out is null all the same, and most of a new row's are.
                records = [
                    {name: value for name, value in zip(columns, values, strict=True) if value is not None}
                    for values in rows
                ]
                sql = (_insert_many if new else _update_many)(table, columns)
                self._connection.execute(sql, [to_json(records).decode()])
        self._rows.clear()
        self._changed.clear()


# Table and column names come from the domain's own events, never from a caller.
@cache
def _insert_many(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_records(table)}"  # noqa: S608


@cache
def _update_many(table: str, columns: tuple[str, ...]) -> str:
    key = columns[-1]
    assignments = ", ".join(f"{name} = r.{name}" for name in columns[:-1])
    return f"UPDATE {table} AS t SET {assignments} FROM {_records(table)} WHERE t.{key} = r.{key}"  # noqa: S608


def _records(table: str) -> str:
    return f"json_populate_recordset(NULL::{table}, CAST(%s AS json)) AS r"


# The number of each record only puts them in order; the log gives out its own.
_APPEND_MANY = f"{_insert_many('events', EVENT_COLUMNS)} ORDER BY r.seq"

_CAUSE = EVENT_COLUMNS.index("causation_seq")
# Where an event was brought about by one of the same transaction, `causation_seq` is -1 for the first, -2 for the
# second, and so on: the numbers that the log gives out are put in their place.
_LINKED = ", ".join(
    "COALESCE(c.number, g.causation_seq)" if name == "causation_seq" else f"g.{name}" for name in EVENT_COLUMNS
)
_APPEND_LINKED = f"""
WITH given AS MATERIALIZED (
  SELECT nextval(pg_get_serial_sequence('events', 'seq')) AS number, r.*
  FROM (SELECT * FROM {_records("events")} ORDER BY r.seq) AS r)
INSERT INTO events (seq, {", ".join(EVENT_COLUMNS)}) OVERRIDING SYSTEM VALUE
SELECT g.number, {_LINKED} FROM given AS g LEFT JOIN given AS c ON c.seq = -1 - g.causation_seq
"""  # noqa: S608
