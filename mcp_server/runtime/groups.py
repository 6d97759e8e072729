"""Ending a command with all that it started: by its process group; on Windows, which has none that can be ended, by its
console group and its tree."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mcp_server.kernel.environment import passed_on

_CREATE_NEW_PROCESS_GROUP = 0x200
_CTRL_BREAK = 1
_TASKKILL_SECONDS_MAX = 10.0


class Ends(Protocol):
    """How a command and all that it started are ended."""

    def begin(self) -> dict[str, Any]:
        """What starts a command in a group of its own."""
        ...

    async def ask(self, process: asyncio.subprocess.Process) -> None:
        """Tell all of it to end."""
        ...

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """End all of it for certain."""
        ...


class OnUnix:
    """By signals to the process group, which outlives the command as long as anything in it does."""

    def begin(self) -> dict[str, Any]:
        """See `Ends`."""
        return {"start_new_session": True}

    async def ask(self, process: asyncio.subprocess.Process) -> None:
        """See `Ends`."""
        self._signal(process, signal.SIGTERM)

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """See `Ends`."""
        self._signal(process, signal.SIGKILL)

    def _signal(self, process: asyncio.subprocess.Process, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


async def _run(*command: str) -> None:
    """Run a program of the system, and wait for its end, for so long at most."""
    nothing = asyncio.subprocess.DEVNULL
    started = await asyncio.create_subprocess_exec(
        *command, stdin=nothing, stdout=nothing, stderr=nothing, env=passed_on()
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TASKKILL_SECONDS_MAX):
            await started.wait()


class OnWindows:
    """By Ctrl-Break to the console group, then by `taskkill`, which finds what a process started as long as that lives:
    what ignores Ctrl-Break and has lost its parent stays."""

    def __init__(self, run: Callable[..., Awaitable[None]] = _run) -> None:
        """`run` runs a program of the system to its end."""
        self._run = run

    def begin(self) -> dict[str, Any]:
        """See `Ends`."""
        return {"creationflags": _CREATE_NEW_PROCESS_GROUP}

    async def ask(self, process: asyncio.subprocess.Process) -> None:
        """See `Ends`."""
        with contextlib.suppress(OSError, ValueError):  # it has ended, or has no console
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", _CTRL_BREAK))

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """See `Ends`."""
        if process.returncode is None:
            with contextlib.suppress(OSError):
                await self._run("taskkill", "/T", "/F", "/PID", str(process.pid))
        if process.returncode is None:
            with contextlib.suppress(OSError):
                process.kill()


def ends(system: str = sys.platform) -> Ends:
    """How it is done on this system."""
    return OnWindows() if system == "win32" else OnUnix()
