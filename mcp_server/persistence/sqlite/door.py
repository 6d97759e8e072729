"""apsw in the shape of the standard library's `sqlite3`, where pysqlite3 has no wheel.

As much of DB-API as this package and aiosqlite use: connections in autocommit mode, cursors, rows by name, copies,
and the library's errors under the names that DB-API gives them. What is not here is refused, never imitated.
"""

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn, cast

import apsw

Values = Sequence[Any] | Mapping[str, Any]
Description = tuple[tuple[Any, ...], ...]

paramstyle = "qmark"
sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))
globals().update({name: code for name, code in vars(apsw).items() if name.startswith("SQLITE_")})

_COPY_AGAIN_SECONDS = 0.25


class Warning(Exception):  # noqa: A001 - DB-API names it
    """Never raised."""


class Error(Exception):
    """What went wrong in the library; `sqlite_errorcode` is its extended code where SQLite gave one."""

    sqlite_errorcode: int


class InterfaceError(Error):
    """The library was used in a way that it does not know."""


class DatabaseError(Error):
    """The database, or a statement, is at fault."""


class DataError(DatabaseError):
    """A value is too large."""


class OperationalError(DatabaseError):
    """The database cannot do it now, or the statement is wrong."""


class IntegrityError(DatabaseError):
    """A constraint does not hold."""


class InternalError(DatabaseError):
    """SQLite met something that it did not expect."""


class ProgrammingError(DatabaseError):
    """Wrong parameters, or a connection that is closed."""


class NotSupportedError(DatabaseError):
    """apsw has it in another way, or nothing here needs it."""


_FAILURES = (apsw.Error, TypeError, KeyError)
_KINDS: dict[int, type[Error]] = {
    apsw.SQLITE_INTERNAL: InternalError,
    apsw.SQLITE_NOTFOUND: InternalError,
    apsw.SQLITE_CORRUPT: DatabaseError,
    apsw.SQLITE_NOTADB: DatabaseError,
    apsw.SQLITE_AUTH: DatabaseError,
    apsw.SQLITE_TOOBIG: DataError,
    apsw.SQLITE_CONSTRAINT: IntegrityError,
    apsw.SQLITE_MISMATCH: IntegrityError,
    apsw.SQLITE_MISUSE: InterfaceError,
    apsw.SQLITE_RANGE: InterfaceError,
}


def _refuse(error: Exception) -> NoReturn:
    """Raise apsw's error, or that of a parameter, as DB-API's."""
    result = getattr(error, "result", None)
    if result is None:
        raise ProgrammingError(str(error)) from error
    told = _KINDS.get(result, OperationalError)(str(error))
    told.sqlite_errorcode = getattr(error, "extendedresult", result)
    raise told from error


@contextlib.contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except _FAILURES as error:
        _refuse(error)


@lru_cache(maxsize=2048)
def _counts(sql: str) -> bool:
    """Whether a statement says how many rows it touched: the standard library's rule."""
    return sql.lstrip()[:7].rstrip().upper() in {"INSERT", "UPDATE", "DELETE", "REPLACE"}


class Row:
    """A row whose values are found by place or by name, and which `dict` takes."""

    __slots__ = ("_places", "_values")

    def __init__(self, cursor: "Cursor", values: tuple[Any, ...]) -> None:
        self._places = cursor.places
        self._values = values

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            try:
                return self._values[self._places[key]]
            except KeyError:
                raise IndexError(f"No item with the key {key!r}.") from None
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._places)


