"""One database file: its connections, the pragmas, the reasons for its failures."""

import errno
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import cast

from mcp_server.kernel.errors import Busy, OpsError, Unavailable
from mcp_server.persistence.sqlite.library import UNTRUSTED, load_library
from mcp_server.persistence.sqlite.mark import Mark
from mcp_server.persistence.sqlite.turnstile import Turnstile

BUSY_TIMEOUT_SECONDS = 5.0
LIKE_AS_TYPED = "PRAGMA case_sensitive_like = ON"
"""Said on every connection: LIKE tells cases apart, as on PostgreSQL, and not for ASCII alone."""
SETTLED_NANOSECONDS = 2_000_000_000
"""A folder's time tells of every change after it once its clock has surely ticked: a second, or two on some disks."""
_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA analysis_limit = 400",  # of each index: tens of milliseconds for the whole database, however large
)


class SqliteFile:
    """One database file, and the connections to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = load_library()
        self._paths = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]
        self._own: tuple[object, ...] | None = None
        self._settled: tuple[int, ...] | None = None
        """The folder as it was when these were its own files; None where it had changed too shortly before, and where
        the file is a link, which leads elsewhere."""
        self._is_immutable = False
        self._is_link = path.is_symlink()
        self._folder_path = str(path.parent)

    @property
    def is_writable(self) -> bool:
        """Whether this user can write the file, and others beside it, as SQLite does."""
        return os.access(self.path, os.R_OK | os.W_OK) and os.access(self.path.parent, os.W_OK)

    def read_only_alone(self) -> None:
        """Only read from now on, where nothing can be written: not even what SQLite keeps beside the file for readers.

        Raises:
            Unavailable: changes stand in the log alone, and reading it needs a file that is not there.
        """
        _, log, index = self._paths
        if log.exists() and log.stat().st_size and not index.exists():
            raise Unavailable(
                f"The database {self.path} has changes in {log.name} that can be read only where files can be made.",
                next="Start a server once on a copy in a folder that can be written.",
            )
        # Where there is no log, nobody writes; should somebody begin to, `require_own` sees the log appear.
        self._is_immutable = not index.exists()
        self.take()

    @property
    def log_path(self) -> Path:
        """The write-ahead log, which every commit goes to."""
        return self._paths[1]

    def take(self) -> None:
        """From now on these very files are meant: the database and the two that SQLite keeps beside it."""
        self._settled = None
        self._own = self._found()

    def forget(self) -> None:
        """Until the next `take`, whatever files stand there are meant."""
        self._own = None

    def require_own(self) -> None:
        """Refuse to go on with files that were removed or replaced: what is written to them is lost.

        Raises:
            Unavailable: naming the file.
        """
        if self._own is None:
            return
        try:
            found = os.stat(self._folder_path)  # noqa: PTH116 - at every read and write; the path's own makes its text anew
            folder = found.st_dev, found.st_ino, found.st_mtime_ns
        except OSError:
            folder = None
        if folder is not None and folder == self._settled:
            return  # nothing came, went or was renamed in it: a look at it costs a third of one at each file
        if self._own != self._found():
            raise Unavailable(
                f"The database {self.path}, or what SQLite keeps beside it, was removed or replaced meanwhile.",
                next="Nothing was written. Put the files back with every server stopped, or start the server anew.",
            )
        tells = folder is not None and not self._is_link and folder[-1] < time.time_ns() - SETTLED_NANOSECONDS
        self._settled = folder if tells else None

    def _found(self) -> tuple[object, ...]:
        return tuple(map(_identity, self._paths))

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """A connection in autocommit mode; a read-only one has rows by name."""
        mode = "ro" if read_only else "rwc"
        uri = f"{uri_of(self.path.absolute())}?mode={mode}{'&immutable=1' if self._is_immutable else ''}"
        connection = cast(
            "sqlite3.Connection",
            self.library.connect(
                uri,
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                timeout=BUSY_TIMEOUT_SECONDS,
            ),
        )
        try:
            connection.execute(UNTRUSTED)
            connection.execute(LIKE_AS_TYPED)
        except BaseException:
            connection.close()
            raise
        if read_only:
            connection.row_factory = self.library.Row
        return connection

    def connect_writer(self) -> sqlite3.Connection:
        """A connection with the pragmas that durable writing needs."""
        connection = self.connect()
        try:
            self._require_wal(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_wal(self, mode: str) -> None:
        """Refuse what SQLite answers where a file system has no shared memory: readers would then hold up writers."""
        if mode.lower() != "wal":
            raise Unavailable(
                f"The database {self.path} cannot be used by several processes: SQLite keeps its log there as "
                f"{mode!r}, not as a write-ahead log.",
                next="Choose a place on a local disk with --database.",
            )

    @property
    def turnstile_path(self) -> Path:
        """The side file of the turnstile."""
        return self.path.with_name(self.path.name + ".lock")

    def turnstile(self, wait_seconds: float | None = None) -> "Turnstile":
        """The lock that lets one process after the other write."""
        return Turnstile(self.turnstile_path, wait_seconds)

    def mark(self) -> "Mark":
        """The number that moves with what is marked, for one thread."""
        return Mark(self.turnstile_path)

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether the database failed, as opposed to a statement that is wrong."""
        if isinstance(error, OSError):
            return True
        failed = isinstance(error, self.library.DatabaseError) and not isinstance(
            error, (self.library.ProgrammingError, self.library.IntegrityError, self.library.DataError)
        )
        return failed and getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR

    def is_beyond(self, error: BaseException) -> bool:
        """Whether a value is one that SQLite cannot hold or compare."""
        if isinstance(error, OverflowError):
            return True
        return isinstance(error, self.library.DatabaseError) and str(error).endswith(("too complex", "too big"))

    def explain(self, error: BaseException) -> OpsError:
        """A failure of the library as a refusal that names the file and the remedy."""
        code = self._code(error)
        if self.path.is_dir():
            return Unavailable(f"The database {self.path} is a folder.", next="Name a file in it with --database.")
        if isinstance(error, OSError) and error.errno in _NO_LOCKS:
            return Unavailable(
                f"The database {self.path} cannot be used: its file system keeps no locks ({error.strerror}).",
                next="Choose a place on a local disk with --database.",
            )
        if isinstance(error, OSError) and not code:
            return Unavailable(
                f"The database {self.path} cannot be used: {error.strerror or error}.",
                next="Check that its folder exists and that this user may write there.",
            )
        text, remedy, kind = _REASONS.get(code, (str(error), "Run `data-mcp-server-agent doctor`.", Unavailable))
        return kind(f"The database {self.path} {text}.", next=remedy, details={"sqlite": str(error)})

    def _code(self, error: BaseException) -> int:
        """SQLite's code for a failure, of the system's own too; 0 where there is none."""
        if isinstance(error, OSError):
            return _OS_CODES.get(error.errno or 0, 0)
        code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # Where the index of the log cannot be made, SQLite does not say that it was for want of room.
        return sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR and self._has_no_room() else code

    def _has_no_room(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < _LOG_INDEX_BYTES
        except OSError:
            return False


def uri_of(path: Path) -> str:
    """An absolute path as SQLite's URI, which names no host: a share of Windows comes after four slashes."""
    uri = path.as_uri()
    return uri if uri.startswith("file:///") else f"file:////{uri.removeprefix('file://')}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_LOG_INDEX_BYTES = 32 * 1024
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_OS_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
}
_REASONS: dict[int, tuple[str, str, type[OpsError]]] = {
    sqlite3.SQLITE_BUSY: (
        "is locked by another program",
        "Nothing was written; close the program that holds it, then call again.",
        Busy,
    ),
    sqlite3.SQLITE_LOCKED: ("is locked", "Nothing was written; call again.", Busy),
    sqlite3.SQLITE_FULL: (
        "cannot grow: the disk is full",
        "Nothing was written and nothing is lost; free space on that disk, then call again.",
        Unavailable,
    ),
    sqlite3.SQLITE_READONLY: (
        "is read-only for this user",
        "Nothing was written; give this user write permission on the file and its folder, and mount the file system so "
        "that it can be written. To look at it as it is, serve it with --read-only.",
        Unavailable,
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Check that its folder exists and that this user may write there.",
        Unavailable,
    ),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written: the disk reports an error",
        "Check the disk; the last acknowledged write is safe once it works again.",
        Unavailable,
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Stop every server that uses it, keep a copy, and put back a backup; `data-mcp-server-agent doctor` says more.",
        Unavailable,
    ),
    sqlite3.SQLITE_NOTADB: (
        "is not an SQLite database",
        "Choose another file with --database, or move this one away.",
        Unavailable,
    ),
}
