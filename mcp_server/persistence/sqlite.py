"""What is SQLite's own: the library, the pragmas, the turnstile between processes, the reasons for its failures."""

import contextlib
import importlib
import os
import sqlite3
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from mcp_server.domain.errors import Busy, OpsError, Unavailable
from mcp_server.persistence.sqlite_transaction import SqliteTransaction
from mcp_server.persistence.transaction import Kept, Leased, Transaction

BUSY_TIMEOUT_SECONDS = 5.0
_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 4000",
)


def load_library() -> ModuleType:
    """The SQLite library of this whole process: pysqlite3 where it has a wheel, else the standard one."""
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def library_version(library: ModuleType | None = None) -> tuple[int, int, int]:
    """The version of the SQLite library in use."""
    major, minor, patch = (library or load_library()).sqlite_version_info
    return major, minor, patch


def is_safe(version: tuple[int, int, int]) -> bool:
    """Whether several connections may write and checkpoint a WAL database at once without corrupting it.

    3.7.0 to 3.51.2 may corrupt it, but for the fixed releases 3.44.6 and 3.50.7 (sqlite.org, "WAL-reset bug").
    """
    fixed = {(3, 44): 6, (3, 50): 7}
    if version[:2] in fixed:
        return version[2] >= fixed[version[:2]]
    return version >= (3, 51, 3)


def require_safe_library(*, allow_unsafe: bool) -> None:
    """Refuse a SQLite that can corrupt a database shared by several connections.

    Raises:
        Unavailable: naming the version and the remedy.
    """
    version = library_version()
    if not is_safe(version) and not allow_unsafe:
        raise Unavailable(
            f"SQLite {'.'.join(map(str, version))} can corrupt a database that several processes use.",
            next="Install pysqlite3 (pip install pysqlite3), or set DATAMCP_ALLOW_UNSAFE_SQLITE=true if no other "
            "process will ever open this database.",
        )


class SqliteFile:
    """One database file, and the connections to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = load_library()

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """A connection in autocommit mode; a read-only one has rows by name."""
        mode = "ro" if read_only else "rwc"
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
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
        if read_only:
            connection.row_factory = self.library.Row
        return connection

    def connect_writer(self) -> sqlite3.Connection:
        """A connection with the pragmas that durable writing needs."""
        connection = self.connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def turnstile(self) -> "Turnstile":
        """The lock that lets one process after the other write."""
        return Turnstile(self.path.with_name(self.path.name + ".lock"))

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether the database failed, as opposed to a statement that is wrong."""
        if isinstance(error, OSError):
            return True
        failed = isinstance(error, self.library.DatabaseError) and not isinstance(
            error, (self.library.ProgrammingError, self.library.IntegrityError, self.library.DataError)
        )
        return failed and getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR

    def explain(self, error: BaseException) -> OpsError:
        """A failure of the library as a refusal that names the file and the remedy."""
        if isinstance(error, OSError):
            return Unavailable(
                f"The database {self.path} cannot be used: {error.strerror or error}.",
                next="Check that its folder exists and that this user may write there.",
            )
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text, remedy, kind = _REASONS.get(code, (str(error), "Run `data-mcp-server-agent doctor`.", Unavailable))
        return kind(f"The database {self.path} {text}.", next=remedy, details={"sqlite": str(error)})


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
        "Nothing was written; give this user write permission on the file and its folder.",
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


class Turnstile:
    """An exclusive lock on a side file, held from BEGIN to COMMIT.

    SQLite's own waiting starves a process for seconds when several write at full durability; the kernel's queue for
    this lock does not. It is released by the kernel when its process dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)

    def __enter__(self) -> "Turnstile":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.close()

    if sys.platform == "win32":  # pragma: no cover - the other platform's branch

        def acquire(self) -> None:
            """Wait for the turn."""
            import msvcrt

            while True:
                with contextlib.suppress(OSError):
                    msvcrt.locking(self._fd, msvcrt.LK_LOCK, 1)
                    return

        def release(self) -> None:
            """Let the next process in."""
            import msvcrt

            msvcrt.locking(self._fd, msvcrt.LK_UNLCK, 1)

    else:

        def acquire(self) -> None:
            """Wait for the turn."""
            import fcntl

            fcntl.flock(self._fd, fcntl.LOCK_EX)

        def release(self) -> None:
            """Let the next process in."""
            import fcntl

            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the side file."""
        os.close(self._fd)


class SqliteSession:
    """The writer's connection to a file."""

    reads_ahead = False  # a statement costs less than the bookkeeping

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._turnstile = file.turnstile()
        try:
            self._connection = file.connect_writer()
        except BaseException:
            self._turnstile.close()
            raise
        self._has_turn = False
        self._kept = Kept(Leased())

    def begin(self) -> Transaction:
        """Wait for the turn, then BEGIN IMMEDIATE: a deferred transaction would fail on its first write."""
        self._turnstile.acquire()
        self._has_turn = True
        self._connection.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(cast("Any", self._connection), self._kept)

    def commit(self) -> None:
        """Make the batch durable and give the turn away."""
        self._connection.execute("COMMIT")
        self._leave()

    def rollback(self) -> None:
        """Undo the batch and give the turn away."""
        self._kept.forget()
        with contextlib.suppress(self._file.library.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._leave()

    def _leave(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turnstile.release()

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether SQLite, not the transaction function, failed."""
        return self._file.is_engine_error(error)

    def retry_delay(self, error: BaseException, attempt: int) -> float | None:
        """A lock held by another program may go; everything else needs a person."""
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return 0.05 if busy and attempt < 1 else None

    def explain(self, error: BaseException) -> OpsError:
        """The failure as a refusal that names the file and the remedy."""
        return self._file.explain(error)

    def after_commit(self, events_appended: int) -> None:
        """Nothing to do: other processes see the file's data version change."""

    def idle(self) -> float | None:
        """Nothing to do."""
        return None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._turnstile.close()


class DataVersionWatcher:
    """Sees other processes' commits: `PRAGMA data_version` on a connection of its own, with no open cursor."""

    interval_seconds_min = 0.005
    interval_seconds_max = 0.04

    def __init__(self, file: SqliteFile) -> None:
        self._connection = file.connect(read_only=True)
        self._seen = self._version()
        self._interval = self.interval_seconds_max

    def wait(self) -> bool:
        """Sleep one interval; whether anyone committed since the last look."""
        time.sleep(self._interval)
        version = self._version()
        changed = version != self._seen
        self._seen = version
        slower = min(self._interval * 1.2, self.interval_seconds_max)
        self._interval = self.interval_seconds_min if changed else slower
        return changed

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]
