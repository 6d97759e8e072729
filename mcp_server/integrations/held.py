"""What is found in the folder of a program that outlives its server: whether it lives, by the lock that it holds, since
numbers of processes are given to others; and the end of what it wrote."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from mcp_server.integrations.processes.logs import last_bytes
from mcp_server.kernel.json_text import storable

TAIL_BYTES = 64 * 1024


@contextlib.contextmanager
def trying(lock: Path, *, exclusive: bool = False) -> Generator[bool]:
    """Whether nobody holds a lock. Where that is so, nobody can take it inside, nor, if `exclusive`, look at it."""
    import fcntl  # not on Windows, where nothing of this runs

    with contextlib.ExitStack() as stack:
        try:
            file = os.open(lock, os.O_RDWR)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_NB | (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH))
        except FileNotFoundError:
            is_free = True
        except OSError:
            is_free = False
        else:
            is_free = True
        yield is_free


def written(path: Path) -> str:
    """The end of what was written into a file, as text that can be stored; nothing where there is none."""
    try:
        return storable(last_bytes(path, TAIL_BYTES)[0].decode("utf-8", "replace"), TAIL_BYTES)
    except OSError:
        return ""
