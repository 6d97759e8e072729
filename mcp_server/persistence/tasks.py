"""Transaction functions of the task queue: rows <-> `Task`, and what one task's end does to those that wait for it."""

from collections.abc import Callable
from typing import Any

from mcp_server.domain.agents import Agent
from mcp_server.domain.errors import Conflict, IdempotencyConflict, NotFound, OpsError
from mcp_server.domain.events import Event, Origin
from mcp_server.domain.task_commands import (
    Claim,
    ClaimOutcome,
    Control,
    ControlOutcome,
    CreateOutcome,
    Finish,
    FinishOutcome,
    NewTask,
    Report,
)
from mcp_server.domain.tasks import TERMINAL, Creation, Task
from mcp_server.domain.values import Micros, dump_json
from mcp_server.persistence.agents import keep_instance_alive, load_agent, no_agent, see_instance
from mcp_server.persistence.transaction import Transaction

_BATCH = 100


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
        outcome = _create_one(tx, origin, new[number], ids)
        ids[number] = outcome.task["id"]
        outcomes.append(CreateOutcome(number=number, task=outcome.task, replayed=outcome.replayed))
    return sorted(outcomes, key=lambda outcome: outcome.number)


def claim(tx: Transaction, origin: Origin, command: Claim) -> ClaimOutcome:
    """Lease the best tasks that the agent can do, up to `max_tasks` and its capacity.

    Raises:
        NotFound: no such agent or instance.
        InvalidTransition: the agent is paused, draining or terminated.
        AtCapacity: the agent runs as many tasks as it said it can.
    """
    agent, running = _begin_claim(tx, origin, command)
    agent.require_work_allowed(running)
    room = min(command.max_tasks, agent.max_concurrent_tasks - running)
    claimed: list[dict[str, Any]] = []
    for _ in range(room):
        task = _claim_next(tx, origin, agent, command)
        if task is None:
            break
        claimed.append(task.fields())
    reasons = None if claimed else _why_nothing(tx)
    return ClaimOutcome(tasks=claimed, nothing_because=reasons)


def report(tx: Transaction, origin: Origin, command: Report) -> dict[str, Any]:
    """Extend the lease and keep the progress."""
    task = load_task(tx, command.task_id)
    command.require_worker(task.lease_agent_id)
    new, event = task.reported(command.lease_token, command.progress, command.extend_seconds, origin.at)
    tx.record(origin, event)
    see_instance(tx, task.lease_agent_id, task.lease_instance_id, origin.at)
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
    command.require_worker(task.lease_agent_id)
    if command.failure is None:
        new, event = task.completed(command.lease_token, command.result, command.usage, digest, origin.at)
    else:
        new, event = task.failed(command.lease_token, command.failure, command.usage, digest, origin.at, command.jitter)
    tx.record(origin, event)
    return FinishOutcome(task=new.fields(), released=_after_end(tx, origin, new), repeated=False)


def control(tx: Transaction, origin: Origin, command: Control) -> ControlOutcome:
    """Apply one action to several tasks; each is accepted or refused on its own."""
    tasks: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for task_id in command.task_ids:
        try:
            new, event = _controlled(load_task(tx, task_id), command, origin.at)
        except OpsError as error:
            refused.append({"id": task_id, "code": error.code, "message": error.message})
            continue
        tx.record(origin, event)
        _after_end(tx, origin, new)
        tasks.append(new.fields())
    return ControlOutcome(tasks=tasks, refused=refused)


def settle_due(tx: Transaction, origin: Origin, jitter: float) -> int:
    """Queue what has become due; take back lost leases; end overdue attempts. Returns how many tasks moved."""
    now = origin.at
    moves: tuple[tuple[str, Callable[[Task], tuple[Task, Event]]], ...] = (
        ("overdue_tasks", lambda task: task.timed_out(now, jitter)),
        ("lost_leases", lambda task: task.lease_expired(now, jitter)),
        ("due_tasks", lambda task: task.due(now)),
    )
    moved = 0
    for statement, move in moves:
        for row in tx.all(statement, now=now, limit=_BATCH):
            new, event = move(load_task(tx, row["id"]))
            tx.record(origin, event)
            _after_end(tx, origin, new)
            moved += 1
    return moved


def hand_back(tx: Transaction, origin: Origin, agent_id: str, reason: str) -> list[str]:
    """Requeue every task the agent holds; the attempts do not count."""
    handed_back: list[str] = []
    for row in tx.all("agent_leases", id=agent_id):
        new, event = load_task(tx, row["id"]).handed_back(origin.at, reason)
        tx.record(origin, event)
        _after_end(tx, origin, new)
        handed_back.append(new.id)
    return handed_back


def load_task(tx: Transaction, task_id: str) -> Task:
    """The task, locked for this transaction.

    Raises:
        NotFound: no such task.
    """
    row = tx.one("task_for_update", id=task_id)
    if row is None:
        raise no_task(task_id)
    return Task.trusted(row)


def no_task(task_id: str) -> NotFound:
    """The refusal for an id that names no task."""
    return NotFound(f"There is no task {task_id}.", next="List tasks with tasks_find.", details={"task_id": task_id})


