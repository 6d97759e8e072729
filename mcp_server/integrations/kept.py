"""Commands that run once whatever happens to this server: each under a keeper that outlives it and writes down how the
command ended. Whoever comes later finds the result, waits for the command, or learns that nobody knows."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import anyio

from mcp_server.integrations import keeper
from mcp_server.integrations.held import trying, written
from mcp_server.kernel import private_files
from mcp_server.kernel.hiding import without
from mcp_server.kernel.json_text import storable

IS_POSSIBLE = sys.platform != "win32"
"""Windows has neither the locks nor the process groups that this rests on."""

TEMPORARY = 75
"""The exit code that says: try again later (EX_TEMPFAIL of sysexits.h)."""

UNKNOWN = "it was killed, and nobody can say how far it got"
_POLL_SECONDS = 0.1
_STARTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. Nothing of it goes through a shell. `hidden` are values that are taken out of what it writes."""

    argv: Sequence[str]
    cwd: str | None
    env: Mapping[str, str]
    stdin: str
    seconds_max: float
    hidden: Mapping[str, str] = field(default_factory=dict[str, str])


class Ended(NamedTuple):
    """How a command ended: its exit code, or why there is none; and the end of what it wrote."""

    exit_code: int | None
    error: str | None
    stdout: str
    stderr: str
    seconds: float | None = None


State = Literal["new", "running", "done", "unknown"]


class Kept:
    """One command's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> State:
        """Whether it was never begun, still runs, has ended, or nobody can know."""
        if (self.folder / "result.json").exists():
            return "done"
        if self._is_locked():
            return "running"
        # It may have ended between the two looks.
        if (self.folder / "result.json").exists():
            return "done"
        return "unknown" if (self.folder / "started").exists() else "new"

    async def run(self, command: Command) -> Ended:
        """Start it, unless it was started before, and wait for its end. Being cancelled does not end it.

        Raises:
            OSError: the folder cannot be written.
        """
        starts = 0
        while True:
            match self.state():
                case "new" if starts < _STARTS_MAX:  # the keeper of an attempt before may hold the lock a moment longer
                    starts += 1
                    await asyncio.to_thread(self._start, command)
                case "done":
                    return _hidden(self.ended(), command)
                case "unknown":
                    await asyncio.to_thread(keeper.hide_all, self.folder, dict(command.hidden))
                    return _hidden(Ended(None, UNKNOWN, *self._written()), command)
                case "new":
                    return Ended(None, "its keeper did not start", *self._written())
                case "running":
                    await asyncio.sleep(_POLL_SECONDS)

    def ended(self) -> Ended:
        """How it ended, once it is done."""
        told: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return Ended(told["exit_code"], told.get("error"), *self._written(), told.get("seconds"))

    def forget(self) -> None:
        """Let it be run again: it said that it may."""
        for name in ("started", "result.json"):
            (self.folder / name).unlink(missing_ok=True)

    async def stop(self) -> None:
        """End it where it still runs; waits until it has."""
        for _ in range(round(3 * keeper.PATIENCE_SECONDS / _POLL_SECONDS)):
            if self.state() != "running":
                return
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((self.folder / "started").read_text()), signal.SIGTERM)
            await asyncio.sleep(_POLL_SECONDS)

    def _start(self, command: Command) -> None:
        """Start the keeper, which lets go of its starter once it has the lock."""
        private_files.make_folder(self.folder)
        told = {
            "argv": list(command.argv),
            "cwd": command.cwd,
            "env": dict(command.env),
            "stdin": command.stdin,
            "seconds_max": command.seconds_max,
            "hidden": {name: value for name, value in command.hidden.items() if value},
        }
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", keeper.__file__, str(self.folder)],
            input=json.dumps(told).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            check=False,
        )

    def _is_locked(self) -> bool:
        with trying(self.folder / "lock") as is_free:
            return not is_free

    def _written(self) -> tuple[str, str]:
        return written(self.folder / "stdout"), written(self.folder / "stderr")


async def run_once(command: Command, bytes_max: int = 256 * 1024) -> Ended:
    """Run a command that only looks. Should this be cancelled or take too long, it is ended with all that it started.

    Raises:
        OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as said:  # a pipe that is not read breaks, and event loops differ in how they tell
        said.write(command.stdin.encode())
        said.seek(0)
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=said,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(command.seconds_max):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        return Ended(None, f"it took longer than {command.seconds_max:g} seconds and was stopped", "", "")
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.move_on_after(keeper.PATIENCE_SECONDS, shield=True):
            await process.wait()
    out, err = (storable(raw[-bytes_max:].decode("utf-8", "replace"), bytes_max) for raw in (stdout, stderr))
    return _hidden(Ended(process.returncode, None, out, err), command)


def _hidden(ended: Ended, command: Command) -> Ended:
    """Without what is to be hidden, also where the output was cut in the midst of it."""
    hidden = list(command.hidden.items())
    error = ended.error and without(ended.error, hidden)
    out, err = without(ended.stdout, hidden), without(ended.stderr, hidden)
    return ended._replace(error=error, stdout=out, stderr=err)
