"""The rules of a task's life as data and pure functions: which moves are legal, when it may start, when it is due.

The aggregate in `tasks.py` applies them.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.times import Micros

TaskStatus = Annotated[
    Literal["pending", "queued", "running", "paused", "completed", "failed", "cancelled", "timed_out"],
    Meant(
        also={
            "complete": "completed",
            "done": "completed",
            "finished": "completed",
            "succeeded": "completed",
            "success": "completed",
            "in_progress": "running",
            "suspended": "paused",
            "canceled": "cancelled",
            "timeout": "timed_out",
        }
    ),
]
TaskAction = Annotated[
    Literal["cancel", "pause", "resume", "retry", "discard", "set_priority", "reschedule", "assign", "edit", "run_now"],
    Meant(
        example="retry",
        also={
            "suspend": "pause",
            "unpause": "resume",
            "continue": "resume",
            "abort": "cancel",
            **dict.fromkeys(("run", "run_once", "trigger", "fire", "execute"), "run_now"),
        },
        instead={
            **dict.fromkeys(
                ("approve", "reject"),
                "People decide: approvals_decide(approval_id=...) has them asked, by the task's id, too",
            ),
            **dict.fromkeys(("complete", "finish", "done", "fail"), "A task that is claimed is ended by tasks_finish"),
            "claim": "Work is taken up by tasks_claim",
        },
    ),
]
TERMINAL = frozenset({"completed", "failed", "cancelled", "timed_out"})
_WAITING = ("cancel", "pause", "set_priority", "reschedule", "assign", "edit")
LEGAL: dict[str, tuple[str, ...]] = {
    "pending": _WAITING,
    "queued": _WAITING,
    "running": ("cancel", "set_priority", "assign", "edit"),
    "paused": ("resume", "cancel", "set_priority", "reschedule", "assign", "edit"),
    "completed": (),
    "failed": ("retry", "discard", "assign", "edit"),
    "timed_out": ("retry", "discard", "assign", "edit"),
    "cancelled": ("retry", "assign", "edit"),
}
LEGAL_FOR_SCHEDULES: dict[str, tuple[str, ...]] = {
    "pending": (*_WAITING, "run_now"),
    "paused": ("resume", "cancel", "set_priority", "reschedule", "assign", "edit", "run_now"),
}
"""A schedule never runs itself: its firings do."""
EDITED_WHILE_RUNNING = frozenset(("concurrency_limit", "priority", "retry", "tags"))
"""What may be different about a task that somebody works on: nothing that its worker was given with its claim."""

_NOT_FOR_SYSTEM = frozenset(("assign", "edit", "reschedule"))
NO_LEASE: dict[str, Any] = {
    "lease_agent_id": None,
    "lease_instance_id": None,
    "lease_expires_at": None,
    "deadline_at": None,
    "lease_token_hash": None,
}
BLANK: dict[str, Any] = NO_LEASE | {
    "attempt": 0,
    "attempts_forgiven": 0,
    "lease_seconds": None,
    "started_at": None,
    "finished_at": None,
    "finished_by": None,
    "progress": None,
    "result": None,
    "error": None,
    "usage": None,
    "last_finish": None,
    "cancel_reason": None,
    "cancel_requested": 0,
    "approved_by": None,
    "refused": None,
}


def legal_now(status: str, run_at: Micros | None, *, repeats: bool) -> tuple[str, ...]:
    """What may be done to a task, or to a schedule, which repeats; one that waits for a time can be had run at once."""
    if repeats:
        return LEGAL_FOR_SCHEDULES.get(status, ())
    legal = LEGAL[status]
    return legal if run_at is None or "reschedule" not in legal else (*legal, "run_now")


def finish_mark(token_hash: str | None, digest: str) -> str:
    """What an accepted finish is known by, should it be repeated."""
    return f"{(token_hash or '')[:16]}:{digest}"


def readiness(waits_on: int, run_at: Micros | None, approval: str | None, now: Micros) -> dict[str, Any]:
    """Pending while something keeps the task waiting: a dependency, its time, or an approval. Queued otherwise."""
    if waits_on > 0 or approval == "required" or (run_at is not None and run_at > now):
        return {"status": "pending", "ready_at": None}
    return {"status": "queued", "ready_at": now}


def due_at(fields: Mapping[str, Any]) -> Micros | None:
    """When time alone will change a task: its run_at while it waits for that only, its lease's end while it runs."""
    status = fields["status"]
    if status == "running":
        expires, deadline = fields["lease_expires_at"], fields["deadline_at"]
        return expires if deadline is None else min(expires, deadline)
    if status == "pending" and fields["waits_on"] == 0 and fields["approval"] != "required":
        return fields["run_at"]
    return None


def backoff_seconds(attempts_used: int, delay: float, delay_max: float, jitter: float) -> float:
    """Exponential back-off with full-range jitter of ±20 %, capped.

    Args:
        attempts_used: attempts made so far, at least 1.
        delay: seconds before the second attempt.
        delay_max: cap in seconds.
        jitter: a random number in [0, 1).
    """
    exponent = min(attempts_used - 1, 60)
    return min(delay * 2.0**exponent, delay_max) * (0.8 + 0.4 * jitter)


def rest_seconds(backoff: float, asked: float | None, *, is_least: bool) -> float:
    """How long a task rests before its next attempt: as long as its worker asked for, who knows of what it failed; else
    as its policy says. Of the server's own work neither is cut short: what asks to be left alone a while may fail for
    long."""
    if asked is None:
        return backoff
    return max(backoff, asked) if is_least else asked


def system_legal(legal: Iterable[str]) -> list[str]:
    """What of this may be done to the server's own work."""
    return [action for action in legal if action not in _NOT_FOR_SYSTEM]
