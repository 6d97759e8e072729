"""What the events of tasks rebuild: their rows, the queues they stand in, what they wait for, and what they used."""

import json
from collections.abc import Mapping
from typing import Any

from mcp_server.domain.agents import replay as agents
from mcp_server.domain.events.thinning import has_events_since
from mcp_server.domain.tasks.parents import waited_for
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import SYSTEM_WORKER
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """One task comes to be or changes."""
    before = tx.one("task_for_update", id=event.aggregate_id)
    if before is None and "created_at" not in event.data:
        return  # a schedule whose snapshot follows
    tx.fold(event._replace(creates=before is None))
    task = tx.one("task_for_update", id=event.aggregate_id) or {}
    if before is None:
        _born(tx, task)
    else:
        _changed(tx, origin, event, before, task)
    if task["status"] in TERMINAL:
        _after_cancel(tx, task)
        _after_end(tx, task)


def _changed(tx: Transaction, origin: Origin, event: Event, before: dict[str, Any], task: dict[str, Any]) -> None:
    if event.type in ("task.retried", "task.edited") and "waits_on" in event.data:
        _wait_anew(tx, task)  # up to 0.1.0 one that was retried waited for what had been left to it
    elif event.data.get("usage") is not None and before["lease_agent_id"] is not None:
        agents.use(tx, origin, before["lease_agent_id"], json.loads(event.data["usage"]))
    if "queue" in event.data:
        _queue(tx, task)


def snapshot(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """The row, wherever it is."""
    return tx.one("task_for_update", id=id_) or tx.one("archived_task_whole", id=id_)


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The row, and the queue it stands in. Nothing waits for it, nor it for anything."""
    del origin
    tx.run("dependencies_clear", id=event.aggregate_id)
    known = tx.one("task_for_update", id=event.aggregate_id)
    tx.fold(event._replace(creates=known is None))
    _queue(tx, tx.one("task_for_update", id=event.aggregate_id) or {})


def may_thin(tx: Transaction, id_: str, upto: Mapping[str, int]) -> bool:
    """A schedule's older events may go; and all of an archived task's, once none is young. A task that is not archived
    keeps its history, since others may still depend on how it came about."""
    live = tx.one("task_for_update", id=id_)
    if live is not None:
        return live["schedule"] is not None and live["waits_on"] == 0 and not tx.all("dependents", parent_id=id_)
    return not has_events_since(tx, "task", id_, dict(upto))


def _wait_anew(tx: Transaction, task: dict[str, Any]) -> None:
    """What `rows.wait_anew` does to the dependencies."""
    parents = waited_for(tx, task)
    for parent_id in json.loads(task["depends_on"]):
        how = "dependency_insert" if parent_id in parents else "dependency_delete"
        tx.run(how, parent_id=parent_id, task_id=task["id"])


def _born(tx: Transaction, task: dict[str, Any]) -> None:
    _queue(tx, task)
    for parent_id in json.loads(task["depends_on"]):
        # A task that was archived since has no history before its snapshot, and nothing waits for it any more.
        parent = tx.one("task_status", id=parent_id) or {"status": "completed"}
        free = parent["status"] == "completed"
        if not free and not (parent["status"] in TERMINAL and task["on_parent_failure"] == "run_anyway"):
            tx.run("dependency_insert", parent_id=parent_id, task_id=task["id"])


def _queue(tx: Transaction, task: dict[str, Any]) -> None:
    tx.run(
        "queue_insert",
        name=task["queue"],
        kind=task["kind"],
        agent_id=SYSTEM_WORKER if task["system"] else task["agent_id"],
        capabilities=task["required_capabilities"],
    )


def _after_end(tx: Transaction, parent: dict[str, Any]) -> None:
    """What `rows.after_end` does to the dependencies; the dependents' own events follow."""
    if parent["refused"]:
        return
    for row in tx.all("dependents", parent_id=parent["id"]):
        child = tx.one("task_for_update", id=row["task_id"]) or {}
        if parent["status"] == "completed" or child["on_parent_failure"] == "run_anyway":
            tx.run("dependency_delete", parent_id=parent["id"], task_id=child["id"])


def _after_cancel(tx: Transaction, task: dict[str, Any]) -> None:
    """Of several parents that ended, a task no longer waits for the one that it was cancelled for."""
    parent_id, _, status = (task["cancel_reason"] or "").partition(" ended as ")
    parent = tx.one("task_status", id=parent_id) or {"status": None}
    if task["on_parent_failure"] == "cancel" and parent["status"] == status:
        tx.run("dependency_delete", parent_id=parent_id, task_id=task["id"])
