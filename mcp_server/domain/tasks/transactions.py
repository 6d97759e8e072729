"""Transaction functions of the task queue: create, report, finish, control, approve."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from mcp_server.domain.agents.speaking import require_voice
from mcp_server.domain.agents.transactions import count_usage, see_instance
from mcp_server.domain.events.thinning import last_event
from mcp_server.domain.tasks.commands import (
    ControlTasks,
    EndAttempt,
    FinishSome,
    FinishTask,
    FinishTasks,
    GiveUpTask,
    ReportTask,
)
from mcp_server.domain.tasks.creation import SYSTEM_WORK
from mcp_server.domain.tasks.editing import edit, names_changed
from mcp_server.domain.tasks.endings import require_no_ending
from mcp_server.domain.tasks.firing import create_firing, fired_now
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_CHANGED, TASK_RETRIED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.parents import wait_anew, waited_for
from mcp_server.domain.tasks.pinning import assigned, require_agent_stays
from mcp_server.domain.tasks.queues import ensure_queue
from mcp_server.domain.tasks.refusals import finished_otherwise, no_lease
from mcp_server.domain.tasks.rescheduling import told_of_schedule
from mcp_server.domain.tasks.rows import (
    after_end,
    dependents,
    load_anywhere,
    load_task,
    read_ahead,
)
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import SYSTEM_WORKER
from mcp_server.kernel.errors import OpsError, PermissionDenied
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import sha256_text
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros
from mcp_server.kernel.writes import Landing

_STRANDING = frozenset(("assign", "edit", "retry", "resume"))
"""What may leave a task to who does not take it up."""


_TELLS_WHY = frozenset(("cancel", "pause", "discard"))
"""What keeps its reason with the task."""


class Finished(NamedTuple):
    """The task after the attempt, the ids it released, whether this finish was a repeat, and the ids of others that
    depended on the task, which may wait on."""

    task: dict[str, Any]
    released: list[str]
    repeated: bool
    others: Sequence[str] = ()


class FinishedMany(NamedTuple):
    """The tasks whose finish was accepted, now or before, the ids they released, those of others that depended on them,
    the tasks whose finish was refused: `{id, code, message}`, and the ids of those whose was a repeat."""

    tasks: list[dict[str, Any]]
    released: list[str]
    others: list[str]
    refused: list[dict[str, Any]]
    repeated: frozenset[str]


Ended = Finished | FinishedMany
"""What a finish came to that may be of one attempt or of several."""


class Controlled(NamedTuple):
    """The tasks the action changed, those it was refused for: `{id, code, message}`; what may not be meant; and, of an
    action that changes their definition, what is different, by their ids."""

    tasks: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    warnings: list[str]
    changed: dict[str, list[str]]
    may_strand: bool
    """Whether it may have left tasks to who does not take them up."""
    cancelled: Sequence[dict[str, Any]] = ()
    """Those of the tasks that it cancelled, or asked to stop."""
    fired: Sequence[str] = ()
    """The ids of those that schedules fired at once: they are among the tasks, and nothing that was changed."""


def report(tx: Transaction, origin: Origin, command: ReportTask) -> Task:
    """Extend the lease and keep the progress."""
    task = load_task(tx, command.task_id)
    require_worker(tx, origin, task, command.lease_token)
    progress = None if command.progress is None else command.progress.stored()
    new, event = task.reported(command.lease_token, progress, command.extend_seconds, origin.at)
    tx.record(origin, event)
    see_instance(tx, origin, task.lease_agent_id, task.lease_instance_id)
    return new


def finish(tx: Transaction, origin: Origin, command: EndAttempt) -> Finished:
    """End an attempt; release what waited for the task.

    Raises:
        LeaseLost: the token is not the current one, unless this very finish was accepted before.
    """
    task = load_task(tx, command.task_id)
    digest = command.digest()
    if task.is_repeat_of(command.lease_token, digest):
        return Finished(task.fields(), [], repeated=True)
    require_worker(tx, origin, task, command.lease_token)
    token, usage = command.lease_token, command.usage
    if command.error is None:
        new, event = task.completed(token, command.result, usage, digest, origin.at)
    else:
        new, event = task.failed(token, command.error, usage, digest, origin.at, origin.chance())
    cause = tx.record(origin, event)
    if usage is not None:
        count_usage(tx, origin.caused_by(cause), task.lease_agent_id, usage.tokens, usage.cost_usd or 0.0)
    if task.lease_instance_id is not None:
        see_instance(tx, origin, task.lease_agent_id, task.lease_instance_id)
    children = dependents(tx, new.id) if new.status == "completed" else []
    released = after_end(tx, origin, new, cause)
    return Finished(new.fields(), released, repeated=False, others=_held_up(tx, new, children, released))


def _held_up(tx: Transaction, task: Task, children: Sequence[str], released: Sequence[str]) -> Sequence[str]:
    """What depended on a task that is done and was not released; or what depends on one that failed still, and so waits
    for its retry: what the end let go depends on it no more."""
    if task.status == "failed":
        return [row["task_id"] for row in tx.all("dependents", parent_id=task.id)]
    return [one for one in children if one not in released]


def finish_with(command: FinishTask, tx: Transaction, origin: Origin, apply: Landing) -> Finished:
    """`finish`, with what is to land before it, while the lease is still held and caused by it. A repeat applies none
    of that again.

    Raises:
        LeaseLost: the token is not the current one, unless this very finish was accepted before.
    """
    task = load_task(tx, command.task_id)
    if not task.is_repeat_of(command.lease_token, command.digest()):
        if task.was_finished_by(command.lease_token):
            raise finished_otherwise(task.id, task.status)
        require_worker(tx, origin, task, command.lease_token)
        task.require_lease(command.lease_token, origin.at)
        apply(last_event(tx, "task.claimed", task.id))
    return finish(tx, origin, command)


def finish_many(tx: Transaction, origin: Origin, command: FinishTasks) -> FinishedMany:
    """End several attempts; each is accepted or refused for itself, as if it had come alone.

    Raises:
        OpsError: one was refused after it had written something; then none counts.
    """
    read_ahead(tx, [one.task_id for one in command.tasks])
    done: list[Finished] = []
    refused: list[dict[str, Any]] = []
    for one in command.tasks:
        writes = tx.writes
        try:
            done.append(finish(tx, origin, one))
        except OpsError as error:
            if tx.writes != writes:
                raise
            # Others of them may have been ended.
            message = error.message.replace("Nothing was changed", "Nothing of it was changed")
            refused.append({"id": one.task_id, "code": error.code, "message": message})
    return _came_to(done, refused)


def finish_together(tx: Transaction, origin: Origin, command: FinishSome) -> Ended:
    """End one attempt, or several: all of them, or none.

    Raises:
        LeaseLost: the token of one is not the current one, unless that very finish was accepted before.
    """
    if not command.tasks:
        return finish(tx, origin, command.one())
    read_ahead(tx, [one.task_id for one in command.tasks])
    return _came_to([finish(tx, origin, one) for one in command.tasks], [])


def _came_to(done: Sequence[Finished], refused: list[dict[str, Any]]) -> FinishedMany:
    released = [task_id for one in done for task_id in one.released]
    others = {task_id: None for one in done for task_id in one.others}
    rest = [*others.keys() - set(released)]
    return FinishedMany([one.task for one in done], released, rest, refused, _repeated(done))


def _repeated(done: Sequence[Finished]) -> frozenset[str]:
    return frozenset(one.task["id"] for one in done if one.repeated)


def read_finishes_ahead(tx: Transaction, calls: Sequence[tuple[Any, ...]]) -> None:
    """Read once what all finishes of a transaction will ask for."""
    read_ahead(tx, [command.task_id for _, command in calls])


def control(tx: Transaction, origin: Origin, command: ControlTasks) -> Controlled:
    """Apply one action to several tasks; each is accepted or refused on its own."""
    tasks: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    warnings: list[str] = []
    changed: dict[str, list[str]] = {}
    fired: list[str] = []
    for task_id in dict.fromkeys(command.task_ids):
        try:
            before = load_anywhere(tx, task_id)
            new, event = _controlled(tx, origin, before, command)
        except OpsError as error:
            refused.append({"id": task_id, "code": error.code, "message": error.message})
            continue
        cause = tx.record(origin, event if command.action in _TELLS_WHY else event.because(command.reason))
        after_end(tx, origin, new, cause)
        _tell_controlled(tx, origin.caused_by(cause), command, new)
        tasks.append(new.fields())
        if command.action == "run_now" and new.schedule is not None:
            tasks.append(create_firing(tx, origin.caused_by(cause), new).fields())
            fired.append(tasks[-1]["id"])
        if (told := told_of_schedule(before, new, command.edits(), origin.at)) is not None:
            warnings.append(told)
        if command.action in ("edit", "reschedule"):
            changed[new.id] = names_changed(before, new)
    cancelled = tasks if command.action == "cancel" else ()
    return Controlled(tasks, refused, warnings, changed, command.action in _STRANDING, cancelled, fired)


def approve(
    tx: Transaction, origin: Origin, task: Task, by: str, how: Literal["granted", "answered"] = "granted"
) -> Task:
    """Let a task start, as far as people are concerned: they said yes, or answered what was no matter of yes or no."""
    new, event = task.approved(by, origin.at, how)
    cause = tx.record(origin, event)
    tx.tell(TASK_APPROVED, origin.caused_by(cause), new)
    if new.system:
        tx.wake(SYSTEM_WORK)
    return new


def reject(tx: Transaction, origin: Origin, task: Task, by: str | None, reason: str | None) -> Task:
    """Cancel a task, since a person said no, or nobody anything in time."""
    new, event = task.rejected(by, reason, origin.at)
    after_end(tx, origin, new, tx.record(origin, event))
    return new


def gate(tx: Transaction, origin: Origin, task: Task) -> Task:
    """Let a task wait for an approval from now on.

    Raises:
        InvalidTransition: it has started or ended, or is a schedule.
    """
    if task.approval == "required":
        return task
    new, event = task.gated(origin.at)
    tx.record(origin, event)
    return new


def give_up(tx: Transaction, origin: Origin, command: GiveUpTask) -> Task:
    """Put a leased task back into the queue through no fault of its worker's; the attempt does not count.

    Raises:
        LeaseLost: the token is not the current one.
    """
    task = load_task(tx, command.task_id)
    require_worker(tx, origin, task, command.lease_token)
    task.require_lease(command.lease_token, origin.at)
    new, event = task.handed_back(origin.at, command.reason)
    after_end(tx, origin, new, tx.record(origin, event))
    return new


def hand_back(tx: Transaction, origin: Origin, agent_id: str, reason: str) -> list[str]:
    """Requeue every task the agent holds; the attempts do not count."""
    handed_back: list[str] = []
    for row in tx.all("agent_leases", id=agent_id):
        new, event = load_task(tx, row["id"]).handed_back(origin.at, reason)
        after_end(tx, origin, new, tx.record(origin, event))
        handed_back.append(new.id)
    return handed_back


def instance_gone(tx: Transaction, origin: Origin, agent_id: str, instance_id: str, in_order: bool) -> None:
    """Requeue every task that an instance holds whose process is gone. Where it ended in order the attempts do not
    count; else they do, since a task may well be what it died of."""
    for row in tx.all("instance_leases", agent_id=agent_id, instance_id=instance_id):
        task = load_task(tx, row["id"])
        if in_order:
            new, event = task.handed_back(origin.at, "its worker was stopped")
        else:
            new, event = task.lease_expired(origin.at, origin.chance(), "The worker's process ended.")
        after_end(tx, origin, new, tx.record(origin, event))


def require_worker(tx: Transaction, origin: Origin, task: Task, token: str) -> None:
    """Refuse a caller that may not speak as the agent that holds the task's lease.

    Raises:
        PermissionDenied: it may not.
        LeaseLost: it may not, and its own lease is not the current one: that is what it has to know.
    """
    if task.lease_agent_id in (None, SYSTEM_WORKER):
        return
    try:
        require_voice(tx, origin, task.lease_agent_id)
    except PermissionDenied:
        task.require_lease(token, origin.at)
        raise


def require_held(tx: Transaction, origin: Origin) -> int | None:
    """Refuse what is written under a lease that is not held any more. What is written under one that is has a cause:
    the event by which the task was leased.

    Raises:
        LeaseLost: nobody holds anything by that token.
        PermissionDenied: the caller may not speak as the agent that does.
    """
    if origin.lease_token is None:
        return None
    row = tx.one("task_by_token", lease_token_hash=sha256_text(origin.lease_token))
    if row is None:
        raise no_lease()
    task = load_task(tx, row["id"])
    require_worker(tx, origin, task, origin.lease_token)
    task.require_lease(origin.lease_token, origin.at)
    return last_event(tx, "task.claimed", task.id)


def _controlled(tx: Transaction, origin: Origin, task: Task, command: ControlTasks) -> tuple[Task, Event]:
    now = origin.at
    require_no_ending(task, command.action)
    if command.action == "assign":
        return assigned(tx, task, command.agent_id, now)
    if command.action == "run_now":
        return fired_now(tx, origin, task)
    if command.action in ("edit", "reschedule"):
        return edit(tx, origin, task, command.edits(), command.action)
    return _retried(tx, task, now) if command.action == "retry" else _moved(task, command, now)


def _tell_controlled(tx: Transaction, origin: Origin, command: ControlTasks, task: Task) -> None:
    if command.action == "retry":
        tx.tell(TASK_RETRIED, origin, task)
    elif command.action in ("assign", "edit") and task.approval == "required" and task.status not in TERMINAL:
        tx.tell(TASK_CHANGED, origin, task)


def _retried(tx: Transaction, task: Task, now: Micros) -> tuple[Task, Event]:
    """A task that starts anew waits anew: what it waited for may have been taken from it when it ended."""
    require_agent_stays(tx, task)
    parents = waited_for(tx, task.fields())
    new, event = task.retried(now, len(parents))
    wait_anew(tx, task.fields(), parents)
    ensure_queue(tx, new)
    return new, event


def _moved(task: Task, command: ControlTasks, now: Micros) -> tuple[Task, Event]:
    match command.action:
        case "cancel":
            return task.cancelled(command.reason, now)
        case "discard":
            return task.discarded(command.reason, now)
        case "set_priority":
            return task.reprioritised(command.priority or "normal", now)
        case "pause":
            return task.paused(command.reason, now)
        case _:
            return task.resumed(now)
