"""Copies of an SQLite database: made while servers run, checked before they count, put back without losing what was
there. Every step leaves either the old state or the new one, whatever kills the process in between."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_server.kernel.errors import Busy, Conflict, OpsError, Unavailable
from mcp_server.persistence.migrate import migrations, require_known
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.upkeep.disk import refusal
from mcp_server.upkeep.watching import Watch, unwatched

if TYPE_CHECKING:
    import sqlite3

_PAGES_AT_ONCE = 2048
_BYTES_AT_ONCE = 4 * 2**20
_OF_THE_TARGET = frozenset({"database or disk is full", "attempt to write a readonly database"})
"""What SQLite says of a copy: the error says nothing of which of the two files it is about."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A checked copy: where it is, its size in bytes, and its rows by table."""

    path: Path
    bytes: int
    rows: dict[str, int]


def back_up(source: Path, target: Path, *, force: bool, watch: Watch = unwatched) -> Copied:
    """Copy a database that may be in use: one moment's state, complete. The target appears only once it is checked.

    Raises:
        Conflict: the target exists and `force` is not set.
        Unavailable: the source cannot be read, the target cannot be written, or the copy turned out incomplete.
    """
    _require_file(source)
    if target.exists() and not force:
        raise Conflict(f"{target} exists already.", next="Choose another name, or add --force to replace it.")
    file = SqliteFile(source)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        expected = _copy_of_now(file, partial, watch)
        copied = inspect(partial)
        if copied.rows != expected:
            raise Unavailable(f"The copy of {source} is not complete.", next="Run the backup again.")
        _make_durable(partial)
        partial.replace(target)
    except OSError as error:
        raise _not_written(target, error.strerror or str(error)) from error
    except file.library.Error as error:
        if str(error) in _OF_THE_TARGET or refusal(target.parent) is not None:
            raise _not_written(target, refusal(target.parent) or str(error)) from error
        raise file.explain(error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Copied(target, target.stat().st_size, copied.rows)


def _copy_of_now(file: SqliteFile, partial: Path, watch: Watch) -> dict[str, int]:
    """Copy one moment's state; how many rows of each table there were in it."""
    connection = file.connect(read_only=True)
    try:
        connection.execute("BEGIN")  # the copy and the counts are of the same moment
        expected = _row_counts(connection)
        copy = file.library.connect(str(partial), isolation_level=None)
        try:
            connection.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda _, left, pages: watch(pages - left, pages))
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete without its log
        finally:
            copy.close()
    finally:
        connection.close()
    return expected


def _not_written(target: Path, reason: str) -> OpsError:
    return Unavailable(
        f"The copy {target} cannot be written: {reason}.",
        next="Nothing is wrong with the database. Make room there, or choose another place.",
        details={"path": str(target)},
    )


def restore(source: Path, target: Path, *, force: bool, watch: Watch = unwatched) -> tuple[Copied, Path | None]:
    """Put a checked copy in a database's place.

    Returns:
        What was restored, and where the database that it replaced is kept; None where there was none.

    Raises:
        Conflict: the database exists and `force` is not set.
        Busy: a server still uses it.
        Unavailable: the source is damaged, no database of ours, or of a newer version.
    """
    copied = inspect(source)
    if target.exists() and not force:
        raise Conflict(
            f"The database {target} exists already.",
            next="Add --force to replace it; the present one is kept beside it.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    file = SqliteFile(target)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        with file.turnstile():
            kept = _set_aside(file) if target.exists() else None
            _copy_bytes(source, partial, watch)
            _make_durable(partial)
            partial.replace(target)
            _sync_folder(target.parent)
    except OSError as error:
        raise file.explain(error) from error
    finally:
        partial.unlink(missing_ok=True)
    return Copied(target, copied.bytes, copied.rows), kept


def _copy_bytes(source: Path, target: Path, watch: Watch) -> None:
    total, done = source.stat().st_size, 0
    with source.open("rb") as from_, target.open("wb") as to:
        while some := from_.read(_BYTES_AT_ONCE):
            to.write(some)
            done += len(some)
            watch(done, total)


def inspect(path: Path) -> Copied:
    """Check a database file whole: its pages, its references, its schema.

    Raises:
        Unavailable: damaged, no database of ours, or of a newer version.
    """
    _require_file(path)
    file = SqliteFile(path)
    try:
        connection = file.connect(read_only=True)
        try:
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
            if damage != ["ok"]:
                raise _damaged(path, "; ".join(map(str, damage)))
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise _damaged(path, "a row refers to another that is not there")
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
                raise Unavailable(f"{path} is not a database of this server.", next="Name the file of a backup.")
            applied = dict(connection.execute("SELECT number, checksum FROM migrations").fetchall())
            require_known(applied, migrations("sqlite"), str(path))
            return Copied(path, path.stat().st_size, _row_counts(connection))
        finally:
            connection.close()
    except file.library.Error as error:
        raise file.explain(error) from error


def _damaged(path: Path, how: str) -> OpsError:
    return Unavailable(f"{path} is damaged: {how}.", next="Use another backup.", details={"path": str(path)})


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise Unavailable(f"There is no file {path}.", next="Check the path, or name the database with --database.")


def _row_counts(connection: "sqlite3.Connection") -> dict[str, int]:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    # Table names come from the file's own schema, quoted.
    return {
        row[0]: connection.execute(f'SELECT count(*) FROM "{row[0]}"').fetchone()[0]  # noqa: S608
        for row in tables.fetchall()
    }


def _set_aside(file: SqliteFile) -> Path:
    """Keep the present database under another name, its log folded in; it stays in its place, too, until replaced.

    Raises:
        Busy: somebody has it open.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = file.path.with_name(f"{file.path.name}.replaced-{stamp}-{os.getpid()}")
    try:
        connection = file.connect()
        try:
            connection.execute("PRAGMA busy_timeout = 200")
            connection.execute("PRAGMA journal_mode = DELETE")  # succeeds only where nobody else has it open
        finally:
            connection.close()
    except file.library.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != file.library.SQLITE_BUSY:
            _copy(file.path, kept)  # damaged, which may be why it is being replaced: kept as it is
            for suffix in ("-wal", "-shm"):
                file.path.with_name(file.path.name + suffix).unlink(missing_ok=True)
            return kept
        raise Busy(
            f"The database {file.path} is in use.",
            next="Stop every server and worker that uses it, then restore again. Nothing was changed.",
        ) from error
    _copy(file.path, kept)
    return kept


def _copy(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copyfile(path, kept)
        _make_durable(kept)


def _make_durable(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # Windows has no such thing
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
