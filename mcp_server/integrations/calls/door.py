"""The desk's way to the media process: started at the first call, ended when there has been none for a while. Should it
die, every call is told so at once; the next call starts another."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from mcp_server.domain.calls import orders
from mcp_server.domain.calls.media import MediaDied, MediaSettings
from mcp_server.domain.calls.orders import Closed, MediaCall, Told
from mcp_server.integrations.calls.wire import LINE_BYTES_MAX, Begin, Open, Ready, Sent, packed, unpacked
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.lines import one_line

START_SECONDS_MAX = 30.0
ENDING_SECONDS_MAX = 3.0
HEARD_WAITING_MAX = 1000
"""What a call was told and nobody has taken yet; more holds up the pipe, and so the media process tells it later."""

log = logging.getLogger("datamcp.calls")


def _command() -> Sequence[str]:
    return sys.executable, "-P", "-m", "mcp_server.integrations.calls.child"


class CallMedia:
    """Implements `Media` by one child process at a time."""

    def __init__(self, settings: MediaSettings, command: Callable[[], Sequence[str]] = _command) -> None:
        """Nothing is started yet; `command` says what is."""
        self._settings, self._command = settings, command
        self._process: _Process | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._ending = set[asyncio.Task[None]]()

    @property
    def pid(self) -> int | None:
        """The process that runs, if one does."""
        return None if self._process is None or self._process.why is not None else self._process.pid

    async def open(self, call_id: str, *, audio: bool, record: bool) -> MediaCall:
        """See `Media`."""
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            process = self._process
            if process is None or process.why is not None:
                process = self._process = await _Process.start(self._settings, self._command())
            call = _Call(call_id, process, self._left)
            process.calls[call_id] = call
        try:
            await process.write(packed(Open(audio, record), call_id))
        except MediaDied:
            await call.leave()
            raise
        return call

    def _left(self) -> None:
        if self._process is not None and not self._process.calls:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_seconds, self._rest)

    def _rest(self) -> None:
        process = self._process
        if process is not None and not process.calls and not self._starting.locked():
            self._process = None
            task = asyncio.get_running_loop().create_task(process.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """See `Media`."""
        async with self._starting:
            process, self._process = self._process, None
            if self._idle is not None:
                self._idle.cancel()
            if process is not None:
                await process.end()
            await asyncio.gather(*self._ending)


class _Process:
    """A media process that runs, or has ended; then `why` says so."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.calls: dict[str, _Call] = {}
        self.why: str | None = None
        self._writing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, settings: MediaSettings, command: Sequence[str]) -> "_Process":
        """Start one, and wait until it takes orders.

        Raises:
            MediaDied: it does not.
        """
        pipe = asyncio.subprocess.PIPE
        try:
            started = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(), limit=LINE_BYTES_MAX
            )
        except OSError as error:
            raise MediaDied(f"the media process cannot be started ({type(error).__name__})") from None
        process = cls(started)
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                servers = tuple(one.told() for one in settings.ice_servers)
                await process.write(packed(Begin(servers, settings.speech, settings.peers_max, settings.bitrate)))
                await process._until_ready()
        except BaseException as error:
            await process.end()
            if isinstance(error, TimeoutError):
                raise MediaDied(f"the media process did not start within {START_SECONDS_MAX:g} seconds") from None
            raise
        process._tasks = [asyncio.create_task(process._read()), asyncio.create_task(process._log())]
        return process

    async def _until_ready(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = await self._process.stdout.readline()
        if not line or not isinstance(unpacked(line)[1], Ready):
            said = (await self._process.stderr.read(2000)).decode("utf-8", "replace").strip()
            raise MediaDied(f"the media process did not start: {one_line(said[-300:]) or 'it said nothing'}")

    async def write(self, line: bytes) -> None:
        """Send a line.

        Raises:
            MediaDied: nobody reads it.
        """
        assert self._process.stdin is not None
        async with self._writing:
            if self.why is not None:
                raise MediaDied(self.why)
            try:
                self._process.stdin.write(line)
                await self._process.stdin.drain()
            except (ConnectionError, OSError, RuntimeError):
                raise MediaDied(self.why or "the media process ended") from None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                call_id, what = unpacked(line)
                if (call := self.calls.get(call_id)) is not None:
                    await call.told(what)
        except Exception as error:
            log.error("what the media process said was not understood", exc_info=error)
        code = await self._ended()
        if self.why is None and self.calls:
            log.error("the media process ended (%s); its calls have failed: %d", code, len(self.calls))
        self._died(f"the media process ended ({code})")

    async def _ended(self) -> int | None:
        """Its exit code, once it has ended; what says nothing more is ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_SECONDS_MAX):
                return await self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()

    def _died(self, why: str) -> None:
        self.why = self.why or why
        for call in list(self.calls.values()):
            call.died(self.why)

    async def _log(self) -> None:
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(4096):
            log.warning("media process: %s", one_line(said.decode("utf-8", "replace").strip(), 1000))

    async def end(self) -> None:
        """End it: by closing its stdin, which it obeys at once, and for certain."""
        self._died("the media process was ended")
        assert self._process.stdin is not None
        self._process.stdin.close()
        for call in list(self.calls.values()):
            call.let_go()
        await self._ended()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(ConnectionError, OSError):
            await self._process.stdin.wait_closed()


class _Call:
    """See `MediaCall`."""

    def __init__(self, call_id: str, process: _Process, left: Callable[[], None]) -> None:
        self._id, self._process, self._left = call_id, process, left
        self._heard: asyncio.Queue[Told | None] = asyncio.Queue(HEARD_WAITING_MAX)
        self._died: str | None = None
        self._is_over = self._is_left = False

    async def told(self, what: Sent) -> None:
        """Something was told of it."""
        if isinstance(what, orders.Told) and not self._is_left:
            self._is_over = isinstance(what, Closed)
            await self._heard.put(what)

    def died(self, why: str) -> None:
        """Nothing more will be told; what was told can still be taken."""
        self._died = self._died or why
        with contextlib.suppress(asyncio.QueueFull):  # then whoever takes finds it empty in the end
            self._heard.put_nowait(None)

    def let_go(self) -> None:
        """Have nobody wait to tell it anything."""
        self._is_left = True
        while not self._heard.empty():
            self._heard.get_nowait()

    async def tell(self, order: orders.Order) -> None:
        """See `MediaCall`."""
        await self._process.write(packed(order, self._id))

    async def heard(self) -> Told:
        """See `MediaCall`."""
        if self._died is not None and self._heard.empty():
            raise MediaDied(self._died)
        told = await self._heard.get()
        if told is None:
            raise MediaDied(self._died or "the media process ended")
        return told

    async def leave(self) -> None:
        """See `MediaCall`."""
        if self._process.calls.pop(self._id, None) is None:
            return
        self.let_go()
        if not self._is_over:
            with contextlib.suppress(MediaDied):
                await self._process.write(packed(orders.Close("the desk let go of it"), self._id))
        self._left()


def _environment() -> dict[str, str]:
    """What a program of ours finds, and where ours is: wherever this process found it."""
    return passed_on() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
