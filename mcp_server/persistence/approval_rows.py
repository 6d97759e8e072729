"""Approvals as the task queue sees them: opened with a task that needs one, withdrawn with a task that ends."""

from typing import Any

from mcp_server.domain.approvals import Approval, approval_id_of
from mcp_server.domain.events import Origin
from mcp_server.domain.tasks import Task
from mcp_server.persistence.transaction import Transaction


def open_for(tx: Transaction, origin: Origin, task: dict[str, Any]) -> None:
    """Ask whether a task may start, or ask anew."""
    known = tx.one("approval_for_update", id=approval_id_of(task["id"]))
    if known is None:
        _, event = Approval.of_task(task, origin.actor, origin.at)
    else:
        _, event = Approval.trusted(known).reopened(origin.at)
    tx.record(origin, event)


def withdraw(tx: Transaction, origin: Origin, task: Task) -> None:
    """Nobody needs to decide any more on a task that has ended."""
    row = tx.one("approval_for_update", id=approval_id_of(task.id))
    if row is not None and row["status"] == "pending":
        _, event = Approval.trusted(row).withdrawn(origin.at)
        tx.record(origin, event)
