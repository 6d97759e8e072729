"""A transaction on SQLite, where a statement costs microseconds: each runs at once, parameters bound by position."""

from functools import cache
from typing import Any

from mcp_server.kernel.areas import Areas
from mcp_server.kernel.json_text import RawJson
from mcp_server.persistence.statements import positional, statements
from mcp_server.persistence.transaction import EVENT_COLUMNS, Connection, Cursor, Kept, Transaction


class SqliteTransaction(Transaction):
    """See the module. What is only written shares a cursor, which costs a third of a short statement to make."""

    def __init__(self, connection: Connection, kept: Kept, areas: Areas) -> None:
        super().__init__(connection, kept, areas)
        self._statements = statements("sqlite", areas.sql)
        self._writing = connection.cursor()

    def settle(self) -> None:
        """Nothing to do: each statement has run."""

    def _execute(self, statement: str, parameters: dict[str, Any]) -> Cursor:
        sql, names = positional(self._statements[statement])
        return self._connection.execute(sql, _plain([parameters[name] for name in names]))

    def _write_row(self, table: str, columns: tuple[str, ...], values: list[Any], *, new: bool) -> None:
        self._writing.execute((_insert if new else _update)(table, columns), _plain(values))

    def _write_event(self, values: tuple[Any, ...]) -> int:
        return self._writing.execute(_APPEND, values).lastrowid or 0


def _plain(values: list[Any]) -> list[Any]:
    """Checked JSON as plain strings: sqlite3 puts subclasses of str through its adapters."""
    return [str(value) if type(value) is RawJson else value for value in values]


# Table and column names come from the domain's own events, never from a caller. The key is the last of the columns.
@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@cache
def _update(table: str, columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = ?" for name in columns[:-1])
    return f"UPDATE {table} SET {assignments} WHERE {columns[-1]} = ?"  # noqa: S608


_APPEND = _insert("events", EVENT_COLUMNS)
