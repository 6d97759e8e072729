"""The handlers of system tasks: which kinds there are, and what each does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.task_spec import ProgressSpec
from mcp_server.domain.values import Word
from mcp_server.services.desk import Desk
from mcp_server.services.housekeeping import ARCHIVE_KIND
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
    """

    message: str
    code: Word = "failed"
    retryable: bool = True


def system_handlers(desk: Desk, *, retention_days: float) -> Mapping[str, Handler]:
    """Every handler, by the kind of task that it does."""

    async def archive(task: TaskView, report: Report) -> dict[str, int]:
        """Move finished work past its retention out of the hot table, in batches small enough to disturb nobody."""
        del task
        moved = 0
        while batch := await desk.housekeeping.archive_some(retention_days):
            moved += batch
            await report(ProgressSpec(message=f"{moved} tasks archived"))
        return {"archived": moved}

    return {ARCHIVE_KIND: archive}
