"""Transaction functions of the task queue: create, claim, report, finish, control."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.errors import Conflict, IdempotencyConflict, OpsError
from mcp_server.domain.events import Event, Origin
from mcp_server.domain.task_births import new_task
from mcp_server.domain.task_commands import (
    Control,
    ControlOutcome,
    CreateOutcome,
    Finish,
    FinishOutcome,
    GiveUp,
    NewTask,
    Report,
    require_worker,
)
from mcp_server.domain.task_rules import TERMINAL
from mcp_server.domain.task_spec import SYSTEM_WORKER, TaskSpec
from mcp_server.domain.tasks import Task
from mcp_server.domain.values import Micros, dump_json
from mcp_server.persistence.agents import (
    count_usage,
    load_agent,
    see_instance,
)
from mcp_server.persistence.approval_rows import open_for
from mcp_server.persistence.email_rows import EMAIL_KIND, follow_retry
from mcp_server.persistence.task_rows import (
    add_dependency,
    after_end,
    find_row,
    load_anywhere,
    load_task,
    no_task,
    read_ahead,
)
from mcp_server.persistence.transaction import READ_AHEAD, Transaction


def create(tx: Transaction, origin: Origin, new: tuple[NewTask, ...]) -> list[CreateOutcome]:
    """Create tasks, all or none; an idempotency key that was used before returns its first task.

    Raises:
        IdempotencyConflict: the key was used for something else.
        NotFound: a dependency, parent or named agent does not exist.
        Conflict: a dependency already ended otherwise than completed, and the policy is to cancel.
    """
    ids: dict[int, str] = {}
    outcomes: list[CreateOutcome] = []
    for number in _parents_first(new):
        # A microsecond apart, so that tasks of one call are claimed in the order given.
        outcome = _create_one(tx, origin._replace(at=origin.at + number), new[number], ids)
        ids[number] = outcome.task["id"]
        outcomes.append(CreateOutcome(number=number, task=outcome.task, replayed=outcome.replayed))
    return sorted(outcomes, key=lambda outcome: outcome.number)


def report(tx: Transaction, origin: Origin, command: Report) -> dict[str, Any]:
    """Extend the lease and keep the progress."""
    task = load_task(tx, command.task_id)
    require_worker(command, task.lease_agent_id)
    new, event = task.reported(command.lease_token, command.progress, command.extend_seconds, origin.at)
    tx.record(origin, event)
    see_instance(tx, origin, task.lease_agent_id, task.lease_instance_id)
    return new.fields()


def finish(tx: Transaction, origin: Origin, command: Finish) -> FinishOutcome:
    """End an attempt; release what waited for the task.

    Raises:
        LeaseLost: the token is not the current one, unless this very finish was accepted before.
    """
    task = load_task(tx, command.task_id)
    digest = command.digest()
    if task.is_repeat_of(command.lease_token, digest):
        return FinishOutcome(task=task.fields(), released=[], repeated=True)
    require_worker(command, task.lease_agent_id)
    if command.failure is None:
        new, event = task.completed(command.lease_token, command.result, command.usage, digest, origin.at)
    else:
        new, event = task.failed(command.lease_token, command.failure, command.usage, digest, origin.at, command.jitter)
    cause = tx.record(origin, event)
    if command.usage is not None:
        count_usage(tx, origin.caused_by(cause), task.lease_agent_id, command.usage)
    if task.lease_instance_id is not None:
        see_instance(tx, origin, task.lease_agent_id, task.lease_instance_id)
    return FinishOutcome(task=new.fields(), released=after_end(tx, origin, new, cause), repeated=False)


def _read_ahead(tx: Transaction, calls: Sequence[tuple[Any, ...]]) -> None:
    read_ahead(tx, [command.task_id for _, command in calls])


READ_AHEAD[finish] = _read_ahead


def control(tx: Transaction, origin: Origin, command: Control) -> ControlOutcome:
    """Apply one action to several tasks; each is accepted or refused on its own."""
    tasks: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for task_id in command.task_ids:
        try:
            new, event = _controlled(load_anywhere(tx, task_id), command, origin.at)
        except OpsError as error:
            refused.append({"id": task_id, "code": error.code, "message": error.message})
            continue
        cause = tx.record(origin, event)
        after_end(tx, origin, new, cause)
        if command.action == "retry":
            _ask_again(tx, origin.caused_by(cause), new)
        tasks.append(new.fields())
    return ControlOutcome(tasks=tasks, refused=refused)


def give_up(tx: Transaction, origin: Origin, command: GiveUp) -> dict[str, Any]:
    """Put a leased task back into the queue through no fault of its worker's; the attempt does not count.

    Raises:
        LeaseLost: the token is not the current one.
    """
    task = load_task(tx, command.task_id)
    require_worker(command, task.lease_agent_id)
    task.require_lease(command.lease_token, origin.at)
    new, event = task.handed_back(origin.at, command.reason)
    after_end(tx, origin, new, tx.record(origin, event))
    return new.fields()


def hand_back(tx: Transaction, origin: Origin, agent_id: str, reason: str) -> list[str]:
    """Requeue every task the agent holds; the attempts do not count."""
    handed_back: list[str] = []
    for row in tx.all("agent_leases", id=agent_id):
        new, event = load_task(tx, row["id"]).handed_back(origin.at, reason)
        after_end(tx, origin, new, tx.record(origin, event))
        handed_back.append(new.id)
    return handed_back


def _ask_again(tx: Transaction, origin: Origin, retried: Task) -> None:
    if retried.approval == "required":
        open_for(tx, origin, retried.fields())
    if retried.kind.startswith(EMAIL_KIND):
        follow_retry(tx, origin, retried)


def _create_one(tx: Transaction, origin: Origin, new: NewTask, ids: dict[int, str]) -> CreateOutcome:
    earlier = _replayed(tx, new)
    if earlier is not None:
        return CreateOutcome(number=0, task=earlier, replayed=True)
    spec = new.spec
    _require_references(tx, new)
    parents = tuple(dict.fromkeys(ids[int(ref[1:])] if ref.startswith("#") else ref for ref in spec.depends_on))
    waiting = [parent for parent in parents if _still_waits_for(tx, parent, spec.on_parent_failure)]
    _ensure_queue(tx, spec)
    task, event = new_task(new.id, spec, parents, len(waiting), origin)
    cause = tx.record(origin, event)
    if task.approval == "required" and new.asks:
        open_for(tx, origin.caused_by(cause), task.fields())
    for parent in waiting:
        add_dependency(tx, parent, new.id)
    return CreateOutcome(number=0, task=task.fields(), replayed=False)


def _ensure_queue(tx: Transaction, spec: TaskSpec) -> None:
    name = spec.queue()
    if name not in tx.queues:
        tx.run(
            "queue_insert",
            name=name,
            kind=spec.kind,
            agent_id=SYSTEM_WORKER if spec.is_system() else spec.agent_id,
            capabilities=dump_json(sorted(set(spec.required_capabilities))),
        )
        tx.queues.add(name)


def _replayed(tx: Transaction, new: NewTask) -> dict[str, Any] | None:
    key = new.spec.idempotency_key
    if key is None:
        return None
    earlier = tx.one("task_by_idempotency_key", key=key) or tx.one("archived_task_by_idempotency_key", key=key)
    if earlier is not None and earlier["content_hash"] != new.spec.content_hash():
        raise IdempotencyConflict(
            f"The idempotency key {key!r} was used for another task, {earlier['id']} ({earlier['title']!r}).",
            next="Use a new key for new content, or repeat the first content to get that task.",
            details={"idempotency_key": key, "task_id": earlier["id"]},
        )
    return earlier


def _require_references(tx: Transaction, new: NewTask) -> None:
    if new.spec.agent_id is not None:
        load_agent(tx, new.spec.agent_id)
    if new.spec.parent_id is not None and find_row(tx, new.spec.parent_id) is None:
        raise no_task(new.spec.parent_id)


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


def _parents_first(new: tuple[NewTask, ...]) -> list[int]:
    """The order in which tasks that refer to each other can be created; the caller has refused cycles."""
    order: dict[int, None] = {}

    def visit(number: int) -> None:
        if number in order:
            return
        for reference in new[number].spec.depends_on:
            if reference.startswith("#"):
                visit(int(reference[1:]))
        order[number] = None

    for number in range(len(new)):
        visit(number)
    return list(order)


def _controlled(task: Task, command: Control, now: Micros) -> tuple[Task, Event]:
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
            return task.reprioritised(command.priority, now)
        case "reschedule":
            return task.rescheduled(command.run_at, now)
