"""Schema migrations: numbered, forward only, each in one transaction, the same names for both engines."""

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.statements import Engine

TABLE = "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
"""Where a database keeps which of them it has seen."""
_ENDS = re.compile(r";[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, so that an edited migration is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The single statements, comments removed. A semicolon at the end of a line ends one; inside of one, such as a
        trigger, it stands in the midst of a line."""
        lines = [line for line in self.sql.splitlines() if not line.lstrip().startswith("--")]
        return [part.strip() for part in _ENDS.split("\n".join(lines)) if part.strip()]


class AnyConnection(Protocol):
    """A driver's connection in autocommit mode."""

    def execute(self, sql: Any, parameters: Any = ..., /) -> Any: ...


@cache
def migrations(engine: Engine) -> list[Migration]:
    """Every migration of an engine, in order."""
    found = sorted((Path(__file__).parent / "migrations" / engine).glob("*.sql"))
    return [Migration(int(path.stem[:4]), path.stem[5:], path.read_text("utf-8")) for path in found]


def migrate(
    connection: AnyConnection,
    engine: Engine,
    database: str,
    before_change: Callable[[int], None] | None = None,
    complete: Callable[[int], None] | None = None,
) -> list[int]:
    """Bring a database up to date. The caller holds the lock that keeps other processes out.

    Args:
        connection: in autocommit mode.
        engine: which migrations.
        database: its name, for messages.
        complete: called with the number of each in its transaction, for what takes more than SQL.
        before_change: called with the first new number before a database that has data is changed.

    Returns:
        The numbers applied now.

    Raises:
        Unavailable: the database is newer than this code, or a migration it has seen was edited.
    """
    _make_table(connection, engine)
    # Changes nothing, but fails where nothing can be written: better told at start than at the first call that writes.
    connection.execute("DELETE FROM migrations WHERE FALSE")
    known = migrations(engine)
    applied = dict(connection.execute("SELECT number, checksum FROM migrations").fetchall())
    require_known(applied, known, database)
    missing = [migration for migration in known if migration.number not in applied]
    if missing and applied and before_change is not None:
        before_change(missing[0].number)
    for migration in missing:
        _apply(connection, migration, "%s" if engine == "postgres" else "?", complete)
    return [migration.number for migration in missing]


def _make_table(connection: AnyConnection, engine: Engine) -> None:
    """Make it where there is none. PostgreSQL asks for the right to make one, even where it is there."""
    if engine == "sqlite" or connection.execute("SELECT to_regclass('migrations')").fetchone() == (None,):
        connection.execute(TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))


def is_set_up(connection: AnyConnection, database: str) -> bool:
    """Whether a database of SQLite's has the tables of this server; False of one that holds nothing.

    Raises:
        Unavailable: it holds another program's.
    """
    tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' LIMIT 1000"
    found = {name: squeezed(sql) for name, sql in connection.execute(tables).fetchall()}
    if found and found.get("migrations") != squeezed(TABLE):
        held = ", ".join(map(repr, sorted(map(str, found))[:3]))
        raise Unavailable(
            f"The database {database} is another program's: it holds {held}{' and more' if len(found) > 3 else ''}.",
            next="Choose another file with --database. Nothing was changed.",
        )
    return bool(found)


def squeezed(sql: Any) -> Any:
    """The text of a statement as it counts, however its blanks stand."""
    return " ".join(sql.split()) if isinstance(sql, str) else sql


def lay_out(connection: AnyConnection, numbers: Collection[int]) -> None:
    """Make the schema of some migrations in an empty database of SQLite's."""
    connection.execute(TABLE)
    for migration in migrations("sqlite"):
        if migration.number in numbers:
            _apply(connection, migration, "?")


def require_known(applied: dict[int, str], known: list[Migration], database: str) -> None:
    """Refuse a database that a newer version has changed, or whose history is not ours.

    Raises:
        Unavailable: naming both versions.
    """
    require_not_newer(max(applied, default=0), max((migration.number for migration in known), default=0), database)
    for migration in known:
        if migration.number in applied and applied[migration.number] != migration.checksum:
            raise Unavailable(
                f"The database {database} was set up by another edition of migration {migration.number}.",
                next="Use the version that created it, or another database. Nothing was changed.",
            )


def require_current(applied: dict[int, str], known: list[Migration], database: str) -> None:
    """Refuse a database that this version would have to upgrade, where it cannot be written.

    Raises:
        Unavailable: naming both versions.
    """
    require_known(applied, known, database)
    if len(applied) < len(known):
        raise Unavailable(
            f"The database {database} has schema {max(applied, default=0)}, this version's is {known[-1].number}, and "
            "it cannot be upgraded, since it cannot be written.",
            next="Start this version once on it where it can be written. Nothing was changed.",
        )


def require_not_newer(schema: int, known: int, database: str) -> None:
    """Refuse a database that a newer version has upgraded, at the start or since.

    Raises:
        Unavailable: naming both versions.
    """
    if schema > known:
        raise Unavailable(
            f"The database {database} has schema {schema}, but this version knows only up to {known}: "
            "a newer DataMCPServerAgent has upgraded it.",
            next="Upgrade this installation and start it again, or use another database with --database. Nothing was "
            "changed.",
            details={"schema": schema, "known": known},
        )


def newest_known(engine: Engine) -> int:
    """The number of the newest schema that this code knows."""
    return migrations(engine)[-1].number


def _apply(
    connection: AnyConnection, migration: Migration, mark: str, complete: Callable[[int], None] | None = None
) -> None:
    connection.execute("BEGIN")
    try:
        for statement in migration.statements():
            connection.execute(statement)
        if complete is not None:
            complete(migration.number)
        connection.execute(
            f"INSERT INTO migrations (number, name, checksum) VALUES ({mark}, {mark}, {mark})",  # noqa: S608
            (migration.number, migration.name, migration.checksum),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
