"""How a server ends once it was asked to: in order, within two seconds at most, with exit code 0.

What has been acknowledged is stored by then, so that a server may be ended at any moment; but in order, it hands back
what it held. This module loads nothing else, so that it can be used first of all.
"""

import atexit
import os
import signal
import threading
from collections.abc import Callable

ENDING_SECONDS_MAX = 1.75
"""How long ending in order may take: a store that is locked, or a log that nobody reads, must not hold it up."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, *filter(None, [getattr(signal, "SIGBREAK", None)]))
"""By which a server is asked to end; the last is Ctrl-Break on Windows, where SIGTERM never comes."""


def end_at_once_on_signals() -> None:
    """Until something else is set, SIGTERM and SIGINT end this process on the spot: it has begun nothing yet, or has
    finished everything."""
    for number in SIGNALS:
        signal.signal(number, _end_at_once)
    # What is set here is taken back while the interpreter ends, and then a signal would be told as the reason.
    atexit.register(_ignore_signals)


def _end_at_once(*_: object) -> None:
    os._exit(0)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Ending:
    """Whether a server was asked to end, and what is to be done then."""

    def __init__(self, seconds_max: float = ENDING_SECONDS_MAX, give_up: Callable[[], object] = lambda: os._exit(0)):
        """Nobody has asked yet.

        Args:
            seconds_max: how long the end may take.
            give_up: ends the process where it took longer; called in a thread of its own.
        """
        self._seconds_max = seconds_max
        self._give_up = give_up
        self._stop: Callable[[], object] | None = None
        self._is_asked = False

    def ask(self) -> None:
        """Let the server end; from now on its time runs."""
        if not self._is_asked:
            self._is_asked = True
            guard = threading.Timer(self._seconds_max, self._give_up)
            guard.daemon = True  # a server that ends in time takes it along
            guard.start()
        if self._stop is not None:
            self._stop()

    def by(self, stop: Callable[[], object]) -> None:
        """What stops the server, which runs from now on; called at once where it was asked to end before."""
        self._stop = stop
        if self._is_asked:
            stop()
