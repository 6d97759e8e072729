"""The desk as a hook reads it: the areas' own statements on one connection that changes nothing."""

from __future__ import annotations

import os

from mcp_server.hooks.settings import Settings
from mcp_server.kernel.times import system_clock
from mcp_server.persistence.sqlite.library import UNTRUSTED, load_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]

WAIT_SECONDS = 0.3
_HOUSE = os.path.dirname(os.path.dirname(__file__))
_NEWEST = "SELECT MAX(number) AS newest FROM migrations"
_VERSION = "PRAGMA data_version"
_GLANCES = """
SELECT set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', '2000', false),
  CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS now
"""
_OFF_MIN = 1_000_000


class Unreadable(Exception):
    """Why a desk cannot be read, in one line for people."""


class DeskFile:
    """An SQLite database, which a server may be writing to."""

    engine = "sqlite"
    off = 0

    def __init__(self, path: str) -> None:
        """Open a file that is there.

        Raises:
            Unreadable: it is not readable, or another version's.
        """
        self._path = path
        self._library = load_library()
        alone = not os.access(os.path.dirname(path) or ".", os.W_OK) and not os.path.exists(f"{path}-shm")
        uri = f"{_uri(path)}?mode=ro{'&immutable=1' if alone else ''}"
        try:
            self._connection: Any = self._library.connect(
                uri,
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=16,
                timeout=WAIT_SECONDS,
            )
            self._connection.execute(UNTRUSTED)
        except self._library.Error as error:
            raise Unreadable(f"the database {path} cannot be opened: {error}") from None

    def run(self, sql: str, parameters: Row) -> list[Row]:
        """Rows by name."""
        try:
            return _rows(self._connection.execute(sql, parameters))
        except self._library.Error as error:
            raise Unreadable(f"the database {self._path} cannot be read: {error}") from None

    def version(self) -> object:
        """Something that changes with every commit of another process."""
        return self.run(_VERSION, {})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class DeskServer:
    """A PostgreSQL database. Its driver alone takes longer to load than all of a hook on a file."""

    engine = "postgres"

    def __init__(self, url: str) -> None:
        from mcp_server.kernel.errors import OpsError
        from mcp_server.persistence.postgres.server import PostgresServer
        from mcp_server.persistence.statements import dialect

        try:
            server = PostgresServer(url)
            self._connection: Any = server.connect(timeout_seconds=2)
        except OpsError as error:
            raise Unreadable(f"the database server cannot be reached: {error.wrong}") from None
        self._errors, self._dialect = server.errors, dialect
        off = system_clock() - self.run(_GLANCES, {})[0]["now"]
        self.off = off if abs(off) > _OFF_MIN else 0

    def run(self, sql: str, parameters: Row) -> list[Row]:
        """Rows by name."""
        try:
            return _rows(self._connection.execute(self._dialect(sql, "postgres"), parameters))
        except self._errors as error:
            raise Unreadable(f"the database cannot be read: {error}") from None

    def version(self) -> object:
        """Nothing tells of a commit: every look is a new one."""
        return object()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Desk:
    """What hooks ask."""

    def __init__(self, store: DeskFile | DeskServer) -> None:
        self._store = store
        self._texts: dict[str, str] = {}
        self.version = store.version
        self.off = store.off
        """By how much this machine's clock is ahead of the desk's, in microseconds."""
        self.close = store.close

    def rows(self, area: str, statement: str, **parameters: Any) -> list[Row]:
        """The rows of a statement of an area.

        Raises:
            Unreadable: the database does not answer.
        """
        return self._store.run(self._statement(area, statement), parameters)

    def first(self, area: str, statement: str, **parameters: Any) -> Row | None:
        """The first row, if there is one."""
        return next(iter(self.rows(area, statement, **parameters)), None)

    def require_own_schema(self) -> None:
        """Refuse a database of a version that this one does not know.

        Raises:
            Unreadable: it is newer.
        """
        newest = self._store.run(_NEWEST, {})[0]["newest"] or 0
        folder = os.path.join(_HOUSE, "persistence", "migrations", self._store.engine)
        known = max(int(name[:4]) for name in os.listdir(folder) if name.endswith(".sql"))
        if newest > known:
            raise Unreadable(f"the database has schema {newest}, this version knows up to {known}: upgrade it")

    def _statement(self, area: str, name: str) -> str:
        if area not in self._texts:
            path = os.path.join(_HOUSE, "domain", area, "queries.sql")
            with open(path, encoding="utf-8") as file:
                self._texts[area] = file.read()
        text = self._texts[area]
        heading = f"-- name: {name} (postgres)\n"
        start = text.find(heading) if self._store.engine == "postgres" else -1
        if start < 0:
            heading = f"-- name: {name}\n"
            start = text.index(heading)
        return text[start + len(heading) :].partition("\n-- ")[0]


def _rows(cursor: Any) -> list[Row]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _uri(path: str) -> str:
    """A file's name in the form that SQLite takes; what writes it in general takes half as long to load as all this."""
    whole = os.path.abspath(path).replace(os.sep, "/")
    for character in "%?#":
        whole = whole.replace(character, f"%{ord(character):02x}")
    return f"file://{'' if whole.startswith('/') else '/'}{whole}"


def open_desk(settings: Settings) -> Desk | None:
    """The desk that the settings name; None where there is none yet.

    Raises:
        Unreadable: it is there and cannot be read.
    """
    path = settings.path
    if path is None:
        if not settings.database.startswith(("postgresql://", "postgres://")):
            raise Unreadable("DATAMCP_DATABASE is no database URL: use sqlite:///path or postgresql://user@host/name")
        desk = Desk(DeskServer(settings.database))
    elif not os.path.exists(path):
        return None
    else:
        desk = Desk(DeskFile(path))
    try:
        desk.require_own_schema()
    except BaseException:
        desk.close()
        raise
    return desk
