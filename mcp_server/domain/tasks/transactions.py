"""Transaction functions of the task queue: create, report, finish, control, approve."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.speaking import require_voice
from mcp_server.domain.agents.transactions import count_usage, load_agent, see_instance
from mcp_server.domain.events.thinning import last_event
from mcp_server.domain.tasks.births import new_task
from mcp_server.domain.tasks.commands import (
    ControlTasks,
    CreateTasks,
    FinishTask,
    GiveUpTask,
    ReportTask,
)
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_GATED, TASK_RETRIED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.refusals import no_lease, no_task
from mcp_server.domain.tasks.rows import add_dependency, after_end, find_row, load_anywhere, load_task, read_ahead
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import SYSTEM_WORKER, TaskSpec
from mcp_server.kernel.errors import Conflict, IdempotencyConflict, OpsError
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json, sha256_text
from mcp_server.kernel.store import Memory, Transaction
from mcp_server.kernel.times import Micros, micros

SYSTEM_WORK = "system work"
"""Under this name the worker for system tasks is woken."""


class Created(NamedTuple):
    """A task's columns, and whether its idempotency key found it."""

    task: dict[str, Any]
    replayed: bool


class Finished(NamedTuple):
    """The task after the attempt, the ids it released, and whether this finish was a repeat."""

    task: dict[str, Any]
    released: list[str]
    repeated: bool


class Controlled(NamedTuple):
    """The tasks the action changed, and those it was refused for: `{id, code, message}`."""

    tasks: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def create(tx: Transaction, origin: Origin, command: CreateTasks) -> list[Created]:
    """Create tasks, all or none, in the order given; an idempotency key that was used before returns its first task.

    Raises:
        IdempotencyConflict: the key was used for something else.
        NotFound: a dependency, parent or named agent does not exist.
        Conflict: a dependency already ended otherwise than completed, and the policy is to cancel.
    """
    ids: dict[int, str] = {}
    created: dict[int, Created] = {}
    for number in _parents_first(command.tasks):
        # A microsecond apart, so that tasks of one call are claimed in the order given.
        later = origin._replace(at=origin.at + number)
        spec = command.tasks[number]
        created[number] = _create_one(tx, later, spec, origin.new_id("task"), ids, asks=True)
        ids[number] = created[number].task["id"]
    return [created[number] for number in range(len(command.tasks))]


def create_one(
    tx: Transaction, origin: Origin, spec: TaskSpec, task_id: str | None = None, *, asks: bool = True
) -> Created:
    """Create one task, perhaps under an id chosen beforehand.

    Without `asks`, one that needs an approval brings no question of its own: the caller opens one for it.
    """
    return _create_one(tx, origin, spec, task_id or origin.new_id("task"), {}, asks=asks)


def report(tx: Transaction, origin: Origin, command: ReportTask) -> Task:
    """Extend the lease and keep the progress."""
    task = load_task(tx, command.task_id)
    require_worker(tx, origin, task)
    progress = None if command.progress is None else command.progress.stored()
    new, event = task.reported(command.lease_token, progress, command.extend_seconds, origin.at)
    tx.record(origin, event)
    see_instance(tx, origin, task.lease_agent_id, task.lease_instance_id)
    return new


def finish(tx: Transaction, origin: Origin, command: FinishTask) -> Finished:
    """End an attempt; release what waited for the task.

    Raises:
        LeaseLost: the token is not the current one, unless this very finish was accepted before.
    """
    task = load_task(tx, command.task_id)
    digest = command.digest()
    if task.is_repeat_of(command.lease_token, digest):
        return Finished(task.fields(), [], repeated=True)
    require_worker(tx, origin, task)
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
    return Finished(new.fields(), after_end(tx, origin, new, cause), repeated=False)


def read_finishes_ahead(tx: Transaction, calls: Sequence[tuple[Any, ...]]) -> None:
    """Read once what all finishes of a transaction will ask for."""
    read_ahead(tx, [command.task_id for _, command in calls])


def control(tx: Transaction, origin: Origin, command: ControlTasks) -> Controlled:
    """Apply one action to several tasks; each is accepted or refused on its own."""
    tasks: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for task_id in dict.fromkeys(command.task_ids):
        try:
            new, event = _controlled(load_anywhere(tx, task_id), command, origin.at)
        except OpsError as error:
            refused.append({"id": task_id, "code": error.code, "message": error.message})
            continue
        cause = tx.record(origin, event)
        after_end(tx, origin, new, cause)
        if command.action == "retry":
            tx.tell(TASK_RETRIED, origin.caused_by(cause), new)
        tasks.append(new.fields())
    return Controlled(tasks, refused)


def approve(tx: Transaction, origin: Origin, task: Task, by: str) -> Task:
    """Let a task start, as far as people are concerned."""
    new, event = task.approved(by, origin.at)
    cause = tx.record(origin, event)
    tx.tell(TASK_APPROVED, origin.caused_by(cause), new)
    if new.system:
        tx.wake(SYSTEM_WORK)
    return new


def reject(tx: Transaction, origin: Origin, task: Task, by: str, reason: str | None) -> Task:
    """Cancel a task, since a person said no."""
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
    require_worker(tx, origin, task)
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


