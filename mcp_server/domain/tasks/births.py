"""How tasks come to be: from what a caller said, or from an occurrence of a schedule.

A schedule is a task that never runs itself. It waits for its next time, `run_at`, and each time creates an ordinary
task whose parent it is.
"""

import json
from typing import Any

from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rules import BLANK, due_at, readiness
from mcp_server.domain.tasks.schedules import GRACE, ScheduleSpec
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json, json_list
from mcp_server.kernel.times import Micros, iso


def new_task(
    task_id: str, spec: TaskSpec, parents: tuple[str, ...], waits_on: int, origin: Origin
) -> tuple[Task, Event]:
    """A new task, queued when nothing keeps it waiting; for a spec with a schedule, the schedule."""
    now = origin.at
    data: dict[str, Any] = spec.columns() | {
        "depends_on": json_list(parents),
        "idempotency_key": spec.idempotency_key,
        "key_owner": origin.principal if spec.idempotency_key else None,
        "content_hash": spec.content_hash(parents) if spec.idempotency_key else None,
        "waits_on": waits_on,
        "system": int(spec.is_system()),
        "created_by": origin.actor,
        "created_at": now,
        "updated_at": now,
    }
    if spec.schedule is not None:
        data["run_at"] = spec.schedule.first_from(data["run_at"], now)
    return _born(task_id, data, now)


def fire(schedule: Task, now: Micros, last_unfinished: bool, task_id: str) -> tuple[Task, Event, Micros | None]:
    """A schedule, moved on to its next occurrence.

    Args:
        schedule: one whose time has come.
        now: the current time.
        last_unfinished: whether the previous firing has not ended yet.
        task_id: the id of the firing, if there is one.

    Returns:
        The schedule, the event, and the occurrence to create a task for, or None where it is skipped.
    """
    spec = ScheduleSpec.model_validate_json(schedule.schedule or "")
    latest = max(spec.latest_until(now), schedule.run_at or 0)
    missed = now - latest > GRACE and spec.catch_up == "skip"
    fires = not missed and not (last_unfinished and spec.overlap == "skip")
    tally = _tally(schedule, task_id, latest) if fires else _tally(schedule, None, latest)
    kind = "task.schedule_fired" if fires else "task.schedule_skipped"
    new, event = schedule.moved(kind, now, run_at=spec.next_after(now), result=RawJson(dump_json(tally)))
    return new, event, latest if fires else None


def fire_now(schedule: Task, now: Micros, task_id: str) -> tuple[Task, Event]:
    """A schedule that creates a task at once, and goes on at its own times."""
    tally = RawJson(dump_json(_tally(schedule, task_id, now)))
    return schedule.moved("task.schedule_fired", now, run_at=schedule.run_at, result=tally)


def _tally(schedule: Task, task_id: str | None, occurrence: Micros) -> dict[str, Any]:
    """How often the schedule has fired and was skipped, with one more of either."""
    tally: dict[str, Any] = {"fired": 0, "skipped": 0} | json.loads(schedule.result or "{}")
    if task_id is None:
        return tally | {"skipped": tally["skipped"] + 1}
    return tally | {"fired": tally["fired"] + 1, "last_task_id": task_id, "last_fired_at": iso(occurrence)}


def last_firing(schedule: Task) -> str | None:
    """The id of the task that a schedule created last."""
    return json.loads(schedule.result or "{}").get("last_task_id")


def firing(
    schedule: Task, task_id: str, occurrence: Micros, now: Micros, name: str | None = None
) -> tuple[Task, Event]:
    """The ordinary task that a schedule creates for one occurrence: all that defines the schedule, but for what makes
    it one. Its idempotency key names the occurrence, or by `name` what is none."""
    data = schedule.definition() | {
        "depends_on": RawJson("[]"),
        "parent_id": schedule.id,
        "run_at": occurrence,
        "idempotency_key": f"schedule:{schedule.id}:{name or iso(occurrence)}",
        "key_owner": SYSTEM.label,
        "content_hash": None,
        "waits_on": 0,
        "schedule": None,
        "approval": "required" if schedule.approval == "each" else None,
        "created_at": now,
        "updated_at": now,
    }
    return _born(task_id, data, now)


def _born(task_id: str, data: dict[str, Any], now: Micros) -> tuple[Task, Event]:
    data = BLANK | data
    data |= readiness(data["waits_on"], data["run_at"], data["approval"], now)
    if data["schedule"] is not None:
        data |= {"status": "pending", "ready_at": None}
    data["due_at"] = due_at(data)
    task = Task.adopt(data | {"id": task_id, "version": 1})
    return task, Event("task.created", "task", task_id, 1, data, creates=True)
