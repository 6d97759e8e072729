"""The lock between processes that write to one file."""

import contextlib
import os
import sys
from pathlib import Path


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
