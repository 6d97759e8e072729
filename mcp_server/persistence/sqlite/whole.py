"""Whether the database file and its log still hold what was acknowledged: SQLite goes by its index in memory, and
writes on behind the end of a log that somebody emptied, which nobody can read after a restart.

Nothing of the database file is opened here: closing it would give away every lock that this process has on it.
"""

import os
import struct
from typing import Any

from mcp_server.kernel.errors import Unavailable
from mcp_server.persistence.sqlite.file import SqliteFile

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC = 0x377F0682
"""Or one more, where the checksums are those of big-endian words (SQLite, File Format, 4.1)."""
_NOTHING = b""


class Whole:
    """What one writer knows of its files' ends and of the head of the log. To be asked with the turn to write."""

    def __init__(self, file: SqliteFile, connection: Any) -> None:
        self._file = file
        self._connection = connection
        self._log: int | None = None
        self._header, self._log_bytes = _NOTHING, 0
        self._bytes = 0

    def require(self) -> None:
        """Refuse to go on with files that were cut off or overwritten in place: what is written to them is lost.

        Raises:
            Unavailable: naming the file.
        """
        if self._log is None:
            log = f"{self._file.path.resolve()}-wal"  # SQLite keeps it where a link leads
            self._log = os.open(log, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        os.lseek(self._log, 0, os.SEEK_SET)
        header, log_bytes = os.read(self._log, _HEADER_BYTES), os.fstat(self._log).st_size
        size = os.stat(self._file.path).st_size  # noqa: PTH116 - at every write; the path's own makes its text anew
        if not self._is_log_whole(header, log_bytes) or not self._is_file_whole(size, log_bytes):
            raise Unavailable(
                f"The database {self._file.path}, or its log {self._file.log_path.name}, was cut off or overwritten by "
                "another program: what is written to it now would be lost.",
                next="Stop every server that uses it, keep a copy of its files, and put back a backup.",
            )
        self._header, self._log_bytes, self._bytes = header, log_bytes, size

    def close(self) -> None:
        """Close the log, on which SQLite keeps no locks."""
        if self._log is not None:
            os.close(self._log)
            self._log = None

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
        logged = max(log_bytes - _HEADER_BYTES, 0) // (_FRAME_HEADER_BYTES + page_bytes)
        return size >= max(pages - logged, 1) * page_bytes


def is_header(data: bytes) -> bool:
    """Whether a log begins with this: its last two words are the checksum of those before."""
    if len(data) < _HEADER_BYTES:
        return False
    magic, *_, first, second = struct.unpack(">8I", data)
    one = two = 0
    for left, right in struct.iter_unpack(">II" if magic & 1 else "<II", data[:24]):
        one = (one + left + two) & 0xFFFFFFFF
        two = (two + right + one) & 0xFFFFFFFF
    return magic & ~1 == _MAGIC and (one, two) == (first, second)
