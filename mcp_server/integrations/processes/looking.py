"""What the system tells of processes: which one it is, whether it lives, how much memory it holds.

From /proc where there is one; else from `ps`. A number alone is nothing: it is given out again, so a process is known
by its number, when it started, and since which boot and in which namespace that counts.
"""

import contextlib
import functools
import os
import subprocess
import sys
from pathlib import Path

from mcp_server.domain.processes.running import Identity

IS_LINUX = sys.platform == "linux"
_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_ENDED = ("Z", "X")
CHILDREN_MAX = 1000


@functools.cache
def boot() -> str:
    """Since when, and in which namespace, numbers of processes mean something."""
    if IS_LINUX:
        return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    return _said("sysctl", "-n", "kern.bootsessionuuid")  # the time of the boot moves with the clock


def identify(pid: int) -> Identity | None:
    """Which process has a number now; None where none lives that has it."""
    started = _started_by_proc(pid) if IS_LINUX else _started_by_ps(pid)
    return None if started is None else Identity(pid, started, boot())


def is_alive(identity: Identity) -> bool:
    """Whether this very process lives. One that has ended and waits for its parent does not."""
    return identify(identity.pid) == identity


def resident_bytes(pid: int) -> int:
    """The memory that a process and all below it hold; nothing of what has ended."""
    if not IS_LINUX:
        return _resident_by_ps(pid, _said("ps", "-A", "-o", "pid=,ppid=,rss="))
    total, found = 0, [pid]
    for one in found:
        total += _resident(one)
        if len(found) < CHILDREN_MAX:
            found += _children(one)
    return total


def _resident(pid: int) -> int:
    # The memory of all threads is one; it is told of those that have not ended, which the first may have.
    for thread in _threads(pid):
        with contextlib.suppress(OSError, IndexError):
            if pages := int((thread / "statm").read_text().split()[1]):
                return pages * _PAGE_BYTES
    return 0


def _resident_by_ps(pid: int, said: str) -> int:
    """The memory of a process and all below it, by a list of every process: its number, its parent's, its kilobytes."""
    rows = [(int(one), int(parent), int(size)) for one, parent, size in map(str.split, said.splitlines())]
    family, before = {pid}, 0
    while len(family) > before:
        before = len(family)
        family |= {one for one, parent, _ in rows if parent in family}
    return 1024 * sum(size for one, _, size in rows if one in family)


def _children(pid: int) -> list[int]:
    """What any of its threads has started: the system keeps a list for each thread."""
    found = list[int]()
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def _threads(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _started_by_proc(pid: int) -> str | None:
    """Ticks since the boot. The name before the state letter may hold anything, also blanks and parentheses."""
    try:
        state, *fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in _ENDED and not _lives_on(pid) else fields[18]


def _lives_on(pid: int) -> bool:
    """Whether threads of a process go on whose first has ended: that one waits for them, and seems to have ended
    meanwhile, while the files, ports and memory of all are still held."""
    return len(_threads(pid)) > 1


def _started_by_ps(pid: int) -> str | None:
    state, _, started = _said("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    return None if not state or state.startswith(_ENDED) else " ".join(started.split())


def _said(*command: str) -> str:
    # In one language and zone, whoever asks: what it says of a start is compared.
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC0"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain).stdout.strip()  # noqa: S603
