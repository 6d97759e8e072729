"""Starts processes, and finds those again that somebody else started. Implements `Runner`."""

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mcp_server.domain.processes.running import Command, Identity, NotStarted
from mcp_server.integrations.processes import gate, logs
from mcp_server.integrations.processes.looking import boot, identify, resident_bytes
from mcp_server.integrations.processes.watching import Watched


@functools.cache
def host_name() -> str:
    """What this host is called. Whoever has other processes has another: each container does."""
    return socket.gethostname()


class LocalRunner:
    """Runs commands on this host, each in a session of its own."""

    @property
    def host(self) -> str:
        """What this host is called."""
        return host_name()

    @property
    def boot(self) -> str:
        """Since when, and where, its processes have their numbers."""
        return boot()

    async def prepare(self, command: Command, log: Path) -> "Gate":
        """A process that waits before the command.

        Raises:
            NotStarted: there can be none.
        """
        try:
            return await asyncio.to_thread(_spawned, command, log)
        except OSError as error:
            raise NotStarted(f"{error.filename or 'the system'}: {error.strerror}") from None

    def adopt(self, identity: Identity) -> Watched | None:
        """A process that still runs; None where it has ended."""
        try:
            return Watched(identity, is_child=False, resident=resident_bytes)
        except ProcessLookupError:
            return None

    def bound_log(self, log: Path, bytes_max: int) -> bool:
        """Keep a log within about twice so many bytes."""
        return logs.bound_log(log, bytes_max)


class Gate:
    """A process that waits to be told to go: see `gate`."""

    def __init__(self, identity: Identity, command: Command, order: int, reply: int) -> None:
        self._identity = identity
        self._command = command
        self._order = order
        self._reply = reply

    @property
    def identity(self) -> Identity:
        """Which one it will be."""
        return self._identity

    async def go(self) -> Watched:
        """Let it become the command.

        Raises:
            NotStarted: that cannot be run.
        """
        try:
            said = await asyncio.to_thread(self._ordered)
            if said:
                raise NotStarted(said)
            return Watched(self._identity, is_child=True, resident=resident_bytes)
        except (NotStarted, ProcessLookupError) as error:
            _reap(self._identity.pid)
            raise error if isinstance(error, NotStarted) else NotStarted("it ended before it ran") from None

    def drop(self) -> None:
        """Let it end without having run."""
        os.close(self._order)
        os.close(self._reply)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._identity.pid, signal.SIGKILL)
        _reap(self._identity.pid)

    def _ordered(self) -> str:
        """Send the order; what is said in return, which is nothing where the command runs."""
        text = json.dumps(_order_of(self._command)).encode()
        try:
            with contextlib.suppress(BrokenPipeError), os.fdopen(self._order, "wb") as order:
                order.write(len(text).to_bytes(gate.LENGTH_BYTES, "big") + text)
            with os.fdopen(self._reply, "rb") as reply:
                return reply.read().decode("utf-8", "replace")
        except OSError as error:
            return f"the system: {error.strerror}"


def _order_of(command: Command) -> dict[str, Any]:
    return {
        "argv": command.argv,
        "env": dict(command.env),
        "cwd": command.cwd,
        "cpu_seconds": command.limits.cpu_seconds,
        "open_files": command.limits.open_files,
    }


def _spawned(command: Command, log: Path) -> Gate:
    """The process before the command. Of this one's files it gets its log and the two pipes, and nothing of its
    environment."""
    order_read, order = os.pipe()
    reply, reply_write = os.pipe()
    theirs = [order_read, reply_write]
    try:
        output = logs.open_log(log)
        theirs.append(output)
        pid = _spawn(order_read, reply_write, output)
    except OSError:
        os.close(order)
        os.close(reply)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    identity = identify(pid)
    assert identity is not None, "it waits"
    return Gate(identity, command, order, reply)


_ORDER, _REPLY = 3, 4
"""What the pipes are called there."""

_HIGH = 10
"""Above that they are out of the way of what they are to be called."""

_USUAL = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the command finds as usual, whatever this process does about them."""


def _spawn(order: int, reply: int, output: int) -> int:
    """The process itself. No descriptor is inheritable here at any time, since others may start processes as well."""
    wanted = ((order, _ORDER), (reply, _REPLY), (output, 1), (output, 2))
    high = [(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH), place) for descriptor, place in wanted]
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, descriptor, place) for descriptor, place in high]
    argv = [sys.executable, "-I", "-S", gate.__file__, str(_ORDER), str(_REPLY)]
    try:
        return os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True, setsigdef=_USUAL)
    finally:
        for descriptor, _ in high:
            os.close(descriptor)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
