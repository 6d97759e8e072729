"""Starts the program of a folder, once: takes the folder's lock, which the program then holds as long as it lives, and
leaves it alone as nobody's child. Run by `place`, with nothing but the standard library. Who comes second ends at once,
so nothing runs twice, and what runs is always found again."""

import contextlib
import fcntl
import os
import resource
import sys
import time
from pathlib import Path

FILE_BYTES_MAX = 64 * 1024 * 1024
"""What the program may write into a file: code of others that logs without end does not fill the disk."""

TRIES = 10
REST_SECONDS = 0.01


def main() -> None:
    """Run the command after the folder, both arguments; `{control}` in it is where it tells its address."""
    folder, argv = Path(sys.argv[1]), sys.argv[2:]
    os.umask(0o077)  # what lies in the folder is this user's alone
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock) or os.fork():
        return
    os.setsid()
    (folder / "pid").write_text(str(os.getpid()))
    control = os.open(folder / "address", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for file in (lock, control):
        os.set_inheritable(file, True)
    command = [part.replace("{control}", str(control)) for part in argv]
    with contextlib.suppress(ValueError):  # a lower limit stands already
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    os.execve(command[0], command, os.environ)  # noqa: S606 - the program is the operator's


def _locked(lock: int) -> bool:
    """Take the lock; who only looks whether it is held has it for a moment."""
    for _ in range(TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(REST_SECONDS)
        else:
            return True
    return False


if __name__ == "__main__":
    main()
