"""Being asked to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator

from mcp_server.runtime.ending import SIGNALS

_READ_BYTES = 4096


@contextlib.contextmanager
def on_signals(stop: Callable[[], object]) -> Generator[None]:
    """Call `stop` on every SIGTERM and SIGINT, on Windows on Ctrl-C and Ctrl-Break; afterwards they do what they did
    before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(stop)

    with contextlib.ExitStack() as undone:
        for number in SIGNALS:
            undone.callback(signal.signal, number, before[number] or signal.SIG_DFL)
        try:
            for number in SIGNALS:
                loop.add_signal_handler(number, stop)
                undone.callback(loop.remove_signal_handler, number)
        except NotImplementedError:
            undone.enter_context(_woken_by_signals(loop))
            for number in SIGNALS:
                signal.signal(number, handle)
        yield


@contextlib.contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    """On Windows a signal is handled once the loop does something: so it must wake the loop, as Unix does by itself."""
    inside, outside = socket.socketpair()
    with inside, outside:
        inside.setblocking(False)
        outside.setblocking(False)
        try:
            loop.add_reader(inside, inside.recv, _READ_BYTES)
        except NotImplementedError:  # a loop of completions is woken by signals without us
            yield
            return
        before = signal.set_wakeup_fd(outside.fileno())
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(inside)
