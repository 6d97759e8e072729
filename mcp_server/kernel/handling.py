"""What does a system task: a handler, and the job it is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp_server.kernel.values import Word

Report = Callable[[str], Awaitable[None]]
"""Stores how far the job has come, and keeps its lease."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a system task.

    Attributes:
        task_id: of the task.
        lease_token: under which it is done.
        input: as it was created.
        report: see `Report`.
    """

    task_id: str
    lease_token: str
    input: Any
    report: Report


Handler = Callable[[Job], Awaitable[Any]]
"""Does one job and returns its result as JSON. It may run again after a crash, so it must be safe to repeat."""


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
