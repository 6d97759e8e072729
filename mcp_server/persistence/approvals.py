"""Transaction functions of approvals: request, answer, expire."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.approvals import (
    Answer,
    Approval,
    ApprovalSpec,
    action_hash,
    approval_id_of,
    no_approval,
    task_question,
)
from mcp_server.domain.errors import Conflict, InvalidTransition
from mcp_server.domain.events import Origin
from mcp_server.domain.task_commands import NewTask
from mcp_server.domain.task_spec import RetrySpec, TaskSpec
from mcp_server.domain.tasks import Task
from mcp_server.persistence.email_rows import EMAIL_KIND, follow_approval
from mcp_server.persistence.task_rows import after_end, load_task
from mcp_server.persistence.tasks import create
from mcp_server.persistence.transaction import Transaction

APPROVAL_KIND = "system.approval"
"""The task behind an approval that stands for itself: it completes when approved, so that it can be waited for."""

MAILS_KIND = "system.approval_mails"
_MAILS_RETRY = RetrySpec(max_attempts=20, delay_seconds=10, max_delay_seconds=900)
"""An hourly limit may hold these mails up."""

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Decided:
    """An approval after an answer, and the task that it is about."""

    approval: dict[str, Any]
    task: dict[str, Any]


def request(tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str, mails_task_id: str) -> dict[str, Any]:
    """Ask people about an action of the caller's own, under a new task."""
    gate = TaskSpec(title=spec.title, kind=APPROVAL_KIND, requires_approval=True)
    create(tx, origin, (NewTask(task_id, gate, asks=False),))
    return open_approval(tx, origin, spec, task_id, mails_task_id)


def open_approval(
    tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str, mails_task_id: str
) -> dict[str, Any]:
    """Ask people about a task that was created to wait for it, and have them written to."""
    approval, event = Approval.requested(approval_id_of(task_id), spec, task_id, origin.actor, origin.at)
    tx.record(origin, event)
    _have_written(tx, origin, approval, mails_task_id)
    return approval.fields()


def request_for_task(
    tx: Transaction, origin: Origin, spec: ApprovalSpec, task_id: str, mails_task_id: str
) -> dict[str, Any]:
    """Put the question whether a task may start to certain people; the task waits for it from now on.

    Raises:
        InvalidTransition: the task has started or ended.
        Conflict: somebody has answered already.
    """
    task = load_task(tx, task_id)
    if task.approval != "required":
        new, event = task.gated(origin.at)
        tx.record(origin, event)
        task = new
    approval_id = approval_id_of(task_id)
    row = tx.one("approval_for_update", id=approval_id)
    if row is None:
        approval, event = Approval.of_task(task.fields(), origin.actor, origin.at)
        tx.record(origin, event)
    else:
        approval = Approval.trusted(row)
    approval, event = approval.put_to(spec, origin.at)
    tx.record(origin, event)
    _have_written(tx, origin, approval, mails_task_id)
    return approval.fields()


def answer(tx: Transaction, origin: Origin, approval_id: str, given: Answer, seen_hash: str | None) -> Decided:
    """Take in one person's answer; when it decides, the task goes on or is cancelled in the same transaction.

    Raises:
        NotFound: no such approval.
        InvalidTransition: it is decided already, or expired.
        PermissionDenied: this person is not asked.
        Conflict: what was shown is not what is asked, or not what would happen.
    """
    row = tx.one("approval_for_update", id=approval_id)
    if row is None:
        raise no_approval(approval_id)
    approval = Approval.trusted(row)
    approval.require_hash(seen_hash)
    approval.require_open(origin.at)
    task = load_task(tx, approval.task_id)
    if task.approval != "required":
        raise InvalidTransition(f"Task {task.id} is {task.status} and waits for no approval.")
    _require_bound(approval, task)
    approval, event = approval.answered(given, origin.at)
    cause = tx.record(origin, event)
    if approval.status != "pending":
        task = _settle(tx, origin.caused_by(cause), approval, task, given.note)
    return Decided(approval.fields(), task.fields())


def settle_approvals(tx: Transaction, origin: Origin, new_id: Callable[[str], str]) -> int:
    """Remind of approvals that are open for half their time, and end those whose time is over; how many moved."""
    rows = tx.all("approvals_due", now=origin.at, limit=_BATCH)
    for row in rows:
        approval = Approval.trusted(row)
        if approval.expires_at is not None and approval.expires_at <= origin.at:
            approval, event = approval.expired(origin.at)
            cause = tx.record(origin, event)
            task = load_task(tx, approval.task_id)
            if task.approval == "required":
                _settle(tx, origin.caused_by(cause), approval, task, None)
        else:
            approval, event = approval.reminded(origin.at)
            cause = tx.record(origin, event)
            _have_written(tx, origin.caused_by(cause), approval, new_id("task"), reminder=True)
    return len(rows)


def signing_key(tx: Transaction, origin: Origin, name: str, fresh: str) -> str:
    """The secret of that name; `fresh` where there is none yet."""
    del origin
    tx.run("signing_key_insert", name=name, secret=fresh)
    row = tx.one("signing_key", name=name)
    assert row is not None, "just inserted"
    return row["secret"]


def _settle(tx: Transaction, origin: Origin, approval: Approval, task: Task, note: str | None) -> Task:
    by = ", ".join(given.by for given in approval.given()) or "nobody in time"
    if approval.status == "approved":
        new, event = task.approved(by, origin.at)
    else:
        new, event = task.rejected(by, note, origin.at)
    cause = tx.record(origin, event)
    if approval.status == "approved" and new.kind.startswith(EMAIL_KIND):
        follow_approval(tx, origin.caused_by(cause), new)
    after_end(tx, origin, new, cause)
    return new


def _require_bound(approval: Approval, task: Task) -> None:
    """What is approved is what will happen: for a task's own question, compared with the task as it is now."""
    title, action, details = task_question(task.fields())
    if approval.action == action and approval.action_hash != action_hash(title, action, details):
        raise Conflict(f"Task {task.id} is no longer what {approval.id} asks about.", next="Ask anew.")


def _have_written(
    tx: Transaction, origin: Origin, approval: Approval, mails_task_id: str, *, reminder: bool = False
) -> None:
    if any("@" in person for person in approval.people()):
        told = {"approval_id": approval.id, "opened_at": approval.opened_at, "reminder": reminder}
        title = f"Write to the approvers of {approval.id}"
        spec = TaskSpec(title=title, kind=MAILS_KIND, input=told, retry=_MAILS_RETRY)
        create(tx, origin, (NewTask(mails_task_id, spec),))
