"""How long something took on a machine that does other things, too: that it was busy must not decide a test."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")


def _stalled() -> float:
    """Seconds in which some process of this machine was ready to run and had no processor; 0 where nobody counts."""
    try:
        return int(_PRESSURE.read_text().split("total=")[1].split()[0]) / 1_000_000
    except OSError:
        return 0.0


class Stopwatch:
    """Runs from when it is made, and stands still while there are too few processors."""

    def __init__(self) -> None:
        self._started, self._stalled = time.monotonic(), _stalled()

    @property
    def seconds(self) -> float:
        """What it shows."""
        return time.monotonic() - self._started - (_stalled() - self._stalled)


async def passes(seconds: float) -> None:
    """Let so much time go by, and more of it on a machine that is busy, where whatever is to happen meanwhile takes
    longer, too; twenty times as much at most."""
    watch, ends = Stopwatch(), time.monotonic() + 20 * seconds
    while watch.seconds < seconds and time.monotonic() < ends:
        await asyncio.sleep(seconds / 10)


@contextmanager
def within(seconds: float) -> Generator[None]:
    """What is done takes less than so many seconds."""
    watch = Stopwatch()
    yield
    assert watch.seconds < seconds, f"took {watch.seconds:g} s, and some while this machine was busy"
