"""Whether the database file and its log still hold what was acknowledged: SQLite goes by its index in memory, and
writes on behind the end of a log that somebody emptied, which nobody can read after a restart.

Nothing of the database file is opened here: closing it would give away every lock that this process has on it.
"""

import os
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.sqlite.file import SqliteFile
from mcp_server.persistence.sqlite.index import FRAME_HEADER_BYTES, HEADER_BYTES, Head, Index

FOLDS_WITHIN_SECONDS = 5.0
"""How long another program that folds the log in may take from its first page to its last."""
_LOOKS = 20
_MAGIC = 0x377F0682
"""Or one more, where the checksums are those of big-endian words (SQLite, File Format, 4.1)."""
_NOTHING = b""


class Whole:
    """What one writer knows of its files' ends, of the head of the log and of the first page. To be asked with the turn
    to write."""

    def __init__(self, file: SqliteFile, connection: Any) -> None:
        self._file = file
        self._connection = connection
        self._index = Index(file.path)
        self._log: int | None = None
        self._header, self._log_bytes = _NOTHING, 0
        self._bytes = self._changed_at = 0
        self._folded: tuple[bytes, int] = _NOTHING, 0
        self._first: bytes = _NOTHING
        self._doubted: bytes = _NOTHING
        self._is_refused = False

    def require(self) -> None:
        """Refuse to go on with files that were cut off or overwritten in place: what is written to them is lost.

        Raises:
            Unavailable: naming the file.
        """
        self._is_refused = True
        head = self._index.head()  # before the file is looked at, so that what is folded in later shows
        header, log_bytes = self._log_now()
        found = os.stat(self._file.path)  # noqa: PTH116 - at every write; the path's own makes its text anew
        if not (
            self._is_log_whole(header, log_bytes)
            and self._is_file_whole(found.st_size, log_bytes)
            and self._is_own(found.st_mtime_ns, (header, 0 if head is None else head.folded))
            and (_fits(head, header, log_bytes, found.st_size) or fits(self._index, self._log_now, self._file))
        ):
            raise no_longer_whole(self._file)
        self._header, self._log_bytes, self._bytes = header, log_bytes, found.st_size
        self._is_refused = False

    def doubts(self) -> bool:
        """Whether a look from beside, without the turn, finds the files other than this writer left them: another
        process may have folded the log in, too."""
        try:
            found, (header, log_bytes) = self._file.path.stat(), log_of(self._file)
        except OSError:
            return True
        left = self._changed_at, self._header
        return self._log is not None and (
            self._is_refused
            or (found.st_mtime_ns, header) != left
            or found.st_size < self._bytes
            or log_bytes < self._log_bytes
        )

    def close(self) -> None:
        """Close the log, on which SQLite keeps no locks."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _log_now(self) -> tuple[bytes, int]:
        if self._log is None:
            self._log = os.open(_log_path(self._file), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        os.lseek(self._log, 0, os.SEEK_SET)
        return os.read(self._log, HEADER_BYTES), os.fstat(self._log).st_size

    def _folded_now(self) -> int:
        head = self._index.head()
        return 0 if head is None else head.folded

    def _is_own(self, changed_at: int, folded: tuple[bytes, int]) -> bool:
        """SQLite writes the first page by folding the log in, which the index or a new log tells of; so does any other
        program that uses it, and is waited for. Another database copied over the file begins otherwise, and nothing
        was folded in."""
        if changed_at != self._changed_at:
            first = self._index.first()
            if self._changed_at and first != self._first and folded == self._folded and not self._is_folded_soon(first):
                return False
            self._first, self._changed_at = first, changed_at
        self._folded, self._doubted = folded, _NOTHING
        return True

    def _is_folded_soon(self, first: bytes) -> bool:
        ends = time.monotonic() + (0 if first == self._doubted else FOLDS_WITHIN_SECONDS)
        self._doubted = first
        while (self._log_now()[0], self._folded_now()) == self._folded:
            if time.monotonic() >= ends:
                return False
            time.sleep(0.01)
        return True

    def _is_log_whole(self, header: bytes, log_bytes: int) -> bool:
        """It only grows under one header; a new one begins it anew; folded in, it may be empty."""
        return log_bytes >= self._log_bytes if header == self._header else not header or is_header(header)

    def _is_file_whole(self, size: int, log_bytes: int) -> bool:
        """SQLite may make it shorter, too; but whatever page it does not hold stands in the log. Without a page the
        log would be thrown away."""
        if size >= self._bytes > 0:
            return True
        pages, page_bytes = (
            self._connection.execute(f"PRAGMA page_{name}").fetchone()[0] for name in ("count", "size")
        )
        logged = max(log_bytes - HEADER_BYTES, 0) // (FRAME_HEADER_BYTES + page_bytes)
        return size >= max(pages - logged, 1) * page_bytes


def no_longer_whole(file: SqliteFile) -> Unavailable:
    """The refusal, which names the file."""
    return Unavailable(
        f"The database {file.path}, or its log {file.log_path.name}, was cut off or overwritten by another program: "
        "what is written to it now would be lost.",
        next="Stop every server that uses it, keep a copy of its files, and put back a backup.",
    )


def fits(index: Index, log: Callable[[], tuple[bytes, int]], file: SqliteFile) -> bool:
    """Whether the files hold what the index of the log says; also where that cannot be read.

    Args:
        log: its header and how long it is.
    """
    head = index.head()
    for _ in range(_LOOKS):
        (header, log_bytes), file_bytes = log(), os.stat(file.path).st_size  # noqa: PTH116
        if _fits(head, header, log_bytes, file_bytes):
            return True
        before, head = head, index.head()
        if before == head:
            return False
    return True  # others write all the while, which nothing keeps from doing


def _fits(head: Head | None, header: bytes, log_bytes: int, file_bytes: int) -> bool:
    return head is None or head.fits(header, log_bytes, file_bytes)


def require_fitting(file: SqliteFile) -> None:
    """Refuse files that do not hold what their log's index says. To be asked while a connection to them is open.

    Raises:
        Unavailable: naming the file.
    """
    if not fits(Index(file.path), partial(log_of, file), file):
        raise no_longer_whole(file)


def require_begun(file: SqliteFile) -> None:
    """Refuse an empty file beside a log, which SQLite throws away as soon as the file is opened.

    Raises:
        Unavailable: naming the file.
    """
    if log_of(file)[1] and not file.path.stat().st_size:
        raise no_longer_whole(file)


def log_of(file: SqliteFile) -> tuple[bytes, int]:
    """The header of a file's log and how long it is; nothing where there is none. SQLite keeps no locks on it."""
    try:
        with _log_path(file).open("rb") as found:
            return found.read(HEADER_BYTES), os.fstat(found.fileno()).st_size
    except FileNotFoundError:
        return _NOTHING, 0


def _log_path(file: SqliteFile) -> Path:
    return Path(f"{file.path.resolve()}-wal")  # SQLite keeps it where a link leads


def is_header(data: bytes) -> bool:
    """Whether a log begins with this: its last two words are the checksum of those before."""
    if len(data) < HEADER_BYTES:
        return False
    magic, *_, first, second = struct.unpack(">8I", data)
    one = two = 0
    for left, right in struct.iter_unpack(">II" if magic & 1 else "<II", data[:24]):
        one = (one + left + two) & 0xFFFFFFFF
        two = (two + right + one) & 0xFFFFFFFF
    return magic & ~1 == _MAGIC and (one, two) == (first, second)
