"""Programs that were started in a group of their own, and how they are ended."""

import asyncio
import contextlib
import os
import signal
import sys


def end_group(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started; where it has ended, what it left. On Windows, where there are no such groups,
    the program alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
