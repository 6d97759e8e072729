"""Transaction functions of schedules that fire: when their time has come, or at once because somebody asks for it."""

from functools import partial

from mcp_server.domain.tasks.births import fire, fire_now, firing, last_firing
from mcp_server.domain.tasks.editing import moved_own
from mcp_server.domain.tasks.hooks import TASK_GATED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.refusals import still_unfinished, unanswered
from mcp_server.domain.tasks.rescheduling import rescheduled
from mcp_server.domain.tasks.rules import TERMINAL, legal_now
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskChanges
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def fire_due(tx: Transaction, origin: Origin, schedule: Task) -> None:
    """Move a schedule whose time has come on to its next, and create the task of this one unless it is skipped."""
    task_id = origin.new_id("task")
    moved, event, occurrence = fire(schedule, origin.at, _unfinished(tx, schedule) is not None, task_id)
    cause = tx.record(origin, event)
    if occurrence is None:
        return
    created, birth = firing(moved, task_id, occurrence, origin.at)
    if tx.one("task_by_idempotency_key", key=created.idempotency_key, owner=created.key_owner) is None:
        _record(tx, origin.caused_by(cause), created, birth)


def fired_now(tx: Transaction, origin: Origin, schedule: Task) -> tuple[Task, Event]:
    """A schedule that is to fire at once, beside its own times; a task that waits for its time waits for it no more.

    Raises:
        InvalidTransition: it is no schedule, or has ended; or its last firing is unfinished, and they do not overlap.
    """
    if schedule.status == "pending" and schedule.approval == "required" and schedule.run_at is None:
        raise unanswered(schedule.id, legal_now("pending", None, repeats=schedule.schedule is not None))
    schedule.require_legal("run_now")
    if schedule.schedule is None:
        move = partial(moved_own, tx, origin) if schedule.system else partial(rescheduled, now=origin.at)
        return move(schedule, TaskChanges())
    unfinished = _unfinished(tx, schedule)
    if unfinished is not None and ScheduleSpec.model_validate_json(schedule.schedule or "").overlap == "skip":
        raise still_unfinished(schedule.id, *unfinished)
    return fire_now(schedule, origin.at, origin.new_id("task"))


def create_firing(tx: Transaction, origin: Origin, schedule: Task) -> Task:
    """Create the task of a schedule that was just fired at once."""
    task_id = last_firing(schedule)
    assert task_id is not None, "it was just fired"
    created, birth = firing(schedule, task_id, origin.at, origin.at, task_id)
    _record(tx, origin, created, birth)
    return created


def _unfinished(tx: Transaction, schedule: Task) -> tuple[str, str] | None:
    """The last task that a schedule created, and its status, where that has not ended."""
    last = last_firing(schedule)
    row = None if last is None else tx.one("task_status", id=last)
    return None if last is None or row is None or row["status"] in TERMINAL else (last, row["status"])


def _record(tx: Transaction, origin: Origin, created: Task, birth: Event) -> None:
    born = tx.record(origin, birth)
    if created.approval == "required":
        tx.tell(TASK_GATED, origin.caused_by(born), created)
