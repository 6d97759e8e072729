"""What runs processes, as the domain sees it: a command is prepared, may go once that is written down, and is held.

A prepared command does nothing until it is told to go, and ends by itself where nobody tells it: so whoever dies or is
overtaken between the two leaves no process behind that is written down nowhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol


class Identity(NamedTuple):
    """One process, told from all others that had or will have its number: when it started, since which boot."""

    pid: int
    started: str
    boot: str


class Exit(NamedTuple):
    """How a process ended. Of one whose parent is gone, nobody can know."""

    code: int | None = None
    signal: int | None = None
    text: str = "unknown (adopted)"


UNKNOWN = Exit()
"""How one ended whose parent is gone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use; None is as much as there is.

    Attributes:
        memory_bytes: resident memory of it and its children, looked at every other second.
        cpu_seconds: processor time.
        open_files: files and sockets at once.
    """

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """How a process is asked to end: by which signal, and how long it may take until its whole group is killed."""

    signal: str = "SIGTERM"
    grace_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        argv: the program and its arguments, as they are; no shell sees them.
        env: the whole environment.
        cwd: the folder to run in.
        limits: what it may use.
        stop: how it is asked to end.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    limits: Limits = Limits()
    stop: Stop = Stop()


class NotStarted(Exception):
    """A command cannot be run; the text says why."""


class Held(Protocol):
    """A process that runs, or ran: one's own child, or one that somebody else started."""

    @property
    def identity(self) -> Identity:
        """Which one."""
        ...

    async def wait(self) -> Exit:
        """How it ended, once it has. What is left of its group is killed then."""
        ...

    def ask_to_end(self, signal: str, /) -> None:
        """Send it a signal, such as `SIGTERM`. Nothing where it has ended."""
        ...

    def kill(self) -> None:
        """End it and all that is left of its group."""
        ...

    def resident_bytes(self) -> int:
        """The memory that it and its children hold."""
        ...

    def close(self) -> None:
        """Look at it no longer. It goes on."""
        ...


class Prepared(Protocol):
    """A process that waits to be told to go."""

    @property
    def identity(self) -> Identity:
        """Which one it will be."""
        ...

    async def go(self) -> Held:
        """Let it run.

        Raises:
            NotStarted: the program cannot be run.
        """
        ...

    def drop(self) -> None:
        """Let it end without having run."""
        ...


class Runner(Protocol):
    """Starts processes on this host, and finds those again that somebody else started."""

    @property
    def host(self) -> str:
        """What this host is called, the same for every server on it."""
        ...

    @property
    def boot(self) -> str:
        """Since when, and where, its processes have their numbers: see `Identity`."""
        ...

    async def prepare(self, command: Command, log: Path) -> Prepared:
        """Make a process that is ready to go, with its output going to the end of a file.

        Raises:
            NotStarted: there can be none.
        """
        ...

    def adopt(self, identity: Identity) -> Held | None:
        """A process that still runs; None where it has ended."""
        ...

    def bound_log(self, log: Path, bytes_max: int) -> bool:
        """Keep a log within about twice so many bytes; whether something was cut off."""
        ...


class Tail(NamedTuple):
    """The end of a log: its text, whether lines before it are gone, and whether lines in between may be missing."""

    text: str
    cut: bool
    rotated: bool


def _no_log(log: Path) -> Tail | None:
    del log


@dataclass(frozen=True, slots=True)
class Logs:
    """Where logs of this host are read.

    Attributes:
        host: this host, as `Runner.host`.
        read: the end of a log; None where there is none.
    """

    host: Callable[[], str] = str
    read: Callable[[Path], Tail | None] = _no_log