class Cursor:
    """Runs statements, and gives what they find. What changes something is run to its end at once: an INSERT whose
    RETURNING nobody has read to the end would hold up the commit."""

    __slots__ = ("_asked", "_connection", "_inner", "_places", "_read", "lastrowid", "rowcount")

    def __init__(self, connection: "Connection", inner: apsw.Cursor) -> None:
        self._connection = connection
        self._inner: Any = inner  # whose stubs leave a type open
        self._asked: tuple[str, Values] = ("", ())
        self._read: list[tuple[Any, ...]] = []
        """Rows that are read already, in reverse."""
        self._places: dict[str, int] | None = None
        self.lastrowid: int | None = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Values = (), /) -> "Cursor":
        """Run a statement."""
        self._asked = (sql, parameters)
        self._places = None
        inner = self._inner
        try:
            first = inner.execute(sql, parameters).fetchone()
            if first is None:
                self._read = []
            elif inner.is_readonly:
                self._read = [first]
            else:
                self._read = [first, *inner][::-1]
        except _FAILURES as error:
            _refuse(error)
        if _counts(sql):
            self.rowcount, self.lastrowid = self._connection.changed()
        else:
            self.rowcount = -1
        return self

    def executemany(self, sql: str, rows: Iterable[Values], /) -> "Cursor":
        """Run a statement once for each set of parameters."""
        touched = 0
        for parameters in rows:
            touched += self.execute(sql, parameters).rowcount
        self.rowcount = touched
        return self

    @property
    def description(self) -> Description | None:
        """The columns of what was run: the name, and six times nothing."""
        names = self._names()
        return tuple((name, None, None, None, None, None, None) for name in names) or None

    @property
    def places(self) -> dict[str, int]:
        """Where in a row each column is; of two with one name the first."""
        if self._places is None:
            self._places = {}
            for place, name in enumerate(self._names()):
                self._places.setdefault(name, place)
        return self._places

    def fetchone(self) -> Any:
        """The next row; None when there is none."""
        values = self._read.pop() if self._read else self._next()
        factory = self._connection.row_factory
        return values if values is None or factory is None else factory(self, values)

    def fetchmany(self, size: int, /) -> list[Any]:
        """The next rows, so many at most."""
        rows: list[Any] = []
        while len(rows) < size and (row := self.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        factory = self._connection.row_factory
        if factory is Row and self._read:
            _ = self.places  # while the statement runs, it can be asked
        read = self._read[::-1]
        self._read = []
        try:
            values = read + self._inner.fetchall()
        except _FAILURES as error:
            _refuse(error)
        return values if factory is None else [factory(self, one) for one in values]

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """Leave what has not been read."""
        self._inner.close(True)

    def _next(self) -> tuple[Any, ...] | None:
        try:
            return self._inner.fetchone()
        except _FAILURES as error:
            _refuse(error)

    def _names(self) -> list[str]:
        try:
            described = self._inner.get_description()
        except apsw.Error:  # it is at its end
            return self._connection.names(*self._asked)
        return [column[0] for column in described]


class Connection:
    """A connection in autocommit mode, which any thread may use, one at a time."""

    def __init__(self, inner: apsw.Connection) -> None:
        self._inner = inner
        self.row_factory: Any = None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        with _told():
            return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        """How many rows were changed since it was opened."""
        with _told():
            return self._inner.total_changes()

    def cursor(self) -> Cursor:
        """A cursor."""
        try:
            return Cursor(self, self._inner.cursor())
        except apsw.Error as error:
            _refuse(error)

    def execute(self, sql: str, parameters: Values = (), /) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    def backup(self, target: "Connection", *, pages: int = -1) -> None:
        """Copy everything to another connection, so many pages at once; whoever holds it up is waited for."""
        with _told(), target._inner.backup("main", self._inner, "main") as copy:
            while not copy.done:
                try:
                    copy.step(pages)
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

        with _told(), contextlib.suppress(apsw.ExecTraceAbort):
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
    with _told():
        inner = apsw.Connection(str(database), flags=flags, statementcachesize=cached_statements)
    inner.set_busy_timeout(round(timeout * 1000))
    return Connection(inner)


def register_adapter(*_: Any) -> NoReturn:
    """Values are bound as they are."""
    raise NotSupportedError("Turn values into text, numbers or bytes yourself.")


register_converter = register_adapter
