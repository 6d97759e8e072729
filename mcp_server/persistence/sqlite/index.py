"""What SQLite says of its log to all who use it, in the index beside it (`-shm`), held against the files themselves.

The database file and the index are read through descriptors that SQLite has open itself: to close one of our own would
give away every lock that this process has on them. Where the system shows none (Windows), nothing is said.
"""

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
_HEAD = struct.Struct("=12x B x H I I 8x 8s 8x")
"""One of the two copies that begin the index, in the machine's own order (SQLite, WAL-mode File Format, 1.3)."""
_FOLDED = struct.Struct("=I")
_PAGE_BYTES_MAX = 65536
_FIRST_BYTES = 100
"""The header of a database, at the beginning of its first page."""
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Head:
    """How long the log is, by its index, and how many pages the database has then."""

    frames: int
    pages: int
    page_bytes: int
    salts: bytes
    folded: int
    """How many of the frames stand in the database file, too."""

    def fits(self, log_header: bytes, log_bytes: int, file_bytes: int) -> bool:
        """Whether files like these hold all of it."""
        if self.frames and log_header[16:24] != self.salts:
            return False
        frames = HEADER_BYTES + self.frames * (FRAME_HEADER_BYTES + self.page_bytes) if self.frames else 0
        return log_bytes >= frames and file_bytes >= max(self.pages - self.frames, 1) * self.page_bytes


class Index:
    """The index of one file's log, while a connection to it is open."""

    def __init__(self, path: Path) -> None:
        self._file = _Seen(path)
        self._index = _Seen(Path(f"{path.resolve()}-shm"))  # SQLite keeps it where a link leads

    def head(self) -> Head | None:
        """What it says now; None where that cannot be read, or nothing was written yet."""
        for _ in range(_ATTEMPTS):
            found = self._index.read(2 * _HEAD.size + _FOLDED.size)
            first, second = found[: _HEAD.size], found[_HEAD.size : 2 * _HEAD.size]
            if len(found) > 2 * _HEAD.size and first == second:
                return _head(found)
            if not found:
                return None
            time.sleep(0)  # somebody writes it in this very moment
        return None

    def first(self) -> bytes:
        """The header of the database as it stands in the file; nothing where that cannot be read."""
        return self._file.read(_FIRST_BYTES)


class _Seen:
    """A file, read through whatever descriptor this process has open on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None

    def read(self, size: int) -> bytes:
        """Its first bytes; none where it is not open, or cannot be read."""
        try:
            if self._descriptor is None or _identity(self._descriptor) != self._identity:
                self._find()
            return b"" if self._descriptor is None else os.pread(self._descriptor, size, 0)
        except OSError:
            return b""

    def _find(self) -> None:
        found = self._path.stat()
        self._identity = found.st_dev, found.st_ino
        self._descriptor = next((one for one in _descriptors() if _identity(one) == self._identity), None)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _descriptors() -> list[int]:
    """What this process has open, where the system shows it."""
    folder = next((one for one in ("/proc/self/fd", "/dev/fd") if hasattr(os, "pread") and Path(one).is_dir()), None)
    return [] if folder is None else sorted(int(one.name) for one in Path(folder).iterdir())


def _head(found: bytes) -> Head | None:
    is_set, size, frames, pages, salts = _HEAD.unpack_from(found)
    (folded,) = _FOLDED.unpack_from(found, 2 * _HEAD.size)
    return Head(frames, pages, _PAGE_BYTES_MAX if size == 1 else size, salts, folded) if is_set else None
