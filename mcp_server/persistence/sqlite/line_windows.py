"""Waiting for an exclusive lock on an open file on Windows, for a limited time."""

import errno
import msvcrt
import os
import sys
import time

assert sys.platform == "win32", "elsewhere it is `line`"

_LOOK_EVERY_SECONDS = 0.002


class Line:
    """The lock on the first byte of a file. Windows keeps no queue: who looks first once it is free has it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def wait(self, seconds: float) -> bool:
        """Wait for the lock; whether it came in time."""
        end = time.monotonic() + seconds
        while True:
            try:
                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)
                return True
            except OSError as error:
                if error.errno not in {errno.EACCES, errno.EDEADLOCK}:
                    raise
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_EVERY_SECONDS)

    def note(self, text: bytes, at: int) -> None:
        """Write into the file at a place. What is locked is counted from where the file stands, so it goes back."""
        os.lseek(self._fd, at, os.SEEK_SET)
        os.write(self._fd, text)
        os.lseek(self._fd, 0, os.SEEK_SET)

    def leave(self) -> None:
        """Give the lock away."""
        msvcrt.locking(self._fd, msvcrt.LK_UNLCK, 1)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
