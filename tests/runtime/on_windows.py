"""The command line, on Windows as far as our own code can tell: run as a program by `test_other_systems`.

Everything of others is loaded first; then what Windows does not have is taken away, its locks are put in, and its event
loop, which knows no signals and watches sockets alone. What this cannot show is what Windows itself does.
"""

import asyncio
import errno
import fcntl
import os
import select
import signal
import stat
import subprocess
import sys
import types
from typing import Any

import aiosmtplib  # noqa: F401
import aiosqlite  # noqa: F401
import anyio._backends._asyncio  # noqa: F401
import click  # noqa: F401
import cronsim  # noqa: F401
import jinja2  # noqa: F401
import mcp.client.stdio
import mcp.server.streamable_http_manager  # noqa: F401
import platformdirs  # noqa: F401
import structlog  # noqa: F401
import uvicorn  # noqa: F401

from mcp_server.persistence.sqlite.library import load_library

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"}
OF_OS = (
    *("fork", "killpg", "setsid", "getuid", "geteuid", "sysconf", "pidfd_open", "posix_spawn", "wait4", "waitid"),
    *("O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "mkfifo", "uname", "fchmod"),
)
OF_SIGNAL = ("SIGKILL", "SIGHUP", "SIGCHLD", "SIGQUIT", "SIGUSR1", "SIGSTOP", "SIGCONT", "SIGPIPE", "pidfd_send_signal")
OF_SELECT = ("poll", "epoll", "PIPE_BUF")
load_library()


class Hides:
    """Finds no module that Windows lacks."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse those."""
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class Loop(asyncio.SelectorEventLoop):
    """Knows no signals, and watches sockets alone."""

    def add_signal_handler(self, *_: Any) -> None:
        raise NotImplementedError

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        if not stat.S_ISSOCK(os.fstat(fd if isinstance(fd, int) else fd.fileno()).st_mode):
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)


class Policy(asyncio.DefaultEventLoopPolicy):  # pyright: ignore
    """Gives that loop to whoever asks for one."""

    _loop_factory = Loop


def locks() -> types.ModuleType:
    """Windows' locks, by those of this system."""
    module: Any = types.ModuleType("msvcrt")
    module.LK_NBLCK, module.LK_UNLCK = 2, 0
    flock, take, leave = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN

    def locking(fd: int, how: int, _: int) -> None:
        try:
            flock(fd, take if how else leave)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    module.locking = locking
    return module


def become() -> None:
    """From here on it is Windows."""
    sys.modules["msvcrt"] = locks()
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Hides())  # type: ignore[arg-type]
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL), (select, OF_SELECT)):
        for name in names:
            vars(module).pop(name, None)
    asyncio.set_event_loop_policy(Policy())
    started = subprocess.Popen.__init__

    def start(self: Any, *args: Any, creationflags: int = 0, **how: Any) -> None:
        started(self, *args, start_new_session=bool(creationflags), **how)

    subprocess.Popen.__init__ = start  # type: ignore[method-assign]
    sys.platform = "win32"


if __name__ == "__main__":
    become()
    from mcp_server.__main__ import main

    main()
