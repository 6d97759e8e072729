"""Tasks as models read them: in lists and claims stands what one needs to choose a task and to do it, and not what is
so unless it is said, or stands beside it."""

from typing import Any

from mcp_server.domain.tasks.outcomes import OutcomeView
from mcp_server.domain.tasks.results import ClaimedTasks
from mcp_server.domain.tasks.spec import ShownKind
from mcp_server.domain.tasks.views import LeaseView, TaskView
from mcp_server.kernel.paging import floors
from mcp_server.kernel.records import blank_of
from mcp_server.kernel.views import View

_UNSAID = {"kind": "task", "priority": "normal"}


class TaskLine(View):
    """A task in a list; `kind` and `priority` stand there where they are not the usual ones, `attempt` after the
    first."""

    id: str
    title: str
    status: str
    kind: ShownKind | None = None
    priority: str | None = None
    agent_id: str | None = None
    tags: list[str] | None = None
    parent_id: str | None = None
    waits_for: list[str] | None = None
    run_at: str | None = None
    schedule: dict[str, str] | None = None
    attempt: int | None = None
    lease: LeaseView | None = None
    progress: dict[str, Any] | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    finished_at: str | None = None
    took_seconds: float | None = None
    last_attempt_took_seconds: float | None = None
    cancel_requested: bool | None = None
    cancel_reason: str | None = None
    pause_reason: str | None = None


class WorkView(View):
    """A task as who claimed it needs it: its attempt and its lease stand beside it."""

    id: str
    title: str
    status: str
    kind: ShownKind | None = None
    priority: str | None = None
    tags: list[str] | None = None
    parent_id: str | None = None
    description: str | None = None
    input: Any = None
    timeout_seconds: float | None = None
    concurrency_key: str | None = None
    progress: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    cancel_requested: bool | None = None
    created_by: str | None = None


class ClaimView(View):
    """A task and the lease on it."""

    task: WorkView
    lease_token: str
    attempt: int
    lease_expires_at: str
    parents: list[OutcomeView] | None = None


class ClaimsView(View):
    """The claimed tasks, and why there were no more; or why there were none."""

    claims: list[ClaimView]
    nothing_because: dict[str, int] | None = None
    at_least: list[str] | None = None
    such_as: dict[str, list[str]] | None = None
    no_more_because: str | None = None


def task_line(task: TaskView) -> TaskLine:
    """A task in a list; of one that has ended, when and with what. What it took is that of its last attempt, which is
    said where there were others."""
    once: dict[str, Any] = {"attempt": None, "last_attempt_took_seconds": None}
    again: dict[str, Any] = {"took_seconds": None, "last_attempt_took_seconds": task.took_seconds}
    return TaskLine.adopt(_of(TaskLine, task) | (once if task.attempt <= 1 else again))


def claims_view(claimed: ClaimedTasks, speaker: str) -> ClaimsView:
    """What was claimed, as `speaker` needs it, who knows what it created itself."""
    claims = [
        ClaimView(
            task=_work(one.task, speaker),
            lease_token=one.lease_token,
            attempt=one.attempt,
            lease_expires_at=one.lease_expires_at,
            parents=one.parents,
        )
        for one in claimed.claims
    ]
    return ClaimsView(
        claims=claims,
        nothing_because=claimed.nothing_because,
        at_least=floors(nothing_because=claimed.nothing_because),
        such_as=claimed.such_as or None,
        no_more_because=claimed.no_more_because,
    )


def _work(task: TaskView, speaker: str) -> WorkView:
    by = None if task.created_by == speaker else task.created_by
    return WorkView.adopt(_of(WorkView, task) | {"created_by": by})


def _of(view: type[View], task: TaskView) -> dict[str, Any]:
    """The members of a view that a task's has, too; what is as it is where nothing is said is left out."""
    known = task.fields()
    shared = (name for name in blank_of(view) if name in known)
    return {name: None if known[name] == _UNSAID.get(name, ...) else known[name] for name in shared}
