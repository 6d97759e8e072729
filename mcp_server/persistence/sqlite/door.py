"""apsw in the shape of the standard library's `sqlite3`, where pysqlite3 has no wheel.

As much of DB-API as this package and aiosqlite use: connections in autocommit mode, cursors, rows by name, copies,
and the library's errors under the names that DB-API gives them. What is not here is refused, never imitated.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast

import apsw

from mcp_server.persistence.sqlite.door_cursor import Cursor, Row, Values
from mcp_server.persistence.sqlite.door_errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - DB-API names it
    told,
)

__all__ = [
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Row",
    "Warning",
    "connect",
    "paramstyle",
    "register_adapter",
    "register_converter",
    "sqlite_version",
    "sqlite_version_info",
]

paramstyle = "qmark"
sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))
globals().update({name: code for name, code in vars(apsw).items() if name.startswith("SQLITE_")})

_COPY_AGAIN_SECONDS = 0.25


Progress = Callable[[int, int, int], object]
"""Told how a step of a copy went, how many pages are left, and of how many."""


def _untold(status: int, left: int, pages: int) -> None:
    """Nobody asks."""


class Connection:
    """A connection in autocommit mode, which any thread may use, one at a time."""

    def __init__(self, inner: apsw.Connection) -> None:
        self._inner = inner
        self.row_factory: Any = None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        with told():
            return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        """How many rows were changed since it was opened."""
        with told():
            return self._inner.total_changes()

    def cursor(self) -> Cursor:
        """A cursor."""
        with told():
            return Cursor(self, self._inner.cursor())

    def execute(self, sql: str, parameters: Values = (), /) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    def backup(self, target: "Connection", *, pages: int = -1, progress: Progress | None = None) -> None:
        """Copy everything to another connection, so many pages at once; whoever holds it up is waited for."""
        tell = progress or _untold
        with told(), target._inner.backup("main", self._inner, "main") as copy:
            while not copy.done:
                try:
                    copy.step(pages)
                    tell(apsw.SQLITE_DONE if copy.done else apsw.SQLITE_OK, copy.remaining, copy.page_count)
                except (apsw.BusyError, apsw.LockedError):
                    time.sleep(_COPY_AGAIN_SECONDS)

    def changed(self) -> tuple[int, int]:
        """How many rows the last change touched, and the number of the row that was last put in."""
        return self._inner.changes(), self._inner.last_insert_rowid()

    def names(self, sql: str, parameters: Values) -> list[str]:
        """The columns of a statement, which is not run."""
        found: list[str] = []

        def look(cursor: apsw.Cursor, _sql: str, _parameters: Any) -> bool:
            found.extend(column[0] for column in cursor.get_description())
            return False

        with told(), contextlib.suppress(apsw.ExecTraceAbort):
            cursor = cast("Any", self._inner.cursor())
            cursor.exec_trace = look
            cursor.execute(sql, parameters)
        return found

    def close(self) -> None:
        """Close it, and what is still read on it; once more does nothing."""
        self._inner.close(True)


def connect(
    database: Any,
    *,
    uri: bool = False,
    timeout: float = 5.0,
    isolation_level: str | None = "",
    cached_statements: int = 128,
    check_same_thread: bool = False,
) -> Connection:
    """Open a database; see `sqlite3.connect`.

    Raises:
        NotSupportedError: asked to begin transactions by itself, or to refuse other threads.
    """
    if isolation_level is not None or check_same_thread:
        raise NotSupportedError("This library knows connections in autocommit mode alone, for any thread.")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | (apsw.SQLITE_OPEN_URI if uri else 0)
    with told():
        inner = apsw.Connection(str(database), flags=flags, statementcachesize=cached_statements)
    inner.set_busy_timeout(round(timeout * 1000))
    return Connection(inner)


def register_adapter(*_: Any) -> NoReturn:
    """Values are bound as they are."""
    raise NotSupportedError("Turn values into text, numbers or bytes yourself.")


register_converter = register_adapter
