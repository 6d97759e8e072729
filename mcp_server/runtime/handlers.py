"""The handlers of system tasks: which kinds there are, and what each does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.task_spec import ProgressSpec
from mcp_server.domain.values import Word
from mcp_server.services.desk import Desk
from mcp_server.services.retention import ARCHIVE_KIND, THIN_KIND, Keep
from mcp_server.services.views import TaskView

Report = Callable[[ProgressSpec], Awaitable[None]]
Handler = Callable[[TaskView, Report], Awaitable[Any]]
"""Does one task and returns its result as JSON. It may run again after a crash, so it must be safe to repeat."""


@dataclass(eq=False)
class HandlerFailed(Exception):
    """What a handler raises to end its attempt.

    Attributes:
        message: what went wrong, for people.
        code: a stable word for it.
        retryable: whether another attempt may succeed.
        retry_after_seconds: how long to wait for it at least.
    """

    message: str
    code: Word = "failed"
    retryable: bool = True
    retry_after_seconds: float | None = None


def system_handlers(desk: Desk, keep: Keep) -> Mapping[str, Handler]:
    """Every handler, by the kind of task that it does."""

    async def archive(task: TaskView, report: Report) -> dict[str, int]:
        """Move finished work past its retention out of the hot table."""
        del task
        moved = 0
        while batch := await desk.retention.archive_some(keep):
            moved += batch
            await report(ProgressSpec(message=f"{moved} tasks archived"))
        return {"archived": moved}

    async def thin_events(task: TaskView, report: Report) -> dict[str, int]:
        """Replace old events by snapshots."""
        del task
        retention, place, dropped = desk.retention, None, 0
        horizon = await retention.horizon(keep)
        while horizon is not None:
            place, more = await retention.thin_some(place, horizon)
            dropped += more
            if place is None:
                break
            await report(ProgressSpec(message=f"{dropped} events dropped"))
        return {"dropped": dropped}

    return {ARCHIVE_KIND: archive, THIN_KIND: thin_events}
