"""A folder in which one program runs, at most once whatever happens to its server: found again by the lock that it
holds, not by its number, which another may have by now."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from mcp_server.integrations.held import trying, written
from mcp_server.integrations.keeper import bound
from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Unavailable

GRACE_SECONDS = 5.0
"""How long requests that are under way may take once a program is told to end; then it is killed."""

_LOOK_SECONDS = 0.005


class Place:
    """One program's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_running(self) -> bool:
        """Whether the program runs, whoever started it."""
        with trying(self.folder / "lock") as is_free:
            return not is_free

    @property
    def pid(self) -> int | None:
        """The number of the process while it runs."""
        if self.is_running:
            with contextlib.suppress(OSError, ValueError):
                return int((self.folder / "pid").read_text())
        return None

    def port(self, socket: str) -> int | None:
        """The port that the program said it listens on; None as long as it has not."""
        with contextlib.suppress(OSError):
            for line in (self.folder / "address").read_text("utf-8", "replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said = json.loads(line)
                    if said["event"] == "listen" and said["socket"] == socket:
                        return int(said["port"])
        return None

    def log(self) -> str:
        """The end of what it wrote."""
        return written(self.folder / "log")

    def trim(self) -> None:
        """Begin its log anew where it has grown too large, and say so in it; it goes on appending."""
        if (self.folder / "log").exists():
            bound(self.folder / "log")

    def write(self, name: str, text: str) -> Path:
        """Write a file that only this user may read."""
        private_files.make_folder(self.folder)
        path = self.folder / name
        private_files.put(path, text)
        return path

    async def start(self, argv: Sequence[str], env: Mapping[str, str], socket: str, seconds_max: float) -> int | None:
        """Start the program, unless it runs; the port that it listens on, or None where it ended or took too long.

        Raises:
            Unavailable: no process can be started.
        """
        if self._forget():
            await asyncio.to_thread(self._spawn, argv, env)
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds_max
        while self.is_running and loop.time() < ends:
            port = self.port(socket)
            if port is not None:
                return port
            await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Let it answer what is under way, then end it for certain: who loops without end hears no signal."""
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, GRACE_SECONDS)):
            self._signal(number)
            ends = asyncio.get_running_loop().time() + seconds
            while self.is_running and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 - no child of ours
                await asyncio.sleep(_LOOK_SECONDS)

    def _forget(self) -> bool:
        """Forget what an earlier program said it listens on, unless one runs, while no other can start; whether none
        does."""
        with trying(self.folder / "lock", exclusive=True) as is_free:
            if is_free:
                (self.folder / "address").unlink(missing_ok=True)
            return is_free

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        starter = [sys.executable, "-I", "-S", str(Path(__file__).with_name("starter.py")), str(self.folder), *argv]
        with _appending(self.folder / "log") as log:
            try:
                subprocess.run(starter, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(env), check=True)  # noqa: S603
            except (OSError, subprocess.CalledProcessError) as error:
                raise Unavailable(f"No process can be started: {error}.", next="Free some, then try again.") from None


@contextlib.contextmanager
def _appending(path: Path) -> Generator[int]:
    """A log that the process goes on holding, for this user alone."""
    file = private_files.append(path)
    try:
        yield file
    finally:
        os.close(file)
