"""Being asked to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator

from mcp_server.runtime.ending import SIGNALS


@contextlib.contextmanager
def on_signals(stop: Callable[[], object]) -> Generator[None]:
    """Call `stop` on every SIGTERM and SIGINT; afterwards they do what they did before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    installed: list[signal.Signals] = []
    for number in SIGNALS:
        with contextlib.suppress(NotImplementedError):  # Windows ends the process on its own
            loop.add_signal_handler(number, stop)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number] or signal.SIG_DFL)
