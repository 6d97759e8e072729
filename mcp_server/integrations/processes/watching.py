"""Knowing when a process ends: through a file descriptor of it and the event loop; where the system has no such thing,
in a thread for one's own child, and by looking now and then at one that somebody else started."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from mcp_server.domain.processes.running import UNKNOWN, Exit, Identity
from mcp_server.integrations.processes.looking import identify, is_alive

LOOK_EVERY_SECONDS = 0.5


class Watched:
    """A process that is looked at until it ends: see `Held`."""

    def __init__(self, identity: Identity, *, is_child: bool, resident: Callable[[int], int]) -> None:
        """Begin to look.

        Raises:
            ProcessLookupError: it has ended.
        """
        self._identity = identity
        self._is_child = is_child
        self._resident = resident
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self._poll: asyncio.TimerHandle | None = None
        self._pidfd = _open(identity.pid)
        if not is_child and not is_alive(identity):  # now that nobody else can get the number unnoticed
            self._close_fd()
            raise ProcessLookupError(identity.pid)
        self._look()

    @property
    def identity(self) -> Identity:
        """Which one."""
        return self._identity

    async def wait(self) -> Exit:
        """How it ended, once it has."""
        return await asyncio.shield(self._ended)

    def ask_to_end(self, name: str) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._ended.done():
                self._send(signal.Signals[name])

    def kill(self) -> None:
        """End it and its group. As long as it has not been waited for, nobody else can have its number."""
        if not self._ended.done() and (self._is_child or is_alive(self._identity)):
            _kill_group(self._identity.pid)

    def resident_bytes(self) -> int:
        """The memory that it and its children hold."""
        return self._resident(self._identity.pid)

    def close(self) -> None:
        """Look at it no longer. One's own child is still waited for, as a child must be."""
        if self._is_child:
            return
        self._stop_looking()
        self._ended.cancel()

    def _send(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)
        elif self._is_child or is_alive(self._identity):
            os.kill(self._identity.pid, number)

    def _look(self) -> None:
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._has_ended)
        elif self._is_child:
            threading.Thread(target=self._wait_in_thread, name=f"wait-{self._identity.pid}", daemon=True).start()
        else:
            self._poll = self._loop.call_later(LOOK_EVERY_SECONDS, self._look_again)

    def _look_again(self) -> None:
        if is_alive(self._identity):
            self._poll = self._loop.call_later(LOOK_EVERY_SECONDS, self._look_again)
        else:
            self._has_ended()

    def _wait_in_thread(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._identity.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop may have ended before
            self._loop.call_soon_threadsafe(self._has_ended)

    def _has_ended(self) -> None:
        self._stop_looking()
        if not self._ended.done():
            _kill_the_rest(self._identity, is_child=self._is_child)
            self._ended.set_result(_reaped(self._identity.pid) if self._is_child else UNKNOWN)

    def _stop_looking(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            self._close_fd()
        if self._poll is not None:
            self._poll.cancel()

    def _close_fd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _open(pid: int) -> int | None:
    opens: Any = getattr(os, "pidfd_open", None)  # Linux alone has it
    return None if opens is None else opens(pid)


def _kill_the_rest(identity: Identity, *, is_child: bool) -> None:
    """What a process leaves in its group must not outlive it. The group's number is nobody else's while its first
    process has not been waited for, or while something is left in it."""
    if is_child or identify(identity.pid) is None:
        _kill_group(identity.pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reaped(pid: int) -> Exit:
    """How one's own child ended."""
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return Exit(code=code, text=f"exit code {code}")
    return Exit(signal=-code, text=f"signal {-code} ({_signal_name(-code)})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unnamed"
