"""Transaction functions that create tasks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, filterfalse
from typing import Any, NamedTuple

from mcp_server.domain.agents.rows import named_agent, require_staying
from mcp_server.domain.tasks.births import new_task
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.hooks import TASK_GATED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.parents import add_dependencies, bring_back, require_room, standing_of
from mcp_server.domain.tasks.queues import ensure_queue
from mcp_server.domain.tasks.refusals import no_task, parent_ended, parent_refused
from mcp_server.domain.tasks.rows import find_row
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import TaskSpec, place_here
from mcp_server.kernel.checks import found_by, refuse
from mcp_server.kernel.errors import NotFound, OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.keys import key_conflict
from mcp_server.kernel.store import Row, Transaction

SYSTEM_WORK = "system work"
"""Under this name the worker for system tasks is woken."""


class Created(NamedTuple):
    """A task's columns, and whether its idempotency key found it."""

    task: dict[str, Any]
    replayed: bool


def create(tx: Transaction, origin: Origin, command: CreateTasks) -> list[Created]:
    """Create tasks, all or none, in the order given; an idempotency key that was used before returns its first task.

    Raises:
        IdempotencyConflict: the key was used for something else.
        NotFound: a dependency, parent or named agent does not exist.
        Conflict: a dependency already ended otherwise than completed, and the policy is to cancel.
    """
    created: dict[int, Created] = {}
    # In order: what becomes ready at once later, such as after the same dependency, is claimed by its id.
    ids = dict(enumerate(sorted(origin.new_id("task") for _ in command.tasks)))
    specs = _with_parents(tx, origin, command.tasks, ids)
    for number in _parents_first(command.tasks):
        # A microsecond apart, so that tasks of one call are claimed in the order given.
        later = origin._replace(at=origin.at + number)
        try:
            created[number] = _create_one(tx, later, specs[number], ids[number], ids, asks=True)
        except NotFound as error:
            refuse(chain([error], _missing(tx, command.tasks)))
        ids[number] = created[number].task["id"]
    return [created[number] for number in range(len(command.tasks))]


def create_one(
    tx: Transaction, origin: Origin, spec: TaskSpec, task_id: str | None = None, *, asks: bool = True
) -> Created:
    """Create one task, perhaps under an id chosen beforehand.

    Without `asks`, one that needs an approval brings no question of its own: the caller opens one for it.
    """
    return _create_one(tx, origin, spec, task_id or origin.new_id("task"), {}, asks=asks)


def _create_one(
    tx: Transaction, origin: Origin, spec: TaskSpec, task_id: str, ids: dict[int, str], *, asks: bool
) -> Created:
    parents = tuple(dict.fromkeys(_resolved(ref, ids) for ref in spec.depends_on))
    agent = None if spec.agent_id is None else named_agent(tx, spec.agent_id)
    if agent is not None and agent.id != spec.agent_id:
        spec = spec.model_copy(update={"agent_id": agent.id})
    earlier = _replayed(tx, origin, spec, parents)
    if earlier is not None:
        return Created(earlier, replayed=True)
    if agent is not None:
        require_staying(agent)
    _require_parent(tx, spec.parent_id, ids.values())
    task = _new(tx, origin, spec, task_id, parents, asks=asks)
    return Created(task.fields(), replayed=False)


def _require_parent(tx: Transaction, parent_id: str | None, here: Collection[str]) -> None:
    """Refuse a parent that is neither there nor made by the same call."""
    if parent_id is not None and parent_id not in here and find_row(tx, parent_id) is None:
        raise no_task(parent_id)


def _resolved(reference: str, ids: Mapping[int, str]) -> str:
    """The id of a task that is named by its place in the same call, or by its id."""
    place = place_here(reference)
    return reference if place is None else ids[place]


def _with_parents(tx: Transaction, origin: Origin, specs: Sequence[TaskSpec], ids: Mapping[int, str]) -> list[TaskSpec]:
    """What is created, with the ids of parents that the same call creates: one that waits for its parts comes after
    them, so that it may not be there yet when they name it."""

    def placed(spec: TaskSpec) -> TaskSpec:
        place = spec.parent_here()
        if place is None:
            return spec
        return spec.model_copy(update={"parent_id": _id_to_be(tx, origin, specs[place], ids[place])})

    return list(map(placed, specs))


