"""The lock between processes that write to one file."""

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Busy
from mcp_server.kernel.times import Micros, iso, system_clock

if sys.platform == "win32":  # pragma: no cover - the other platform's branch
    from mcp_server.persistence.sqlite.line_windows import Line
else:
    from mcp_server.persistence.sqlite.line import Line

WAIT_SECONDS = 10.0
"""How long one waits for the turn. Who writes holds it for milliseconds."""

_NOTE_AT = 1  # Windows lets nobody read the byte that is locked, which is the first
_NOTE = re.compile(rb"(\d{1,10}) (\d{1,16})\n")
_NOBODY = b" " * 28


class Holder(NamedTuple):
    """Who has the turn."""

    pid: int
    since: Micros

    @property
    def is_stopped(self) -> bool:
        """Whether that process stands still, as far as this system tells."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] in "tT"
        return False


class Turnstile:
    """An exclusive lock on a side file, held from BEGIN to COMMIT.

    SQLite's own waiting starves a process for seconds when several write at full durability; the kernel's queue for
    this lock does not. It is released by the kernel when its process dies. Who holds it is noted in the file, since a
    process that stands still keeps it.
    """

    def __init__(self, path: Path, wait_seconds: float | None = None) -> None:
        self.path = path
        self._wait_seconds = WAIT_SECONDS if wait_seconds is None else wait_seconds
        self._fd = private_files.both_ways(path)
        self._line = Line(self._fd)

    def __enter__(self) -> "Turnstile":
        try:
            self.acquire()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.close()

    def acquire(self) -> None:
        """Wait for the turn.

        Raises:
            Busy: it did not come; says who has it.
        """
        if not self._line.wait(self._wait_seconds):
            raise self._held()
        self._note(b"%d %d\n" % (os.getpid(), system_clock()))

    def release(self) -> None:
        """Let the next process in."""
        self._note(_NOBODY)
        self._line.leave()

    def close(self) -> None:
        """Close the side file, or have it closed once the turn comes that was waited for."""
        self._line.close()

    def holder(self) -> Holder | None:
        """Who has the turn; None when nobody has, or none who says so."""
        os.lseek(self._fd, _NOTE_AT, os.SEEK_SET)
        found = _NOTE.match(os.read(self._fd, len(_NOBODY)))
        os.lseek(self._fd, 0, os.SEEK_SET)
        return None if found is None else Holder(int(found[1]), int(found[2]))

    def _note(self, text: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk is told by whoever writes something that matters
            self._line.note(text.ljust(len(_NOBODY)), _NOTE_AT)

    def _held(self) -> Busy:
        database, holder = self.path.with_suffix(""), self.holder()
        if holder is None:
            return Busy(
                f"Another process holds the turn to write to {database}, and does not give it back.",
                next="Nothing was written; call again. If it stays so, look for a stopped process that uses that file.",
            )
        stands = ", which is stopped," if holder.is_stopped else ""
        resume = "end it" if sys.platform == "win32" else f"let it go on (kill -CONT {holder.pid}) or end it"
        seconds = max(0.0, time.time() - holder.since / 1_000_000)
        return Busy(
            f"Process {holder.pid}{stands} has held the turn to write to {database} since {iso(holder.since)}, "
            f"for {seconds:.0f} seconds.",
            next=f"Nothing was written. If that process stands still, {resume}; then call again.",
            details={"pid": holder.pid, "held_since": iso(holder.since), "is_stopped": holder.is_stopped},
        )
