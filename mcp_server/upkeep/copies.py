"""Whether a database file, which may come from anybody, is one of ours whole, and nothing but that.

A file of SQLite's holds more than rows: triggers, views, virtual tables and expressions run when it is used. So what
stands in its schema is compared with what our own migrations make, before anything of it is run.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.errors import OpsError, Unavailable
from mcp_server.kernel.quoting import named
from mcp_server.persistence.migrate import TABLE, lay_out, migrations, require_known, squeezed
from mcp_server.persistence.sqlite.file import SqliteFile

if TYPE_CHECKING:
    import sqlite3

LOCAL = tuple(table.name for table in AREAS.tables if not table.copied)
"""What no copy holds: keys that sign, seals that came back, who supervises here."""

_MAGIC = b"SQLite format 3\0"
_PAGES = frozenset(2**power for power in range(9, 17))
_UTF_8 = 1
_OBJECTS_MAX = 1000
_STATISTICS = {
    ("table", "sqlite_stat1", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("table", "sqlite_stat4", "sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
}
"""What ANALYZE makes."""

Part = tuple[Any, Any, Any, Any]
"""A line of a schema: type, name, table, statement."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A checked copy: where it is, its size in bytes, and its rows by table."""

    path: Path
    bytes: int
    rows: dict[str, int]


def inspect(path: Path, *, told_as: Path | None = None, reads_all: bool = False) -> Copied:
    """Check a database file whole: its schema, its pages, its references.

    Args:
        path: of the file, which nobody must be able to change between this and its use.
        told_as: what it is a copy of, where that is what the user knows.
        reads_all: whether every value is read as well, since it may come from anybody.

    Raises:
        Unavailable: damaged, no database of ours and nothing but that, or of a newer version.
    """
    name = told_as or path
    require_file(path)
    _require_header(path, name)
    file = SqliteFile(path)
    try:
        with contextlib.closing(_opened(file)) as connection:
            _require_our_schema(connection, name)
            _require_undamaged(connection, name)
            return Copied(path, path.stat().st_size, row_counts(connection, reads_all=reads_all))
    except (UnicodeDecodeError, file.library.Error) as error:
        raise _explained(name, error) from error


def row_counts(connection: "sqlite3.Connection", *, reads_all: bool = False) -> dict[str, int]:
    """How many rows each table has; where every value is read, one that cannot be fails."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    counts: dict[str, int] = {}
    for (table,) in tables.fetchall():  # names come from the file's own schema, quoted
        if reads_all:
            counts[table] = sum(1 for _ in connection.execute(f'SELECT * FROM "{table}"'))  # noqa: S608
        else:
            counts[table] = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
    return counts


def leave_behind(file: SqliteFile) -> None:
    """Take out of a copy what belongs to the place that it was made at, to the last byte: who finds a copy can sign
    nothing, and after a restore nothing is good that was signed before."""
    with contextlib.closing(file.connect()) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, complete without its log
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA secure_delete = ON")
        there = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for table in LOCAL:
            if table in there:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names


def _require_undamaged(connection: "sqlite3.Connection", name: Path) -> None:
    damage = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    if damage != ["ok"]:
        raise _damaged(name, "; ".join(map(str, damage)))
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise _damaged(name, "a row refers to another that is not there")


def _explained(name: Path, error: Exception) -> OpsError:
    """What keeps a file from being looked at; the libraries differ in how they say that text is none."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode"):
        return _damaged(name, "it holds text that is not UTF-8")
    return SqliteFile(name).explain(error)


def require_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        Unavailable: naming it.
    """
    if not path.is_file():
        raise Unavailable(f"There is no file {path}.", next="Check the path, or name the database with --database.")


def _opened(file: SqliteFile) -> "sqlite3.Connection":
    if not file.log_path.exists():
        file.read_only_alone()
    connection = file.connect(read_only=True)
    connection.row_factory = None
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _require_header(path: Path, name: Path) -> None:
    """Refuse what SQLite need not even look at."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(_MAGIC) or len(header) < 100:
        raise Unavailable(f"The database {name} is not an SQLite database.", next="Name the file of a backup.")
    if not _is_of_whole_pages(path.stat().st_size, int.from_bytes(header[16:18], "big")):
        raise _damaged(name, "its size is no number of pages")
    if not any(header[56:60]):  # how its text is kept is settled by the first table
        raise Unavailable(f"The database {name} holds nothing yet.", next="Start a server on it first.")
    if int.from_bytes(header[56:60], "big") != _UTF_8:
        raise _not_ours(name, "its text is not UTF-8")


def _is_of_whole_pages(size: int, said: int) -> bool:
    page = 65536 if said == 1 else said
    return page in _PAGES and size % page == 0


def _require_our_schema(connection: "sqlite3.Connection", name: Path) -> None:
    """Refuse a schema that is not, to the letter, what the migrations make that the file says it has seen."""
    found = _parts(connection)
    if ("table", "migrations", "migrations", squeezed(TABLE)) not in found:
        raise Unavailable(f"{name} is not a database of this server.", next="Name the file of a backup.")
    # A view may stand in any table's place, and never end: nothing is read before it is known that none is there.
    ours = _meant(frozenset(migration.number for migration in migrations("sqlite")))
    _refuse(name, "it holds", [part for part in found if part[0] not in ("table", "index") and part not in ours])
    meant, there = _meant(_seen(connection, name)), set(found)
    _refuse(name, "it holds", there - meant - _STATISTICS)
    _refuse(name, "it lacks", meant - there)
    if len(there) < len(found):
        raise _not_ours(name, "something stands in it twice")


def _seen(connection: "sqlite3.Connection", name: Path) -> frozenset[int]:
    """The migrations that the file says it has seen, all of which are known."""
    known, applied = migrations("sqlite"), _applied(connection)
    require_known(applied, known, str(name))
    if not applied or not applied.keys() <= {migration.number for migration in known}:
        raise _not_ours(name, "it was set up by migrations that this version does not know")
    return frozenset(applied)


def _refuse(name: Path, what: str, parts: Collection[Part]) -> None:
    if parts:
        raise _not_ours(name, f"{what} {_listed(parts)}")


def _applied(connection: "sqlite3.Connection") -> dict[int, str]:
    return dict(connection.execute("SELECT number, checksum FROM migrations LIMIT ?", (_OBJECTS_MAX,)).fetchall())


def _meant(numbers: frozenset[int]) -> set[Part]:
    """The schema that these migrations make."""
    library: Any = SqliteFile(Path(":memory:")).library
    with contextlib.closing(library.connect(":memory:", isolation_level=None)) as connection:
        lay_out(connection, numbers)
        return set(_parts(connection))


def _parts(connection: "sqlite3.Connection") -> list[Part]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT ?", (_OBJECTS_MAX,))
    return [(kind, name, table, squeezed(sql)) for kind, name, table, sql in rows.fetchall()]


def _listed(parts: Collection[Part]) -> str:
    told = sorted(f"{kind} {named(str(part))}" for kind, part, _, _ in parts)
    return ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "")


def _not_ours(name: Path, why: str) -> OpsError:
    return Unavailable(
        f"{name} is not a database of this server as it makes them: {why}.",
        next="Take out of it what is named, or use a file of `data-mcp-server-agent backup`. Nothing was changed.",
        details={"path": str(name)},
    )


def _damaged(path: Path, how: str) -> OpsError:
    return Unavailable(f"{path} is damaged: {how}.", next="Use another backup.", details={"path": str(path)})
