"""Tasks and schedules that are changed after they were created, as long as nobody works on them."""

import json
from collections.abc import Iterator
from typing import Any

from mcp_server.domain.agents.transactions import named_agent, require_staying
from mcp_server.domain.tasks.creation import require_runs_on
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.pinning import require_ordinary
from mcp_server.domain.tasks.queues import ensure_queue
from mcp_server.domain.tasks.refusals import no_schedule, waits_for_others
from mcp_server.domain.tasks.rows import find_row, wait_anew, waited_for
from mcp_server.domain.tasks.rules import TERMINAL, TaskAction, readiness
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import RetrySpec, TaskChanges, queue_name
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros, iso, micros

_APPROVED = frozenset(("title", "kind", "description", "input"))
"""What people were shown when they said yes."""

_LEFT_OUT_COUNTED_MAX = 100
"""How far firings are counted that a schedule leaves out."""

_TIMES = frozenset(("run_at", "schedule"))
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
    require_ordinary(task)
    changes = _for_agent(tx, changes)
    said = changes.model_fields_set
    waits_on = _waiting_anew(tx, task, changes) if "on_parent_failure" in said else task.waits_on
    if not said & _TIMES:
        return _in_its_queue(tx, edited(task, changes, waits_on, origin.at))
    moved, event = rescheduled(task, changes, origin.at)
    if said <= _TIMES:
        return moved, event
    tx.record(origin, event)
    return _in_its_queue(tx, edited(moved, changes, waits_on, origin.at))


def _waiting_anew(tx: Transaction, task: Task, changes: TaskChanges) -> int:
    """For how many of its parents a task waits by another policy: for those for which it would, had it been created so.
    One that has ended is counted at its retry.

    Raises:
        Conflict: a parent ended so that the task would be cancelled at once, or may never run.
    """
    if task.status in TERMINAL:
        return task.waits_on
    row = task.fields() | {"on_parent_failure": changes.on_parent_failure}
    for parent in filter(None, (find_row(tx, parent_id) for parent_id in json.loads(task.depends_on))):
        if changes.on_parent_failure != "wait" and parent["status"] in TERMINAL - {"completed"}:
            require_runs_on(parent["id"], parent, changes.on_parent_failure)
    parents = waited_for(tx, row)
    wait_anew(tx, row, parents)
    return len(parents)


def rescheduled(task: Task, changes: TaskChanges, now: Micros) -> tuple[Task, Event]:
    """A task that is not to start before another time; a schedule that fires by another cron expression, or from
    another time on.

    Raises:
        InvalidTransition: the status does not allow it, or it is no schedule.
    """
    task.require_legal("reschedule")
    run_at = None if changes.run_at is None else micros(changes.run_at)
    if task.schedule is not None:
        return _schedule_moved(task, changes.schedule, run_at, now)
    if changes.schedule is not None:
        raise no_schedule(task.id)
    new = {"run_at": run_at}
    return task.moved("task.rescheduled", now, **new, **_readiness(task, new, now))


def run_at_once(task: Task, now: Micros) -> tuple[Task, Event]:
    """A task that waits for its time alone, with that come.

    Raises:
        InvalidTransition: the status does not allow it; it waits for others, or for people; or it is the server's own.
    """
    task.require_legal("run_now")
    require_ordinary(task)
    if task.waits_on or task.approval == "required":
        raise waits_for_others(task.id, task.waits_on, json.loads(task.depends_on))
    new = {"run_at": now}
    return task.moved("task.rescheduled", now, **new, **_readiness(task, new, now))


def _schedule_moved(task: Task, spec: ScheduleSpec | None, begins: Micros | None, now: Micros) -> tuple[Task, Event]:
    was = ScheduleSpec.model_validate_json(task.schedule or "")
    if spec is None:
        return task.moved("task.rescheduled", now, run_at=was.first_from(begins, now))
    # What is not said stays: a new hour is meant in the old zone.
    spec = was.model_copy(update={name: getattr(spec, name) for name in spec.model_fields_set})
    schedule = RawJson(spec.model_dump_json())
    return task.moved("task.rescheduled", now, run_at=spec.first_from(begins, now), schedule=schedule)


def names_changed(before: Task, after: Task) -> list[str]:
    """What is different about a task's definition, by the names of arguments."""
    columns = [name for name in (*TaskChanges.model_fields, *_RETRY) if name in before.__dict__]
    found = (name for name in columns if getattr(before, name) != getattr(after, name))
    return sorted({"retry" if name in _RETRY else name for name in found})


def told_of_schedule(before: Task, after: Task, changes: TaskChanges, now: Micros) -> str | None:
    """What may not be meant by a change of a schedule's times: `run_at` is no time at which it fires."""
    if after.schedule is None or not changes.model_fields_set & _TIMES:
        return None
    said = list(_unexpected(before, after, changes, now))
    return f"{after.id}: {'; '.join(said)}." if said else None


def _unexpected(before: Task, after: Task, changes: TaskChanges, now: Micros) -> Iterator[str]:
    if changes.run_at is not None and micros(changes.run_at) <= now:
        yield "run_at says from when on a schedule fires, so nothing runs at once; action='run_now' makes one run"
    elif changes.schedule is None and (left_out := _left_out(before, after.run_at or 0, now)) is not None:
        yield f"{left_out} left out: from run_at on it fires at its own times"
    yield from filter(None, (_days(after, changes),))
    if after.status == "paused":
        yield "it is paused, and fires once it is resumed"


def _left_out(before: Task, until: Micros, now: Micros) -> str | None:
    """How many firings a schedule leaves out that begins later, and the first and the last of them."""
    spec = ScheduleSpec.model_validate_json(before.schedule or "")
    first = max(before.run_at or 0, spec.first_from(None, now)) if before.status == "paused" else before.run_at or 0
    count = spec.between(first, until, _LEFT_OUT_COUNTED_MAX)
    if count <= 1:
        return f"1 firing, {iso(first)}, is" if count else None
    more = "at least " if count == _LEFT_OUT_COUNTED_MAX else ""
    return f"{more}{count} firings, {iso(first)} to {iso(spec.latest_until(until - 1))}, are"


def _days(after: Task, changes: TaskChanges) -> str | None:
    """What may not be meant by the days of a new cron expression."""
    if changes.schedule is None or "cron" not in changes.schedule.model_fields_set or after.run_at is None:
        return None
    return ScheduleSpec.model_validate_json(after.schedule or "").said_of_days(after.run_at)


def edited(task: Task, changes: TaskChanges, waits_on: int, now: Micros) -> tuple[Task, Event]:
    """A task or schedule with what is said of it now, but for its time; and as many parents to wait for. One that
    people have approved needs a new answer where it will do something else.

    Raises:
        InvalidTransition: the status does not allow it.
    """
    task.require_legal("edit")
    columns = changes.said_columns(but=_TIMES)
    new = dict(columns.items() - task.fields().items())
    if task.approval == "granted" and _APPROVED & new.keys():
        new |= {"approval": "required", "approved_by": None}
    if waits_on != task.waits_on:
        new["waits_on"] = waits_on
    if {"approval", "waits_on"} & new.keys():
        new |= _readiness(task, new, now)
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


def _readiness(task: Task, new: dict[str, Any], now: Micros) -> dict[str, Any]:
    """Whether the task may start now; one that is paused or has ended may not, nor does a schedule ever."""
    if task.status not in ("pending", "queued") or task.schedule is not None:
        return {}
    whole = task.changed(new)
    return readiness(whole["waits_on"], whole["run_at"], whole["approval"], now)
