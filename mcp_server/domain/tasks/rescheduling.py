"""Tasks and schedules that are moved in time, to another moment or to other times of their own; what is left out."""

from collections.abc import Iterator
from typing import Any

from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.refusals import no_schedule
from mcp_server.domain.tasks.rules import readiness
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskChanges
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.times import Micros, iso, micros

TIMES = frozenset(("run_at", "schedule"))
"""What is said of when a task runs."""

_LEFT_OUT_COUNTED_MAX = 100
"""How far firings are counted that a schedule leaves out."""


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
    return task.moved("task.rescheduled", now, **new, **ready_anew(task, new, now))


def _schedule_moved(task: Task, spec: ScheduleSpec | None, begins: Micros | None, now: Micros) -> tuple[Task, Event]:
    was = ScheduleSpec.model_validate_json(task.schedule or "")
    if spec is None:
        return task.moved("task.rescheduled", now, run_at=was.first_from(begins, now))
    # What is not said stays: a new hour is meant in the old zone.
    spec = was.model_copy(update={name: getattr(spec, name) for name in spec.model_fields_set})
    schedule = RawJson(spec.model_dump_json())
    return task.moved("task.rescheduled", now, run_at=spec.first_from(begins, now), schedule=schedule)


def told_of_schedule(before: Task, after: Task, changes: TaskChanges, now: Micros) -> str | None:
    """What may not be meant by a change of a schedule's times: `run_at` is no time at which it fires."""
    if after.schedule is None or not changes.model_fields_set & TIMES:
        return None
    said = list(_unexpected(before, after, changes, now))
    return f"{after.id}: {'; '.join(said)}." if said else None


def _unexpected(before: Task, after: Task, changes: TaskChanges, now: Micros) -> Iterator[str]:
    if changes.run_at is not None and micros(changes.run_at) <= now:
        yield "run_at says from when on a schedule fires, so nothing runs at once; action='run_now' makes one run"
    elif changes.schedule is None and (left_out := _left_out(before, after.run_at or 0, now)) is not None:
        yield f"{left_out} left out: from run_at on it fires at its own times"
    yield from _times(after, changes)
    if after.status == "paused":
        yield "it is paused, and fires once it is resumed"


def _left_out(before: Task, until: Micros, now: Micros) -> str | None:
    """How many firings a schedule leaves out that begins later, and the first and the last of them."""
    spec = ScheduleSpec.model_validate_json(before.schedule or "")
    first = max(before.run_at or 0, spec.first_from(None, now))  # it may have been paused since long
    count = spec.between(first, until, _LEFT_OUT_COUNTED_MAX)
    if count > 1:
        return f"{_counted(count)} firings, {iso(first)} to {iso(spec.latest_until(until - 1))}, are"
    return f"1 firing, {iso(first)}, is" if count else None


def _counted(count: int) -> str:
    return f"at least {count}" if count == _LEFT_OUT_COUNTED_MAX else str(count)


def _times(after: Task, changes: TaskChanges) -> list[str]:
    """What may not be meant by a new cron expression, or in a new time zone."""
    if changes.schedule is None or after.run_at is None:
        return []
    spec, said = ScheduleSpec.model_validate_json(after.schedule or ""), changes.schedule.model_fields_set
    if "cron" in said:
        return spec.said_of_times(after.run_at)
    return list(filter(None, (spec.said_of_clock_changes(after.run_at),))) if "timezone" in said else []


def ready_anew(task: Task, new: dict[str, Any], now: Micros) -> dict[str, Any]:
    """Whether the task may start now; one that is paused or has ended may not, nor does a schedule ever."""
    if task.status not in ("pending", "queued") or task.schedule is not None:
        return {}
    whole = task.changed(new)
    return readiness(whole["waits_on"], whole["run_at"], whole["approval"], now)
