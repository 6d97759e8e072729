"""Transaction functions of approvals: request, answer, remind, expire; and what a task's life does to its approval."""

from typing import NamedTuple

from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.approvals.model import (
    Answer,
    Approval,
    ApprovalSpec,
    RequestApproval,
    action_hash,
    approval_id_of,
    no_approval,
    task_question,
)
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_task
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.transactions import approve, gate, reject
from mcp_server.kernel.errors import Conflict, InvalidTransition
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction

APPROVAL_KIND = "system.approval"
"""The task behind an approval that stands for itself: it completes when approved, so that it can be waited for."""

_BATCH = 100


class Asked(NamedTuple):
    """An approval, and the task that it is about."""

    approval: Approval
    task: Task


class GiveAnswer(NamedTuple):
    """One person's answer to one approval, and the hash of what that person was shown."""

    approval_id: str
    answer: Answer
    seen_hash: str | None


def request(tx: Transaction, origin: Origin, command: RequestApproval) -> Asked:
    """Ask people: about an action of the caller's own, under a new task, or whether a task may start.

    Raises:
        NotFound: there is no such task.
        InvalidTransition: the task has started or ended.
        Conflict: somebody has answered already.
    """
    if command.task_id is not None:
        return _request_for_task(tx, origin, command, command.task_id)
    task_id = origin.new_id("task")
    title = TaskSpec(title=command.title, kind=APPROVAL_KIND, requires_approval=True)
    create_one(tx, origin, title, task_id, asks=False)
    return Asked(open_approval(tx, origin, command, task_id), load_task(tx, task_id))


def open_approval(tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str) -> Approval:
    """Ask people about a task that was created to wait for it."""
    approval, event = Approval.requested(approval_id_of(task_id), spec, task_id, origin.actor, origin.at)
    tx.record(origin, event)
    tx.tell(PEOPLE_ASKED, origin, approval, False)
    return approval


def answer(tx: Transaction, origin: Origin, command: GiveAnswer) -> Asked:
    """Take in one person's answer; when it decides, the task goes on or is cancelled in the same transaction.

    Raises:
        NotFound: no such approval.
        InvalidTransition: it is decided already, or expired.
        PermissionDenied: this person is not asked.
        Conflict: what was shown is not what is asked, or not what would happen.
    """
    row = tx.one("approval_for_update", id=command.approval_id)
    if row is None:
        raise no_approval(command.approval_id)
    approval = Approval.adopt(row)
    approval.require_hash(command.seen_hash)
    approval.require_open(origin.at)
    task = load_task(tx, approval.task_id)
    if task.approval != "required":
        raise InvalidTransition(f"Task {task.id} is {task.status} and waits for no approval.")
    _require_bound(approval, task)
    approval, event = approval.answered(command.answer, origin.at)
    cause = tx.record(origin, event)
    if approval.status != "pending":
        task = _settle(tx, origin.caused_by(cause), approval, task, command.answer.note)
    return Asked(approval, task)


def settle_due(tx: Transaction, origin: Origin) -> int:
    """Remind of approvals that are open for half their time, and end those whose time is over; how many moved."""
    rows = tx.all("approvals_due", now=origin.at, limit=_BATCH)
    for row in rows:
        approval = Approval.adopt(row)
        if approval.expires_at is not None and approval.expires_at <= origin.at:
            approval, event = approval.expired(origin.at)
            cause = tx.record(origin, event)
            task = load_task(tx, approval.task_id)
            if task.approval == "required":
                _settle(tx, origin.caused_by(cause), approval, task, None)
        else:
            approval, event = approval.reminded(origin.at)
            cause = tx.record(origin, event)
            tx.tell(PEOPLE_ASKED, origin.caused_by(cause), approval, True)
    return len(rows)


def open_for(tx: Transaction, origin: Origin, task: Task) -> None:
    """Ask whether a task may start, or ask anew."""
    known = tx.one("approval_for_update", id=approval_id_of(task.id))
    if known is None:
        _, event = Approval.of_task(task, origin.actor, origin.at)
    else:
        _, event = Approval.adopt(known).reopened(origin.at)
    tx.record(origin, event)


def ask_again(tx: Transaction, origin: Origin, retried: Task) -> None:
    """A task that is retried and needs an approval needs a new one."""
    if retried.approval == "required":
        open_for(tx, origin, retried)


def withdraw(tx: Transaction, origin: Origin, ended: Task) -> None:
    """Nobody needs to decide any more on a task that has ended."""
    if ended.approval != "required":
        return
    row = tx.one("approval_for_update", id=approval_id_of(ended.id))
    if row is not None and row["status"] == "pending":
        _, event = Approval.adopt(row).withdrawn(origin.at)
        tx.record(origin, event)


def signing_key(tx: Transaction, origin: Origin, name: str, fresh: str) -> str:
    """The secret of that name; `fresh` where there is none yet."""
    del origin
    tx.run("signing_key_insert", name=name, secret=fresh)
    row = tx.one("signing_key", name=name)
    assert row is not None, "just inserted"
    return row["secret"]


def _request_for_task(tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str) -> Asked:
    task = gate(tx, origin, load_task(tx, task_id))
    row = tx.one("approval_for_update", id=approval_id_of(task_id))
    if row is None:
        approval, event = Approval.of_task(task, origin.actor, origin.at)
        tx.record(origin, event)
    else:
        approval = Approval.adopt(row)
    approval, event = approval.put_to(spec, origin.at)
    tx.record(origin, event)
    tx.tell(PEOPLE_ASKED, origin, approval, False)
    return Asked(approval, task)


def _settle(tx: Transaction, origin: Origin, approval: Approval, task: Task, note: str | None) -> Task:
    by = ", ".join(given.by for given in approval.given()) or "nobody in time"
    if approval.status == "approved":
        return approve(tx, origin, task, by)
    return reject(tx, origin, task, by, note)


def _require_bound(approval: Approval, task: Task) -> None:
    """What is approved is what will happen: for a task's own question, compared with the task as it is now."""
    title, action, details = task_question(task)
    if approval.action == action and approval.action_hash != action_hash(title, action, details):
        raise Conflict(f"Task {task.id} is no longer what {approval.id} asks about.", next="Ask anew.")
