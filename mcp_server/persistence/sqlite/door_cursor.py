"""Cursors of apsw's as DB-API has them, and rows by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import apsw

from mcp_server.persistence.sqlite.door_errors import FAILURES, refuse

if TYPE_CHECKING:
    from mcp_server.persistence.sqlite.door import Connection

Values = Sequence[Any] | Mapping[str, Any]
Description = tuple[tuple[Any, ...], ...]


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
        except FAILURES as error:
            refuse(error)
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
        except FAILURES as error:
            refuse(error)
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
        except FAILURES as error:
            refuse(error)

    def _names(self) -> list[str]:
        try:
            described = self._inner.get_description()
        except apsw.Error:  # it is at its end
            return self._connection.names(*self._asked)
        return [column[0] for column in described]
