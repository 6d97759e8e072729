"""Noticing other processes' commits to a file."""

import ctypes
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from mcp_server.persistence.doorbell import Doorbell
from mcp_server.persistence.sqlite.file import SqliteFile

IN_MODIFY = 0x2
READ_BYTES = 1 << 16
TOLD_WITHIN_SECONDS = 10.0
"""How long before a commit can be read the system tells of its write at the earliest."""


class DataVersionWatcher:
    """Looks whether `PRAGMA data_version` has changed, on a connection of its own with no open cursor.

    On Linux the system tells of every write to the write-ahead log. That comes before the commit can be read, by as
    long as the disk takes: so it is looked for at intervals that grow, until surely nothing comes any more.
    Elsewhere, and once a commit came that the system told nothing of, it is looked for all the time.
    """

    interval_seconds_min = 0.005
    interval_seconds_max = 0.04
    slow_disk_seconds = 0.1
    """Until then they grow by a fifth, so that a commit is heard of soon after it can be read; then they double."""
    quiet_after_seconds = 60.0
    """An interval as long as this is the last after a write."""

    def __init__(self, file: SqliteFile) -> None:
        self._connection = file.connect(read_only=True)
        self._seen = self._version()
        self._written = _writes_to(file.log_path)
        self._bell = Doorbell(*([] if self._written is None else [self._written]))
        self._interval = self.interval_seconds_max
        self._told_at = time.monotonic()

    @property
    def misses_nothing(self) -> bool:
        """Whether every commit ends a wait soon, however long nothing happened before."""
        return self._written is not None

    def wait(self) -> bool:
        """Sleep until there may be something new; whether anyone committed since the last look."""
        told = self._sleep()
        version = self._version()
        changed = version != self._seen
        self._seen = version
        if changed and time.monotonic() - self._told_at > TOLD_WITHIN_SECONDS:
            self._distrust()
        self._interval = self.interval_seconds_min if told or changed else self._longer()
        return changed

    def interrupt(self) -> None:
        """End the wait that is under way. From any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Close the connection."""
        self._distrust()
        self._bell.close()
        self._connection.close()

    def _distrust(self) -> None:
        """Ask the system nothing any more."""
        if self._written is not None:
            self._bell.leave(self._written)
            os.close(self._written)
            self._written = None

    def _sleep(self) -> bool:
        """Whether the system told of a write meanwhile."""
        if self._interval > self.interval_seconds_min:
            told = self._bell.wait(self._interval if self._interval < self.quiet_after_seconds else None)
        else:  # writes are coming: one look at several of them is enough
            time.sleep(self._interval)
            told = self._bell.wait(0)
        if told and self._written is not None:
            self._told_at = time.monotonic()
            with suppress(BlockingIOError):
                os.read(self._written, READ_BYTES)
        return told

    def _longer(self) -> float:
        longer = self._interval * (1.2 if self._interval < self.slow_disk_seconds else 2)
        return longer if self.misses_nothing else min(longer, self.interval_seconds_max)

    def _version(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]


def _writes_to(path: Path) -> int | None:
    """A descriptor that can be read once the file was written to; None where the system tells nothing of it."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor
