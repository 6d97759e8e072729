"""Tasks whose times were computed by a clock that was ahead. A time that somebody named stays as it was named."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from mcp_server.domain.events.thinning import Told, last_told
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_task
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.kernel.area import Righting
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros

_LEASED = ("task.claimed", "task.reclaimed", "task.reported")
_BACKED_OFF = ("task.attempt_failed", "task.attempt_timed_out", "task.lease_expired")
_NAMED = ("task.created", "task.rescheduled")
_FIRED = ("task.created", "task.resumed", "task.rescheduled", "task.schedule_fired", "task.schedule_skipped")


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Compute a task's times again, where it was changed at a moment that has not come yet."""
    task = load_task(tx, row["id"])
    if not is_ahead(task.updated_at, origin.at):
        return
    computed = {
        "lease_expires_at": _at(last_told(tx, "task", task.id, _LEASED)),
        "deadline_at": _at(last_told(tx, "task", task.id, ("task.claimed",))),
        "run_at": _next_from(tx, task) if task.schedule is not None else _retry_from(tx, task),
    }
    tx.record(origin, righted(task, computed, origin.at)[1])


def righted(task: Task, computed: Mapping[str, Micros | None], now: Micros) -> tuple[Task, Event]:
    """The task as it is by a clock that is right.

    Args:
        task: changed by one that was ahead.
        computed: columns that say when something is due, and the moment from which each was computed; None where it was
            named.
        now: the current time.
    """
    fields = task.fields()
    changes = {name: now for name in ("ready_at", "started_at") if (fields[name] or 0) > now}
    for name, basis in computed.items():
        if fields[name] is not None and basis is not None and is_ahead(basis, now):
            changes[name] = now + max(fields[name] - basis, 0)
    if "run_at" in changes and task.schedule is not None:
        changes["run_at"] = _spec(task).next_after(now)
    return task.moved("task.righted", now, **changes, updated_at=now)


AHEAD = Righting("tasks_ahead", right, itemgetter("id"))


def _at(told: Told | None) -> Micros | None:
    return None if told is None else told.at


def _retry_from(tx: Transaction, task: Task) -> Micros | None:
    """When an attempt ended, after which the task waits to be tried again."""
    told = last_told(tx, "task", task.id, _BACKED_OFF + _NAMED)
    return None if told is None or told.type in _NAMED else told.at


def _next_from(tx: Transaction, task: Task) -> Micros | None:
    """The moment after which a schedule was to fire next; None where somebody named one from which on it fires."""
    told = last_told(tx, "task", task.id, _FIRED)
    return told.at if told is not None and _spec(task).next_after(told.at) == task.run_at else None


def _spec(schedule: Task) -> ScheduleSpec:
    return ScheduleSpec.model_validate_json(schedule.schedule or "")
