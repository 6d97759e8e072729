"""Loops: what runs in the background for as long as a process lives, and must not end silently.

A loop that fails runs again after a rest. Each failure is logged and counted, and shows in the server's health. Loops
of one name share one entry, so that the report stays short however many streams are open.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any

from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.times import Micros, duration, iso

REST_SECONDS_MIN = 0.05
REST_SECONDS_MAX = 1.5
"""How long a loop rests after its first failure, and at most: each failure doubles the rest."""

WELL_SECONDS = 30.0
"""A loop that ran this long before it failed was well: its rest begins anew."""

ERROR_CHARS_MAX = 300
log = logging.getLogger("datamcp.loops")


def _now() -> Micros:
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Entry:
    """What is known of the loops of one name that ever failed."""

    restarts: int = 0
    resting: int = 0
    """How many of them rest after a failure now."""
    last_error: str = ""
    last_failed_at: Micros = 0


class Loops:
    """The loops of one process. Safe to use from any thread."""

    def __init__(
        self,
        *,
        clock: Callable[[], Micros] = _now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """No loop runs yet.

        Args:
            clock: now, in microseconds UTC.
            sleep: rests a task for so many seconds.
            wait: rests a thread for so many seconds, or until the event is set; whether it is.
        """
        self._clock = clock
        self._sleep = sleep
        self._wait = wait
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self.on_restart: Callable[[str], None] | None = None
        """Told the name of each loop that runs again, in the loop's own thread."""

    async def keep(self, name: str, body: Callable[[], Awaitable[object]]) -> None:
        """Run `body` until it returns, which is its end on purpose; after an exception it runs again.

        Raises:
            CancelledError: the task was cancelled.
        """
        rest = _Rest()
        while True:
            started = self._clock()
            try:
                await body()
                return
            except (Exception, asyncio.CancelledError) as error:
                if _is_cancelled():  # also where the body made something else of it
                    raise asyncio.CancelledError from error
                seconds = rest.after(self._clock() - started)
                with self._resting(name, error, seconds):
                    await self._sleep(seconds)
            self._restarted(name)

    def keep_in_thread(self, name: str, body: Callable[[], object], stopped: threading.Event) -> None:
        """`keep` for the body of a thread; no longer run again once `stopped` is set. Blocks."""
        rest = _Rest()
        while True:
            started = self._clock()
            try:
                body()
                return
            except BaseException as error:  # not even SystemExit ends a thread that others wait for
                seconds = rest.after(self._clock() - started)
                with self._resting(name, error, seconds):
                    if self._wait(stopped, seconds):
                        return
            self._restarted(name)

    def hold(self, name: str, error: BaseException) -> None:
        """Something of this name failed, and is tried again later; it shows as failing until it is released."""
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            is_new, entry.resting = not entry.resting, 1
            entry.last_error, entry.last_failed_at = _line(error), self._clock()
        if is_new and isinstance(error, OpsError):
            log.warning("%s failed and is tried again later: %s", name, _line(error))
        elif is_new:
            log.error("%s failed and is tried again later", name, exc_info=error)

    def release(self, name: str) -> None:
        """What failed under this name works again, or is gone."""
        with self._lock:
            self._entries.pop(name, None)

    def report(self) -> list[dict[str, Any]]:
        """Every loop that ever failed, JSON-ready: its name, state, restarts, last error and when that was."""
        with self._lock:
            return [
                {
                    "name": name,
                    "state": "restarting" if entry.resting else "running",
                    "restarts": entry.restarts,
                    "last_error": entry.last_error,
                    "last_failed_at": iso(entry.last_failed_at),
                }
                for name, entry in sorted(self._entries.items())
            ]

    def failing(self) -> list[str]:
        """The names of the loops that have failed and do not run again yet."""
        with self._lock:
            return sorted(name for name, entry in self._entries.items() if entry.resting)

    @contextlib.contextmanager
    def _resting(self, name: str, error: BaseException, seconds: float) -> Generator[None]:
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            entry.resting += 1
            entry.last_error = _line(error)
            entry.last_failed_at = self._clock()
        if isinstance(error, OpsError):
            log.warning("loop %s failed and runs again in %g s: %s", name, seconds, _line(error))
        else:
            log.error("loop %s hit a bug and runs again in %g s", name, seconds, exc_info=error)
        try:
            yield
        finally:
            with self._lock:
                entry.resting -= 1

    def _restarted(self, name: str) -> None:
        with self._lock:
            self._entries[name].restarts += 1
        if self.on_restart is not None:
            try:
                self.on_restart(name)
            except Exception:  # whoever counts must not end what is counted
                log.exception("counting a restart failed")


class _Rest:
    """How long one loop rests after its next failure."""

    def __init__(self) -> None:
        self._seconds = REST_SECONDS_MIN

    def after(self, ran: Micros) -> float:
        """Seconds to rest after a run of so many microseconds."""
        if ran >= duration(WELL_SECONDS):
            self._seconds = REST_SECONDS_MIN
        seconds = self._seconds
        self._seconds = min(seconds * 2, REST_SECONDS_MAX)
        return seconds


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _line(error: BaseException) -> str:
    """A refusal in its own words; of a bug only what kind it is, since its text may hold what is nobody's business."""
    text = error.message if isinstance(error, OpsError) else f"bug: {type(error).__name__}"
    return " ".join(text.split())[:ERROR_CHARS_MAX]
