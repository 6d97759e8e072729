"""Tasks and schedules that are changed after they were created, as long as nobody works on them."""

import json
from collections.abc import Collection
from typing import Any

from mcp_server.domain.agents.rows import named_agent, require_staying
from mcp_server.domain.tasks.creation import SYSTEM_WORK, require_runs_on
from mcp_server.domain.tasks.hooks import TASK_MOVED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.parents import add_dependencies, require_room, standing_of, wait_anew, waited_for
from mcp_server.domain.tasks.pinning import require_ordinary
from mcp_server.domain.tasks.queues import ensure_queue
from mcp_server.domain.tasks.refusals import not_while_running, servers_own, too_late_to_ask
from mcp_server.domain.tasks.rescheduling import TIMES, ready_anew, rescheduled
from mcp_server.domain.tasks.rules import EDITED_WHILE_RUNNING, TERMINAL, TaskAction
from mcp_server.domain.tasks.spec import PARENTS_MAX, RetrySpec, TaskChanges, queue_name
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros

_APPROVED = frozenset(("title", "kind", "description", "input"))
"""What people were shown when they said yes."""

_RETRY = frozenset(RetrySpec().columns())
_QUEUE = frozenset(("kind", "agent_id", "required_capabilities"))
"""What decides in which queue a task stands."""


def edit(tx: Transaction, origin: Origin, task: Task, changes: TaskChanges, action: TaskAction) -> tuple[Task, Event]:
    """A task or schedule with what is said of it now; an agent may be named by its id or name. Where it is moved in
    time and changed otherwise as well, the former is stored already.

    Raises:
        NotFound: there is no such agent.
        InvalidTransition: the status does not allow it, the agent has left, or it is no schedule.
    """
    task.require_legal(action)
    if action == "reschedule" and task.system:
        return moved_own(tx, origin, task, changes, is_needed=True)
    require_ordinary(task)
    changes = _for_agent(tx, changes)
    said = changes.model_fields_set
    if task.status == "running":
        _require_harmless(task, said)
    waits_on = _waiting_anew(tx, task, changes) if "on_parent_failure" in said else task.waits_on
    if not said & TIMES:
        return _in_its_queue(tx, edited(task, changes, waits_on, origin.at))
    moved, event = rescheduled(task, changes, origin.at)
    if said <= TIMES:
        return moved, event
    tx.record(origin, event)
    return _in_its_queue(tx, edited(moved, changes, waits_on, origin.at))


def _require_harmless(task: Task, said: Collection[str]) -> None:
    """Refuse to change what the worker of a running task was given."""
    given = sorted({*said} - EDITED_WHILE_RUNNING)
    if given:
        raise not_while_running(task.id, given)


def moved_own(
    tx: Transaction, origin: Origin, task: Task, changes: TaskChanges, *, is_needed: bool = False
) -> tuple[Task, Event]:
    """A task of the server's own at another time. What has a time of its own because of that, such as a mail, is moved
    with it by the area whose task it is, or refused.

    Raises:
        InvalidTransition: that area refuses; or it is nobody's, and has to be.
    """
    new, event = rescheduled(task, changes, origin.at)
    if not any(tx.tell(TASK_MOVED, origin, new)) and is_needed:
        raise servers_own(task.id)
    tx.wake(SYSTEM_WORK)
    return new, event


def wait_for_answer(tx: Transaction, origin: Origin, task: Task, question_id: str) -> Task:
    """Let a task wait for the new task of a question as for any other that it depends on: it is given the answer with
    its claim. Nothing waits for a new task, so this closes no circle.

    Raises:
        InvalidTransition: it has started or ended, or is a schedule or the server's own, which nobody holds up so.
        LimitExceeded: it depends on as many tasks as one may.
    """
    require_ordinary(task)
    if task.schedule is not None:
        raise InvalidTransition(
            f"{task.id} is a schedule, which waits for its times alone.",
            next="Ask without task_id; tasks_control(action='pause') has it rest meanwhile.",
        )
    if task.status not in ("pending", "queued", "paused"):
        raise too_late_to_ask(task.id, task.status, asks_anew=False)
    parents = json.loads(task.depends_on)
    if len(parents) >= PARENTS_MAX:
        raise LimitExceeded(
            f"{task.id} depends on {PARENTS_MAX} tasks, as many as one may.",
            next="Ask without task_id, and let a task that one of them waits for depend on the question's.",
        )
    require_room(tx, [question_id])
    add_dependencies(tx, [question_id], task.id)
    new = {"depends_on": RawJson(dump_json([*parents, question_id])), "waits_on": task.waits_on + 1}
    waiting, event = task.moved("task.edited", origin.at, **new, **ready_anew(task, new, origin.at))
    tx.record(origin, event)
    return waiting


def _waiting_anew(tx: Transaction, task: Task, changes: TaskChanges) -> int:
    """For how many of its parents a task waits by another policy: for those for which it would, had it been created so.
    One that has ended is counted at its retry.

    Raises:
        Conflict: a parent ended so that the task would be cancelled at once, or may never run.
    """
    if task.status in TERMINAL:
        return task.waits_on
    row = task.fields() | {"on_parent_failure": changes.on_parent_failure}
    for parent in standing_of(tx, json.loads(task.depends_on)).values():
        if changes.on_parent_failure != "wait" and parent["status"] in TERMINAL - {"completed"}:
            require_runs_on(parent["id"], parent, changes.on_parent_failure)
    parents = waited_for(tx, row)
    wait_anew(tx, row, parents)
    return len(parents)


def names_changed(before: Task, after: Task) -> list[str]:
    """What is different about a task's definition, by the names of arguments."""
    columns = [name for name in (*TaskChanges.model_fields, *_RETRY) if name in before.__dict__]
    found = (name for name in columns if getattr(before, name) != getattr(after, name))
    return sorted({"retry" if name in _RETRY else name for name in found})


def edited(task: Task, changes: TaskChanges, waits_on: int, now: Micros) -> tuple[Task, Event]:
    """A task or schedule with what is said of it now, but for its time; and as many parents to wait for. One that
    people have approved needs a new answer where it will do something else.

    Raises:
        InvalidTransition: the status does not allow it.
    """
    task.require_legal("edit")
    columns = changes.said_columns(but=TIMES, retries=task.max_attempts is not None)
    new = dict(columns.items() - task.fields().items())
    if task.approval == "granted" and _APPROVED & new.keys():
        new |= {"approval": "required", "approved_by": None}
    if waits_on != task.waits_on:
        new["waits_on"] = waits_on
    if {"approval", "waits_on"} & new.keys():
        new |= ready_anew(task, new, now)
    return task.moved("task.edited", now, **new, **_queue(task, new))


def _queue(task: Task, new: dict[str, Any]) -> dict[str, Any]:
    if not _QUEUE & new.keys():
        return {}
    whole = task.changed(new)
    return {"queue": queue_name(whole["kind"], whole["agent_id"], json.loads(whole["required_capabilities"]))}


def _for_agent(tx: Transaction, changes: TaskChanges) -> TaskChanges:
    if changes.agent_id is None:
        return changes
    agent = named_agent(tx, changes.agent_id)
    require_staying(agent)
    return changes.model_copy(update={"agent_id": agent.id})


def _in_its_queue(tx: Transaction, changed: tuple[Task, Event]) -> tuple[Task, Event]:
    ensure_queue(tx, changed[0])
    return changed