def _id_to_be(tx: Transaction, origin: Origin, spec: TaskSpec, drawn: str) -> str:
    """The id that a task of this call will have: that of the first one, where its key was used before."""
    earlier = None if spec.idempotency_key is None else _by_key(tx, origin, spec.idempotency_key)
    return drawn if earlier is None else earlier["id"]


def _new(
    tx: Transaction, origin: Origin, spec: TaskSpec, task_id: str, parents: tuple[str, ...], *, asks: bool
) -> Task:
    waiting = _held_up_by(tx, parents, spec.on_parent_failure)
    task, event = new_task(task_id, spec, parents, len(waiting), origin)
    ensure_queue(tx, task)
    cause = tx.record(origin, event)
    _announce(tx, origin.caused_by(cause), task, asks=asks)
    require_room(tx, waiting)
    add_dependencies(tx, waiting, task_id)
    return task


def _announce(tx: Transaction, origin: Origin, task: Task, *, asks: bool) -> None:
    if task.approval == "required" and asks:
        tx.tell(TASK_GATED, origin, task)
    if task.system:
        tx.wake(SYSTEM_WORK)


def _replayed(tx: Transaction, origin: Origin, spec: TaskSpec, parents: Sequence[str]) -> dict[str, Any] | None:
    key = spec.idempotency_key
    if key is None:
        return None
    earlier = _by_key(tx, origin, key)
    same = (spec.content_hash(parents), *spec.content_hashes_before(parents))
    if earlier is not None and earlier["content_hash"] not in same:
        raise key_conflict(key, "task", earlier["id"], earlier["title"])
    return earlier


def _by_key(tx: Transaction, origin: Origin, key: str) -> dict[str, Any] | None:
    """The task that its creator created under an idempotency key, wherever it is."""
    mine = {"key": key, "owner": origin.principal}
    return tx.one("task_by_idempotency_key", **mine) or tx.one("archived_task_by_idempotency_key", **mine)


def _held_up_by(tx: Transaction, parents: Sequence[str], policy: str) -> list[str]:
    """Those of its parents that a new task waits for. One that is waited for is back from the archive: somebody hopes
    for its retry."""
    standing = standing_of(tx, parents)
    waiting = [parent_id for parent_id in parents if _waits_for(parent_id, standing.get(parent_id), policy)]
    bring_back(tx, map(standing.__getitem__, waiting))
    return waiting


def _waits_for(parent_id: str, parent: Row | None, policy: str) -> bool:
    if parent is None:
        raise no_task(parent_id)
    if parent["status"] in TERMINAL - {"completed"} and policy != "wait":
        require_runs_on(parent_id, parent, policy)
        return False
    return parent["status"] != "completed"


def require_runs_on(parent_id: str, parent: Row, policy: str) -> None:
    """Refuse what hangs on a task that ended so that it may never run.

    Raises:
        Conflict: people refused the dependency; or it failed, and the policy is to cancel.
    """
    if parent["refused"] or parent["approval"] == "rejected":
        raise parent_refused(parent_id, parent["status"], parent["cancel_reason"])
    if policy == "cancel":
        raise parent_ended(parent_id, parent["status"])


def _missing(tx: Transaction, specs: Sequence[TaskSpec]) -> Iterator[OpsError]:
    """What all of them name and there is not."""
    there = standing_of(tx, chain.from_iterable(map(_tasks_named, specs)))
    for spec in specs:
        if spec.agent_id is not None:
            yield from filter(None, (found_by(partial(named_agent, tx, spec.agent_id)),))
        yield from map(no_task, filterfalse(there.__contains__, _tasks_named(spec)))


def _tasks_named(spec: TaskSpec) -> list[str]:
    """The tasks that a task names by their ids."""
    return [one for one in (spec.parent_id, *spec.depends_on) if one and place_here(one) is None]


def _parents_first(specs: tuple[TaskSpec, ...]) -> list[int]:
    """The order in which tasks that refer to each other can be created; the caller has refused cycles."""
    order: dict[int, None] = {}

    def visit(number: int) -> None:
        if number in order:
            return
        for earlier in specs[number].waits_for_here():
            visit(earlier)
        order[number] = None

    for number in range(len(specs)):
        visit(number)
    return list(order)
