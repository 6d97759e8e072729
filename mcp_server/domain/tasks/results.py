"""What the tools of tasks answer: tasks as callers see them, and what became of the call."""

from collections.abc import Container, Sequence
from typing import Any

from mcp_server.domain.events.aftermath import came_of
from mcp_server.domain.tasks.outcomes import OutcomeView
from mcp_server.domain.tasks.standing import TaskState, ended_state, leased_until, task_state
from mcp_server.domain.tasks.transactions import FinishedMany
from mcp_server.domain.tasks.views import TaskView, task_full
from mcp_server.domain.tasks.waiting import freed_by, still_waiting
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.views import View


class ClaimedTask(View):
    """A task and the lease on it."""

    task: TaskView
    lease_token: str
    attempt: int
    lease_expires_at: str
    parents: list[OutcomeView] | None = None


class CreatedTasks(View):
    """The tasks in the order given, and what some of them will wait for until somebody does something about it."""

    tasks: list[TaskState]
    warnings: list[str] | None = None


class ClaimedTasks(View):
    """The claimed tasks, and why they are fewer than asked for; or why there were none, with some that wait."""

    claims: list[ClaimedTask]
    nothing_because: dict[str, int] | None = None
    such_as: dict[str, list[str]] | None = None
    no_more_because: str | None = None


class ReportedTask(View):
    """The task, its new expiry, and whether to stop."""

    task: TaskState
    lease_expires_at: str
    cancel_requested: bool


class FinishedTask(View):
    """The task, the tasks it released, those that depended on it and wait for others yet, those next that its
    concurrency key held up, whether this finish was a repeat
    and then the ids of what had landed with it, what each call that landed with it answered, and what the caller may
    not have meant in those."""

    task: TaskState
    released: list[str]
    still_waiting: dict[str, list[str]] | None = None
    freed: list[str] | None = None
    repeated: bool
    made: list[str] | None = None
    also: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None


class RefusalView(View):
    """A task that an action was refused for."""

    id: str
    code: str
    message: str


class FinishedTasks(View):
    """The tasks whose finish was accepted, now or before (`repeated`), the tasks they released, those that depended on
    them and wait for others yet, and the tasks whose finish was refused."""

    tasks: list[TaskState]
    released: list[str]
    still_waiting: dict[str, list[str]] | None = None
    refused: list[RefusalView] | None = None


async def finished(
    database: Database, task: Row, released: list[str], *, repeated: bool, others: Sequence[str] = ()
) -> FinishedTask:
    """What a finish came to; of one that was accepted before, so far as that is kept: its answer may have been lost."""
    state = ended_state(task)
    if not repeated:
        waits = await still_waiting(database, others) if others else None
        freed = None if task["concurrency_key"] is None else await freed_by(database, task)
        return FinishedTask(task=state, released=released, still_waiting=waits, freed=freed, repeated=False)
    came = await came_of(database, f"task.{task['status']}", task["id"], "task.claimed")
    return FinishedTask(task=state, released=came.queued, made=came.made or None, repeated=True)


async def finished_many(database: Database, done: FinishedMany) -> FinishedTasks:
    """What the finish of several came to."""
    return FinishedTasks(
        tasks=[_ended(task, done.repeated) for task in done.tasks],
        released=done.released,
        still_waiting=await still_waiting(database, done.others) if done.others else None,
        refused=list(map(refusal_view, done.refused)) or None,
    )


def _ended(task: Row, repeated: Container[str]) -> TaskState:
    return ended_state(task).evolved({"repeated": task["id"] in repeated or None})


class ControlledTasks(View):
    """The tasks that changed, and those that schedules fired then; those that did not, and what may not have been
    meant."""

    tasks: list[TaskState]
    fired: list[str] | None = None
    refused: list[RefusalView] | None = None
    warnings: list[str] | None = None


class WaitedTasks(View):
    """The task, or the tasks, as they are now."""

    task: TaskView | None = None
    tasks: list[OutcomeView] | None = None
    reached: bool


def claimed_task(row: Row, token: str, parents: list[OutcomeView] | None = None) -> ClaimedTask:
    """A freshly leased row as its claimer sees it, with what it depended on."""
    task = task_full(row)
    assert task.lease is not None, "a claimed task has a lease"
    return ClaimedTask(
        task=task,
        lease_token=token,
        attempt=row["attempt"],
        lease_expires_at=task.lease.expires_at,
        parents=parents or None,
    )


def reported_task(row: Row) -> ReportedTask:
    """A task that was just reported on."""
    return ReportedTask(
        task=task_state(row),
        lease_expires_at=leased_until(row),
        cancel_requested=bool(row["cancel_requested"]),
    )


def resumed(claimed: ClaimedTasks) -> ClaimedTasks:
    """What an agent holds still; where that is nothing, so it is said: there may be work nevertheless."""
    nothing = "it holds no task, so there is nothing to resume; without resume it is given work"
    return claimed if claimed.claims else claimed.evolved({"no_more_because": nothing})


def refusal_view(refused: dict[str, str]) -> RefusalView:
    """A task that an action was refused for."""
    return RefusalView(id=refused["id"], code=refused["code"], message=refused["message"])
