"""DB-API's names for what goes wrong, and which of apsw's errors each is."""

import contextlib
from collections.abc import Generator
from typing import NoReturn

import apsw


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


FAILURES = (apsw.Error, TypeError, KeyError)
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


def refuse(error: Exception) -> NoReturn:
    """Raise apsw's error, or that of a parameter, as DB-API's."""
    result = getattr(error, "result", None)
    if result is None:
        raise ProgrammingError(str(error)) from error
    known = _KINDS.get(result, OperationalError)(str(error))
    known.sqlite_errorcode = getattr(error, "extendedresult", result)
    raise known from error


@contextlib.contextmanager
def told() -> Generator[None]:
    """Whatever apsw raises inside comes as DB-API's."""
    try:
        yield
    except FAILURES as error:
        refuse(error)
