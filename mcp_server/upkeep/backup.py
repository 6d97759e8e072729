"""Copies of an SQLite database: made while servers run, checked before they count, put back without losing what was
there. Every step leaves either the old state or the new one, whatever kills the process in between."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Busy, Conflict, OpsError, Unavailable
from mcp_server.kernel.events import Origin
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.upkeep.copies import Copied, inspect, leave_behind, require_file, row_counts
from mcp_server.upkeep.disk import refusal
from mcp_server.upkeep.marking import mark_file
from mcp_server.upkeep.watching import Watch, unwatched

_PAGES_AT_ONCE = 2048
_BYTES_AT_ONCE = 4 * 2**20
_OF_THE_TARGET = frozenset({"database or disk is full", "attempt to write a readonly database"})
"""What SQLite says of a copy: the error says nothing of which of the two files it is about."""


def back_up(source: Path, target: Path, *, force: bool, watch: Watch = unwatched) -> Copied:
    """Copy a database that may be in use: one moment's state, complete, but for what signs. The target appears only
    once it is checked.

    Raises:
        Conflict: the target exists and `force` is not set.
        Unavailable: the source cannot be read, the target cannot be written, or the copy turned out incomplete.
    """
    require_file(source)
    if target.exists() and not force:
        raise Conflict(f"{target} exists already.", next="Choose another name, or add --force to replace it.")
    file, partial = SqliteFile(source), _part_of(target)
    try:
        private_files.require_own_links(target.parent)
        os.close(private_files.create(partial))
        expected = _copy_of_now(file, partial, watch)
        if inspect(partial, told_as=source).rows != expected:
            raise Unavailable(f"The copy of {source} is not complete.", next="Run the backup again.")
        leave_behind(SqliteFile(partial))
        copied = _made_durable(partial)
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
        expected = row_counts(connection)
        copy = SqliteFile(partial).connect()
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


def restore(
    source: Path, target: Path, *, force: bool, watch: Watch = unwatched, by: Origin | None = None
) -> tuple[Copied, Path | None]:
    """Put a checked copy in a database's place. What is checked is what is put there: a copy that nobody else knows.
    An event in it says who restored it, where that is given.

    Returns:
        What was restored, and where the database that it replaced is kept; None where there was none.

    Raises:
        Conflict: the database exists and `force` is not set.
        Busy: a server still uses it.
        Unavailable: the source is damaged, no database of ours and nothing but that, or of a newer version.
    """
    _require_alone(source)
    if target.exists() and not force:
        raise Conflict(
            f"The database {target} exists already.",
            next="Add --force to replace it; the present one is kept beside it.",
        )
    file, partial = SqliteFile(target), _part_of(target)
    try:
        private_files.make_folder(target.parent)
        _copy_bytes(source, partial, watch)
        inspect(partial, told_as=source, reads_all=True)
        leave_behind(SqliteFile(partial))
        if by is not None:
            mark_file(SqliteFile(partial), by, source.name)
        copied = _made_durable(partial)
        with file.turnstile():
            kept = _set_aside(file) if target.exists() else None
            partial.replace(target)
            _sync_folder(target.parent)
    except OSError as error:
        raise file.explain(error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Copied(target, copied.bytes, copied.rows), kept


def _part_of(target: Path) -> Path:
    return Path(private_files.part_of(target))


def _made_durable(partial: Path) -> Copied:
    """A copy that is safe on the disk, checked."""
    _make_durable(partial)
    return inspect(partial)


def _require_alone(source: Path) -> None:
    """Refuse a file beside which there are changes that it lacks.

    Raises:
        Unavailable: naming what lies there.
    """
    require_file(source)
    for suffix in ("-wal", "-journal"):
        beside = source.with_name(source.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise Unavailable(
                f"{source} is no backup: changes that it lacks stand beside it in {beside.name}.",
                next="Copy it with `data-mcp-server-agent backup`, and restore that.",
            )


def _copy_bytes(source: Path, target: Path, watch: Watch) -> None:
    """Copy as many bytes as there are at the beginning; a file that grows without end is no backup."""
    try:
        from_ = source.open("rb")
    except OSError as error:
        raise Unavailable(f"{source} cannot be read: {error.strerror}.", next="Let this user read it.") from None
    with from_, os.fdopen(private_files.create(target), "wb") as to:
        total, done = os.fstat(from_.fileno()).st_size, 0
        _require_room(target.parent, source, total)
        while some := from_.read(min(_BYTES_AT_ONCE, total - done)):
            to.write(some)
            done += len(some)
            watch(done, total)


def _require_room(folder: Path, source: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise Unavailable(
            f"{source} has {size:,} bytes, and the disk of {folder} has {free:,} left.",
            next="Make room there. Nothing was changed.",
        )


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
    except OSError:  # a file system without links, or something stands there
        with path.open("rb") as from_, private_files.replacing(kept, is_durable=True) as to:
            shutil.copyfileobj(from_, to, _BYTES_AT_ONCE)


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
