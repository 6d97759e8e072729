"""Transaction functions that time alone calls for: due tasks, schedules, lost leases, overdue attempts, the archive."""

from operator import itemgetter
from typing import Any

from mcp_server.domain.tasks.firing import fire_due
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import after_end, load_task
from mcp_server.kernel.area import Sweep
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros


def settle(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Do what has become due to one task.

    Several processes may do this at once: the task is looked at again under its lock.
    """
    task = load_task(tx, row["id"])
    if task.due_at is None or task.due_at > origin.at:
        return
    if task.schedule is not None:
        fire_due(tx, origin, task)
    else:
        new, event = _settled(task, origin.at, origin.chance())
        after_end(tx, origin, new, tx.record(origin, event))


DUE = Sweep("due.tasks", "due_tasks", settle, itemgetter("id"))


def archive(tx: Transaction, origin: Origin, before: Micros, limit: int) -> int:
    """Move finished tasks that ended before a moment out of the hot table; how many. No fact about them changes."""
    del origin
    ids = [row["id"] for row in tx.all("archivable_tasks", before=before, limit=limit)]
    if ids:
        tx.run("archive_copy", ids=dump_json(ids))
        tx.run("archive_remove", ids=dump_json(ids))
    return len(ids)


def _settled(task: Task, now: Micros, jitter: float) -> tuple[Task, Event]:
    if task.status == "pending":
        return task.due(now)
    overdue = task.deadline_at is not None and task.deadline_at <= now
    return task.timed_out(now, jitter) if overdue else task.lease_expired(now, jitter)
