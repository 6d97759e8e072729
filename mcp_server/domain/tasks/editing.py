"""Tasks and schedules that are changed after they were created, as long as nobody works on them."""

import json
from typing import Any

from mcp_server.domain.agents.transactions import named_agent, require_staying
from mcp_server.domain.tasks.creation import ensure_queue
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.pinning import require_ordinary
from mcp_server.domain.tasks.refusals import no_schedule
from mcp_server.domain.tasks.rules import TERMINAL, TaskAction, readiness
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import TaskChanges, queue_name
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros, micros

_APPROVED = frozenset(("title", "kind", "description", "input"))
"""What people were shown when they said yes."""

_QUEUE = frozenset(("kind", "agent_id", "required_capabilities"))
"""What decides in which queue a task stands."""


def edit(tx: Transaction, task: Task, changes: TaskChanges, now: Micros, action: TaskAction) -> tuple[Task, Event]:
    """A task or schedule with what is said of it now; an agent may be named by its id or name.

    Raises:
        NotFound: there is no such agent.
        InvalidTransition: the status does not allow it, the agent has left, or it is no schedule.
    """
    if changes.agent_id is not None:
        agent = named_agent(tx, changes.agent_id)
        require_staying(agent)
        changes = changes.model_copy(update={"agent_id": agent.id})
    new, event = edited(task, changes, now, action)
    ensure_queue(tx, new)
    return new, event


def edited(task: Task, changes: TaskChanges, now: Micros, action: TaskAction) -> tuple[Task, Event]:
    """A task or schedule with what is said of it now. One that people have approved needs a new answer where it will do
    something else.

    Raises:
        InvalidTransition: the status does not allow it, or it is no schedule.
    """
    task.require_legal(action)
    require_ordinary(task)
    columns = _moved_in_time(task, changes, changes.said_columns(), now)
    new = {name: value for name, value in columns.items() if value != getattr(task, name)}
    if task.approval == "granted" and _APPROVED & new.keys():
        new |= {"approval": "required", "approved_by": None}
    if _QUEUE & new.keys():
        whole = task.changed(new)
        new["queue"] = queue_name(whole["kind"], whole["agent_id"], json.loads(whole["required_capabilities"]))
    # Told by one name, whoever moves it: what is due by a clock that was ahead is known by who named its time.
    told = "task.rescheduled" if "run_at" in new else "task.edited"
    return task.moved(told, now, **new, **_readiness(task, new, now))


def _moved_in_time(task: Task, changes: TaskChanges, columns: dict[str, Any], now: Micros) -> dict[str, Any]:
    """The columns with when the task runs, or the schedule fires next: by its own cron where none is given."""
    if not {"run_at", "schedule"} & columns.keys():
        return columns
    if task.schedule is None:
        if changes.schedule is not None:
            raise no_schedule(task.id)
        if task.status in TERMINAL:
            task.require_legal("reschedule")
        return columns
    spec = changes.schedule or ScheduleSpec.model_validate_json(task.schedule)
    begins = now if changes.run_at is None else max(now, micros(changes.run_at))
    columns.pop("schedule", None)
    kept = {} if changes.schedule is None else {"schedule": RawJson(spec.model_dump_json())}
    return columns | kept | {"run_at": spec.next_after(begins)}


def _readiness(task: Task, new: dict[str, Any], now: Micros) -> dict[str, Any]:
    """Whether the task may start now, where that may have changed; a schedule never does."""
    waits = task.status in ("pending", "queued") and task.schedule is None
    if not waits or not {"run_at", "approval"} & new.keys():
        return {}
    whole = task.changed(new)
    return readiness(task.waits_on, whole["run_at"], whole["approval"], now)