def _create_one(tx: Transaction, origin: Origin, new: NewTask, ids: dict[int, str]) -> CreateOutcome:
    earlier = _replayed(tx, new)
    if earlier is not None:
        return CreateOutcome(number=0, task=earlier, replayed=True)
    spec = new.spec
    _require_references(tx, new)
    parents = tuple(dict.fromkeys(ids[int(ref[1:])] if ref.startswith("#") else ref for ref in spec.depends_on))
    waiting = [parent for parent in parents if _still_waits_for(tx, parent, spec.on_parent_failure)]
    tx.run(
        "queue_insert",
        name=spec.queue(),
        kind=spec.kind,
        agent_id=spec.agent_id,
        capabilities=dump_json(sorted(set(spec.required_capabilities))),
    )
    task, event = Task.created(new.id, spec, parents, len(waiting), Creation(actor=origin.actor, now=origin.at))
    tx.record(origin, event)
    for parent in waiting:
        tx.run("dependency_insert", parent_id=parent, task_id=new.id)
    return CreateOutcome(number=0, task=task.fields(), replayed=False)


def _replayed(tx: Transaction, new: NewTask) -> dict[str, Any] | None:
    key = new.spec.idempotency_key
    earlier = None if key is None else tx.one("task_by_idempotency_key", key=key)
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
    if new.spec.parent_id is not None and tx.one("task_by_id", id=new.spec.parent_id) is None:
        raise no_task(new.spec.parent_id)


def _still_waits_for(tx: Transaction, parent_id: str, policy: str) -> bool:
    row = tx.one("task_status", id=parent_id)
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


def _begin_claim(tx: Transaction, origin: Origin, command: Claim) -> tuple[Agent, int]:
    """The agent and how many tasks it runs, in one statement; what has become due is queued first."""
    row = _prelude(tx, origin, command)
    if row.pop("anything_due"):
        settle_due(tx, origin, command.jitter)
        row = _prelude(tx, origin, command)
        row.pop("anything_due")
    seen_at, running = row.pop("instance_seen_at"), row.pop("running")
    keep_instance_alive(tx, command.agent_id, command.instance_id, seen_at, origin.at)
    return Agent.trusted(row), running


def _prelude(tx: Transaction, origin: Origin, command: Claim) -> dict[str, Any]:
    row = tx.one("claim_prelude", agent_id=command.agent_id, instance_id=command.instance_id, now=origin.at)
    if row is None:
        raise no_agent(command.agent_id)
    return row


def _claim_next(tx: Transaction, origin: Origin, agent: Agent, command: Claim) -> Task | None:
    while True:
        row = tx.one("claim_candidate", agent_id=agent.id, skills=agent.skills, kinds=command.kinds)
        if row is None:
            return None
        task = Task.trusted(row)
        if task.concurrency_key is None or _may_run(tx, task):
            break
    claimed, event = task.claimed(agent.id, command.instance_id, command.lease_seconds, origin.at)
    tx.record(origin, event)
    return claimed


def _may_run(tx: Transaction, task: Task) -> bool:
    """Whether the concurrency key still has room, now that nobody else can take it in this moment."""
    tx.one("concurrency_guard", key=task.concurrency_key)
    row = tx.one("concurrency_running", key=task.concurrency_key) or {}
    return row["running"] < task.concurrency_limit


def _why_nothing(tx: Transaction) -> dict[str, int]:
    row = tx.one("why_not_claimable")
    counts = dict(row or {})
    counts["not_for_this_agent"] = counts.pop("queued") - counts["held"]
    return {
        name: counts[column]
        for name, column in (
            ("not_for_this_agent", "not_for_this_agent"),
            ("held_by_concurrency_key", "held"),
            ("blocked_by_dependencies", "blocked"),
            ("scheduled_for_later", "scheduled"),
            ("paused", "paused"),
        )
        if counts[column]
    }


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


def _after_end(tx: Transaction, origin: Origin, ended: Task) -> list[str]:
    """What a task's end does to its dependents, and theirs; the ids that were queued by it."""
    released: list[str] = []
    pending = [ended]
    while pending:
        parent = pending.pop()
        if parent.status not in TERMINAL:
            continue
        for row in tx.all("dependents", parent_id=parent.id):
            child = _after_parent(tx, origin, load_task(tx, row["task_id"]), parent)
            if child is not None and child.status == "queued":
                released.append(child.id)
            elif child is not None:
                pending.append(child)
    return released


def _after_parent(tx: Transaction, origin: Origin, child: Task, parent: Task) -> Task | None:
    """The dependent as its parent's end leaves it, or None where it goes on waiting for that parent's retry."""
    if parent.status == "completed" or child.on_parent_failure == "run_anyway":
        new, event = child.released(origin.at)
    elif child.on_parent_failure == "cancel" and child.status in ("pending", "paused"):
        new, event = child.cancelled(f"{parent.id} ended as {parent.status}", origin.at)
    else:
        return None
    tx.run("dependency_delete", parent_id=parent.id, task_id=child.id)
    tx.record(origin, event)
    return new
