"""What stands before every command: a small program of its own that waits to be told what to run, and becomes that.

    python -I -S gate.py ORDER REPLY

It reads a length and as many bytes of JSON from the file descriptor ORDER: {argv, env, cwd, cpu_seconds, open_files}.
At an early end it ends without having run anything: who started it is gone, or was overtaken. Why a command cannot be
run it writes to REPLY, which closes by itself once the command runs. It imports nothing of the house.
"""

import json
import os
import resource
import sys
from typing import Any

LENGTH_BYTES = 8
DESCRIPTORS_MAX = 1 << 16


def read_order(order: int) -> dict[str, Any] | None:
    """The whole order; None where its sender has not finished it."""
    length = _exactly(order, LENGTH_BYTES)
    told = None if length is None else _exactly(order, int.from_bytes(length, "big"))
    return None if told is None else json.loads(told)


def _exactly(order: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = os.read(order, size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def limit(what: int, most: int | None) -> None:
    """Let this process and what becomes of it use no more, as far as it may say so."""
    if most is not None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def obey(order: dict[str, Any]) -> None:
    """Become the command.

    Raises:
        OSError: it cannot be run.
    """
    limit(resource.RLIMIT_CPU, order["cpu_seconds"])
    limit(resource.RLIMIT_NOFILE, order["open_files"])
    if order["cwd"] is not None:
        os.chdir(order["cwd"])
    os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell is the point


def main(order: int, reply: int) -> int:
    """Wait, and become the command; the exit code where that fails."""
    for descriptor in (order, reply):
        os.set_inheritable(descriptor, False)
    os.closerange(max(order, reply) + 1, DESCRIPTORS_MAX)
    told = read_order(order)
    if told is None:
        return 0
    try:
        obey(told)
    except OSError as error:
        what = told["cwd"] if error.filename == told["cwd"] else told["argv"][0]
        os.write(reply, f"{what}: {error.strerror}".encode("utf-8", "replace")[:1000])
    return 127


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
