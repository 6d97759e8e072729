"""A transaction on PostgreSQL, where every statement has its price: what is only written is held back and sent
together, rows of one shape in one statement, before the next read or the commit. Many go out in several parts, so that
the server works on one while the next is being made."""

from collections import deque
from collections.abc import Sequence
from functools import cache
from types import NoneType
from typing import Any

from mcp_server.kernel.areas import Areas
from mcp_server.persistence.statements import statements
from mcp_server.persistence.transaction import EVENT_COLUMNS, Connection, Cursor, Kept, Transaction

HELD_BACK_MAX = 64
"""Events, and as many rows at most."""

_Shape = tuple[str, tuple[str, ...], bool]
"""A table, its columns with the key last, and whether the rows are new."""


class PostgresTransaction(Transaction):
    """See the module. Reads see everything written before them, as they would without."""

    def __init__(self, connection: Connection, kept: Kept, areas: Areas) -> None:
        super().__init__(connection, kept, areas)
        self._statements = statements("postgres", areas.sql)
        self._rows: dict[_Shape, list[list[Any]]] = {}
        self._changed: set[tuple[str, str]] = set()
        self._events: list[tuple[Any, ...]] = []
        self._sent = 0
        self._answers: deque[Cursor] = deque()
        self._numbers: list[int] = []
        self.last_event: tuple[Any, ...] | None = None
        """As `EVENT_COLUMNS` say."""

    def flush(self) -> None:
        """Send what has been held back. The session calls it before it commits."""
        self._flush_rows()
        if self._events:
            self._flush_events()

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Cursor:
        self._flush_rows()
        return self._connection.execute(self._statements[statement], parameters)

    def _write_row(self, table: str, columns: tuple[str, ...], values: list[Any], *, new: bool) -> None:
        row = (table, values[-1])
        if row in self._changed:  # one statement cannot change a row twice
            self._flush_rows()
        self._changed.add(row)
        self._rows.setdefault((table, columns, new), []).append(values)

    def _write_event(self, values: tuple[Any, ...]) -> int:
        self._events.append(values)
        self.last_event = values
        number = -self._sent - len(self._events)
        if len(self._events) >= HELD_BACK_MAX:
            self.flush()
        return number

    def settle(self) -> None:
        """Send what has been held back, and wait for what the server says of it."""
        self.flush()
        self._connection.execute("SELECT 1", ()).fetchone()

    def _flush_rows(self) -> None:
        for (table, columns, new), rows in self._rows.items():
            kinds, arrays = _arrays(zip(*rows, strict=True))
            self._connection.execute((_insert if new else _update)(table, columns, kinds), arrays)
        self._rows.clear()
        self._changed.clear()

    def _flush_events(self) -> None:
        columns = list(zip(*self._events, strict=True))
        linked = any((cause or 0) < 0 for cause in columns[_CAUSE])
        if linked:
            columns[_CAUSE] = tuple([self._cause(cause) for cause in columns[_CAUSE]])
        kinds, arrays = _arrays(columns)
        self._answers.append(self._connection.execute((_append_linked if linked else _append)(kinds), arrays))
        self._sent += len(self._events)
        self._events = []

    def _cause(self, number: int | None) -> int | None:
        """A cause as the statement to come knows it: by the log's number if it has been sent, else by its place in that
        statement, the first being -1."""
        if number is None or number >= 0:
            return number
        if -number > self._sent:
            return number + self._sent
        while len(self._numbers) < -number:
            self._numbers += [row[0] for row in self._answers.popleft().fetchall()]
        return self._numbers[-number - 1]


_Kinds = tuple[str | None, ...]
"""The type of each column; None where all its values are null, and no array is sent for it."""


def _arrays(columns: "Sequence[tuple[Any, ...]] | zip[tuple[Any, ...]]") -> tuple[_Kinds, list[str]]:
    """Columns as array literals: the server reads these faster than JSON, and psycopg's own arrays are slow to make."""
    kinds: list[str | None] = []
    arrays: list[str] = []
    for values in columns:
        types = set(map(type, values))
        nullable = NoneType in types
        types.discard(NoneType)
        if not types:
            kinds.append(None)
        elif types <= {int, float}:
            kinds.append("double precision" if float in types else "bigint")
            arrays.append("{" + ",".join(["NULL" if v is None else repr(v) for v in values]) + "}")
        else:
            kinds.append("text")
            arrays.append(_nullable_texts(values) if nullable else _texts(values))
    return tuple(kinds), arrays


def _texts(values: Sequence[str]) -> str:
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        raise ValueError("NUL cannot be stored")
    return '{"' + _escaped(joined).replace("\0", '","') + '"}'


def _nullable_texts(values: Sequence[str | None]) -> str:
    return "{" + ",".join(["NULL" if v is None else f'"{_escaped(v)}"' for v in values]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# Table and column names come from the domain's own events, never from a caller.
@cache
def _insert(table: str, columns: tuple[str, ...], kinds: _Kinds) -> str:
    values = ", ".join(_values(columns, kinds))
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {_unnested(columns, kinds)} AS r"  # noqa: S608


@cache
def _update(table: str, columns: tuple[str, ...], kinds: _Kinds) -> str:
    key = columns[-1]
    pairs = zip(columns[:-1], _values(columns, kinds), strict=False)
    assignments = ", ".join(f"{name} = {value}" for name, value in pairs)
    return f"UPDATE {table} AS t SET {assignments} FROM {_unnested(columns, kinds)} AS r WHERE t.{key} = r.{key}"  # noqa: S608


def _values(columns: tuple[str, ...], kinds: _Kinds) -> list[str]:
    return ["NULL" if kind is None else f"r.{name}" for name, kind in zip(columns, kinds, strict=True)]


def _unnested(columns: tuple[str, ...], kinds: _Kinds) -> str:
    """The arrays as rows, each with its `place`, from 1."""
    given = [(name, kind) for name, kind in zip(columns, kinds, strict=True) if kind is not None]
    arrays = ", ".join(f"CAST(%s AS {kind}[])" for _, kind in given)
    names = ", ".join(name for name, _ in given)
    return f"(SELECT * FROM unnest({arrays}) WITH ORDINALITY AS u ({names}, place))"  # noqa: S608


@cache
def _append(kinds: _Kinds) -> str:
    return f"{_insert('events', EVENT_COLUMNS, kinds)} ORDER BY r.place RETURNING seq"


_CAUSE = EVENT_COLUMNS.index("causation_seq")


@cache
def _append_linked(kinds: _Kinds) -> str:
    """Where an event was brought about by one of the same statement, `causation_seq` is -1 for the first, -2 for the
    second, and so on: the numbers that the log gives out are put in their place."""
    values = _values(EVENT_COLUMNS, kinds)
    values[_CAUSE] = "COALESCE(c.number, r.causation_seq)"
    return f"""
WITH given AS MATERIALIZED (
  SELECT nextval((SELECT CAST(pg_get_serial_sequence('events', 'seq') AS regclass))) AS number, o.*
  FROM (SELECT * FROM {_unnested(EVENT_COLUMNS, kinds)} AS u ORDER BY place) AS o)
INSERT INTO events (seq, {", ".join(EVENT_COLUMNS)}) OVERRIDING SYSTEM VALUE
SELECT r.number, {", ".join(values)} FROM given AS r LEFT JOIN given AS c ON c.place = -r.causation_seq
ORDER BY r.place RETURNING seq
"""  # noqa: S608