def require_worker(tx: Transaction, origin: Origin, task: Task) -> None:
    """Refuse a caller that may not speak as the agent that holds the task's lease.

    Raises:
        PermissionDenied: it may not.
    """
    if task.lease_agent_id not in (None, SYSTEM_WORKER):
        require_voice(tx, origin, task.lease_agent_id)


def require_held(tx: Transaction, origin: Origin) -> int | None:
    """Refuse what is written under a lease that is not held any more; the event by which the task was last leased, which
    is the cause of what is written under one that is.

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
    require_worker(tx, origin, task)
    task.require_lease(origin.lease_token, origin.at)
    return last_event(tx, "task.claimed", task.id)


def _create_one(
    tx: Transaction, origin: Origin, spec: TaskSpec, task_id: str, ids: dict[int, str], *, asks: bool
) -> Created:
    earlier = _replayed(tx, origin, spec)
    if earlier is not None:
        return Created(earlier, replayed=True)
    _require_references(tx, spec)
    parents = tuple(dict.fromkeys(ids[int(ref[1:])] if ref.startswith("#") else ref for ref in spec.depends_on))
    waiting = [parent for parent in parents if _still_waits_for(tx, parent, spec.on_parent_failure)]
    _ensure_queue(tx, spec)
    task, event = new_task(task_id, spec, parents, len(waiting), origin)
    cause = tx.record(origin, event)
    if task.approval == "required" and asks:
        tx.tell(TASK_GATED, origin.caused_by(cause), task)
    if task.system:
        tx.wake(SYSTEM_WORK)
    for parent in waiting:
        add_dependency(tx, parent, task_id)
    return Created(task.fields(), replayed=False)


class _Queues(Memory):
    """The names of queues, which stay for good once they are there."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def forget(self) -> None:
        """Forget them all."""
        self.names.clear()


def _ensure_queue(tx: Transaction, spec: TaskSpec) -> None:
    name, known = spec.queue(), tx.memory(_Queues).names
    if name not in known:
        tx.run(
            "queue_insert",
            name=name,
            kind=spec.kind,
            agent_id=SYSTEM_WORKER if spec.is_system() else spec.agent_id,
            capabilities=dump_json(sorted(set(spec.required_capabilities))),
        )
        known.add(name)


def _replayed(tx: Transaction, origin: Origin, spec: TaskSpec) -> dict[str, Any] | None:
    key = spec.idempotency_key
    if key is None:
        return None
    mine = {"key": key, "owner": origin.principal}
    earlier = tx.one("task_by_idempotency_key", **mine) or tx.one("archived_task_by_idempotency_key", **mine)
    if earlier is not None and earlier["content_hash"] != spec.content_hash():
        raise IdempotencyConflict(
            f"The idempotency key {key!r} was used for another task, {earlier['id']} ({earlier['title']!r}).",
            next="Use a new key for new content, or repeat the first content to get that task.",
            details={"idempotency_key": key, "task_id": earlier["id"]},
        )
    return earlier


def _require_references(tx: Transaction, spec: TaskSpec) -> None:
    if spec.agent_id is not None:
        load_agent(tx, spec.agent_id)
    if spec.parent_id is not None and find_row(tx, spec.parent_id) is None:
        raise no_task(spec.parent_id)


def _still_waits_for(tx: Transaction, parent_id: str, policy: str) -> bool:
    hot = tx.one("task_status", id=parent_id)
    row = hot or tx.one("archived_task_by_id", id=parent_id)
    if row is None:
        raise no_task(parent_id)
    status = row["status"]
    if status == "completed" or (status in TERMINAL and policy == "run_anyway"):
        return False
    if status in TERMINAL and policy == "cancel":
        raise Conflict(
            f"The dependency {parent_id} has already ended as {status}, so this task would be cancelled at once.",
            next=f"Retry it first: tasks_control(task_ids=['{parent_id}'], action='retry').",
            details={"task_id": parent_id, "status": status},
        )
    if hot is None:
        load_anywhere(tx, parent_id)  # somebody waits for its retry: back from the archive
    return True


def _parents_first(specs: tuple[TaskSpec, ...]) -> list[int]:
    """The order in which tasks that refer to each other can be created; the caller has refused cycles."""
    order: dict[int, None] = {}

    def visit(number: int) -> None:
        if number in order:
            return
        for reference in specs[number].depends_on:
            if reference.startswith("#"):
                visit(int(reference[1:]))
        order[number] = None

    for number in range(len(specs)):
        visit(number)
    return list(order)


def _controlled(task: Task, command: ControlTasks, now: Micros) -> tuple[Task, Event]:
    match command.action:
        case "cancel":
            return task.cancelled(command.reason, now)
        case "pause":
            return task.paused(now)
        case "resume":
            return task.resumed(now)
        case "retry":
            return task.retried(now)
        case "discard":
            return task.discarded(command.reason, now)
        case "set_priority":
            return task.reprioritised(command.priority or "normal", now)
        case "reschedule":
            return task.rescheduled(now if command.run_at is None else micros(command.run_at), now)
