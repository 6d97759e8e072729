"""What waits for a writer: a call with its caller, and how callers are told."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mcp_server.kernel.errors import Busy

WAIT_SECONDS_MAX = 30.0
"""How long a caller waits for its turn before it is told that the store is busy."""


@dataclass(slots=True, eq=False)
class Job:
    """One call waiting for the writer."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    submitted_at: float
    orphaned: Callable[[Any], None] | None = None
    """Told the result in the caller's loop when the caller went away after the work had begun."""
    state: Literal["waiting", "running", "abandoned"] = "waiting"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> bool:
        """Take the job up, unless its caller has gone."""
        with self.lock:
            if self.state != "waiting":
                return False
            self.state = "running"
            return True

    def abandon(self) -> bool:
        """Give the job up, unless the writer has taken it up."""
        with self.lock:
            if self.state != "waiting":
                return False
            self.state = "abandoned"
            return True

    def leave(self) -> None:
        """The caller went away. What was done for it just before, it has not heard of any more: the answer was there,
        and the cancellation came first."""
        answered = self.future.done() and not self.future.cancelled() and self.future.exception() is None
        if answered and self.orphaned is not None:
            self.orphaned(self.future.result())

    def give_up(self, database: str) -> None:
        """Tell a caller whose turn has not come that the store is busy. Runs in the caller's loop."""
        if self.abandon() and not self.future.done():
            self.future.set_exception(
                Busy(
                    f"Another process has held the database {database} for over {WAIT_SECONDS_MAX:g} seconds.",
                    next="Nothing was written; call again. If it stays busy, look for a stopped process on it.",
                )
            )


Outcome = tuple[Job, Any, BaseException | None]


def resolve(outcomes: Sequence[Outcome]) -> None:
    """Tell the callers; one wake-up per event loop, not per job."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_set, group)
        except RuntimeError:
            continue  # the loop is gone, and its callers with it; the work is committed all the same


def _set(outcomes: Sequence[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            if job.orphaned is not None and error is None and job.future.cancelled():
                job.orphaned(result)
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
