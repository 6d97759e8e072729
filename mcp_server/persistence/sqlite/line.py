"""Waiting for an exclusive lock on an open file, for a limited time."""

import fcntl
import os
import threading
from contextlib import suppress


class Line:
    """The kernel's queue for the lock on a file.

    It serves who waits in order, and knows no end of waiting: so a thread stands in it where the lock is not to be
    had at once. A lock that comes when nobody waits for it any more is given away.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_standing = self._is_wanted = self._is_closed = False
        self._came: list[OSError | None] = []
        """That the lock came, or why it cannot."""

    def wait(self, seconds: float) -> bool:
        """Wait for the lock; whether it came in time."""
        with self._changed:
            if not self._is_standing and self._at_once():
                return True
            self._is_standing = self._is_wanted = True
            self._start()
            in_time = self._changed.wait_for(lambda: bool(self._came), seconds)
            self._is_wanted = False
            error = self._came.pop() if in_time else None
        if error is not None:
            raise error
        return in_time

    def note(self, text: bytes, at: int) -> None:
        """Write into the file at a place, in one call of the system: this is done twice in each transaction."""
        os.pwrite(self._fd, text, at)

    def leave(self) -> None:
        """Give the lock away."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; where its thread still stands in line, that does so at its end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            if self._is_standing:
                return
        if self._thread is not None:
            self._thread.join()
        os.close(self._fd)

    def _at_once(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._stand, name="store-line", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _stand(self) -> None:
        while self._next():
            error: OSError | None = None
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            except OSError as failed:
                error = failed
            if not self._arrived(error):
                return

    def _next(self) -> bool:
        """Wait until somebody wants the lock; False once the file is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_standing)
            return self._is_standing

    def _arrived(self, error: OSError | None) -> bool:
        """Hand the lock on to who waits, or give it away; False once the file is closed."""
        with self._changed:
            self._is_standing = False
            if self._is_closed:
                os.close(self._fd)
                return False
            if self._is_wanted:
                self._is_wanted = False
                self._came.append(error)
                self._changed.notify_all()
            elif error is None:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            return True
