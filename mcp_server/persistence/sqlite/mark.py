"""A number beside the database file that moves with every change of some of its rows, whichever process makes it. What
was made of those rows counts as long as the number stays, and that is seen without asking SQLite.

It is odd while such a change is being committed, and raised to the next even number after it; who does that has the
turn to write. A process that dies in between leaves it odd, which tells nobody anything until the next change.
"""

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path

from mcp_server.kernel import private_files

_AT, _BYTES = 32, 8
"""Where it stands in the file of the turnstile, behind what that notes there."""


class Mark:
    """The number, for one thread."""

    def __init__(self, path: Path) -> None:
        self._fd = private_files.both_ways(path)

    def read(self) -> bytes | None:
        """What it is; None where that says nothing: while it moves, and where its file was removed."""
        try:
            number = self._bytes()
            return None if (number and number[0] & 1) or not os.fstat(self._fd).st_nlink else number
        except OSError:
            return None

    @contextlib.contextmanager
    def moving(self) -> Generator[None]:
        """While what it stands for is committed.

        Raises:
            OSError: it cannot be moved, so that nothing may be committed.
        """
        odd = int.from_bytes(self._bytes(), "little") | 1
        self._write(odd)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # left odd, it has everybody ask
                self._write(odd + 1)

    def close(self) -> None:
        """Close its file."""
        os.close(self._fd)

    if sys.platform != "win32":

        def _bytes(self) -> bytes:
            return os.pread(self._fd, _BYTES, _AT)

    else:  # pragma: no cover - the other platform's branch

        def _bytes(self) -> bytes:
            os.lseek(self._fd, _AT, os.SEEK_SET)
            return os.read(self._fd, _BYTES)

    def _write(self, number: int) -> None:
        os.lseek(self._fd, _AT, os.SEEK_SET)
        os.write(self._fd, number.to_bytes(_BYTES, "little"))
