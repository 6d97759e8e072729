"""Logs of processes: files that the processes hold themselves, open for appending, so that they outlive who started
them. They are bounded by copying and truncating, by which lines can get lost; whoever reads is told."""

import contextlib
import os
from pathlib import Path

from mcp_server.domain.processes.running import Tail
from mcp_server.kernel import private_files

TAIL_BYTES_MAX = 32 * 1024


def open_log(log: Path) -> int:
    """A file descriptor for writing to the end of a log; for its owner's eyes only.

    Raises:
        OSError: it cannot be opened.
    """
    private_files.make_folder(log.parent)
    return private_files.append(log)


def bound_log(log: Path, bytes_max: int) -> bool:
    """Where a log has more bytes than that, set its last ones aside and empty it; whether that was so."""
    try:
        if log.stat().st_size <= bytes_max:
            return False
        with log.open("r+b") as file:
            file.seek(-bytes_max, os.SEEK_END)
            private_files.put(_aside(log), file.read(bytes_max))
            os.ftruncate(file.fileno(), 0)
    except FileNotFoundError:
        return False
    return True


def read_tail(log: Path, bytes_max: int = TAIL_BYTES_MAX) -> Tail | None:
    """The last lines of a log, whole; None where there is none."""
    try:
        newest, is_whole = last_bytes(log, bytes_max)
    except FileNotFoundError:
        return None
    before, before_is_whole = b"", True
    rotated = False
    if is_whole:
        with contextlib.suppress(FileNotFoundError):
            before, before_is_whole = last_bytes(_aside(log), bytes_max - len(newest))
            before_is_whole, rotated = False, True
    text = before + newest
    cut = not (is_whole and before_is_whole)
    lines = text.partition(b"\n")[2] if cut and b"\n" in text else text
    return Tail(lines.decode("utf-8", "replace").replace("\x00", ""), cut, rotated)


def _aside(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def last_bytes(log: Path, bytes_max: int) -> tuple[bytes, bool]:
    """The last bytes of a file, and whether that is all of it."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - bytes_max, 0))
        return file.read(max(bytes_max, 0)), size <= bytes_max
