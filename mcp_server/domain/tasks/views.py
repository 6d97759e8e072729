"""What callers see of tasks."""

from typing import Any

from mcp_server.domain.tasks.attempts import AttemptView
from mcp_server.domain.tasks.runs import RunView
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import MAX_ATTEMPTS_DEFAULT, PRIORITY_NAMES, ShownKind
from mcp_server.domain.tasks.standing import (
    approval_of,
    cancel_reason,
    leased_until,
    next_firings,
    pause_reason,
    progress_of,
    runs_at,
    took_seconds,
    waits_for,
)
from mcp_server.domain.tasks.waiting import Facts, why_waiting
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros, iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none, list_or_none, short


class ParentView(View):
    """A task that another one waits for."""

    id: str
    title: str
    status: str


class LeaseView(View):
    """Who works on a task, by id and name, and until when without a report; of another's, when that was last heard
    of."""

    agent_id: str
    agent: str | None = None
    instance_id: str | None = None
    expires_at: str
    last_seen_seconds_ago: int | None = None


class TaskView(View):
    """One task. Lists leave the bulky fields out."""

    id: str
    title: str
    kind: ShownKind
    status: str
    priority: str
    agent_id: str | None = None
    required_capabilities: list[str] | None = None
    tags: list[str] | None = None
    parent_id: str | None = None
    depends_on: list[str] | None = None
    waits_for: list[str] | None = None
    waits_for_tasks: list[ParentView] | None = None
    run_at: str | None = None
    schedule: dict[str, str] | None = None
    next_firings: list[str] | None = None
    clock_changes: str | None = None
    last_runs: list[RunView] | None = None
    handed_over: dict[str, str] | None = None
    approval: str | None = None
    attempt: int
    max_attempts: int | None = None
    attempts_not_counted: int | None = None
    retry: dict[str, float] | None = None
    timeout_seconds: float | None = None
    concurrency_key: str | None = None
    description: str | None = None
    input: Any = None
    lease: LeaseView | None = None
    progress: dict[str, Any] | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    cancel_requested: bool | None = None
    cancel_reason: str | None = None
    pause_reason: str | None = None
    created_by: str | None = None
    created_at: str
    updated_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    took_seconds: float | None = None
    attempts: list[AttemptView] | None = None


def task_row(row: Row, facts: Facts | None = None) -> TaskView:
    """A task in a list: what one needs to choose it; why it waits by the facts given."""
    return TaskView(
        id=row["id"],
        title=row["title"],
        kind=row["kind"],
        status=row["status"],
        priority=PRIORITY_NAMES[row["priority"]],
        agent_id=row["agent_id"],
        tags=list_or_none(row["tags"]),
        parent_id=row["parent_id"],
        waits_for=waits_for(row) if facts is None else why_waiting(row, facts),
        run_at=runs_at(row),
        schedule=json_or_none(row["schedule"]),
        attempt=row["attempt"],
        lease=_lease(row),
        progress=progress_of(row),
        result=_short_result(row),
        error=json_or_none(row["error"]),
        cancel_requested=bool(row["cancel_requested"]) or None,
        cancel_reason=short(cancel_reason(row)),
        pause_reason=pause_reason(row),
        created_at=iso(row["created_at"]),
        updated_at=None if row["updated_at"] == row["created_at"] else iso(row["updated_at"]),
        finished_at=iso_or_none(row["finished_at"]),
        took_seconds=took_seconds(row),
    )


def _short_result(row: Row) -> Any:
    return short(json_or_none(row["result"])) if row["status"] == "completed" else None


def task_full(row: Row, facts: Facts | None = None, now: Micros | None = None) -> TaskView:
    """A task with everything; why it waits by the facts given, a schedule's next firings where `now` is given."""
    task = _task_full(row)
    if facts is not None:
        parents = [
            ParentView(id=one["id"], title=one["title"], status=one["status"])
            for one in facts.parents.get(row["id"], ())
        ]
        task = task.evolved({"waits_for": why_waiting(row, facts), "waits_for_tasks": parents or None})
    if row["schedule"] is None:
        return task
    spec = ScheduleSpec.model_validate_json(row["schedule"])
    firings = next_firings(row, now)
    odd = spec.said_of_clock_changes(row["run_at"]) if firings else None
    return task.evolved(
        {"schedule": spec.model_dump(), "approval": None, "next_firings": firings, "clock_changes": odd}
    )


def _task_full(row: Row) -> TaskView:
    return TaskView.adopt(
        {
            "id": row["id"],
            "title": row["title"],
            "kind": row["kind"],
            "status": row["status"],
            "priority": PRIORITY_NAMES[row["priority"]],
            "agent_id": row["agent_id"],
            "required_capabilities": list_or_none(row["required_capabilities"]),
            "tags": list_or_none(row["tags"]),
            "parent_id": row["parent_id"],
            "depends_on": list_or_none(row["depends_on"]),
            "waits_for": waits_for(row),
            "waits_for_tasks": None,
            "run_at": runs_at(row),
            "schedule": None,
            "next_firings": None,
            "clock_changes": None,
            "last_runs": None,
            "handed_over": None,
            "approval": approval_of(row),
            "attempt": row["attempt"],
            "max_attempts": (row["max_attempts"] or MAX_ATTEMPTS_DEFAULT) + row["attempts_forgiven"],
            # What was handed back, or came before a retry, leaves room for as many more than the policy says.
            "attempts_not_counted": row["attempts_forgiven"] or None,
            "retry": _retry(row),
            "timeout_seconds": row["timeout_seconds"],
            "concurrency_key": row["concurrency_key"],
            "description": row["description"] or None,
            "input": json_or_none(row["input"]),
            "lease": _lease(row),
            "progress": progress_of(row),
            "result": json_or_none(row["result"]),
            "error": json_or_none(row["error"]),
            "usage": json_or_none(row["usage"]),
            "cancel_requested": bool(row["cancel_requested"]) or None,
            "cancel_reason": cancel_reason(row),
            "pause_reason": pause_reason(row),
            "created_by": row["created_by"],
            "created_at": iso(row["created_at"]),
            "updated_at": iso(row["updated_at"]),
            "started_at": iso_or_none(row["started_at"]),
            "finished_at": iso_or_none(row["finished_at"]),
            "took_seconds": took_seconds(row),
            "attempts": None,
        }
    )


def _retry(row: Row) -> dict[str, float] | None:
    """How long a task rests before it is tried again, where that was said."""
    if row["max_attempts"] is None:
        return None
    return {"delay_seconds": row["retry_delay_seconds"], "max_delay_seconds": row["retry_max_delay_seconds"]}


def _lease(row: Row) -> LeaseView | None:
    if row["lease_agent_id"] is None:
        return None
    return LeaseView.adopt(
        {
            "agent_id": row["lease_agent_id"],
            "agent": None,
            "instance_id": row["lease_instance_id"],
            "expires_at": leased_until(row),
            "last_seen_seconds_ago": None,
        }
    )
