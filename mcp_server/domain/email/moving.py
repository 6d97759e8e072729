"""Mails that wait for their time and are given another, with the task that sends them."""

from mcp_server.domain.email.model import Email
from mcp_server.domain.email.transactions import mail_of
from mcp_server.domain.events.told import began_with
from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.errors import InvalidTransition
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def follow_move(tx: Transaction, origin: Origin, task: Task) -> bool:
    """Move a mail with its task; whether it is one. What has been tried already keeps its time, and may be tried again
    sooner than it would be.

    Raises:
        InvalidTransition: its sending has begun, or people were asked about it: they were shown when it goes.
    """
    row = mail_of(tx, task)
    if row is None or row["approval_mail"] is not None:
        return False
    email = Email.adopt(row)
    if task.attempt and task.run_at is None:
        return True
    _require_unbegun(email, task)
    _require_nobody_asked(tx, email, task)
    tx.record(origin, email.rescheduled(task.run_at, origin.at)[1])
    return True


def _require_unbegun(email: Email, task: Task) -> None:
    if task.attempt:
        raise InvalidTransition(
            f"Email {email.id} is {email.status}: its sending has begun, and who has it cannot get it later.",
            next=f"tasks_control(task_ids=['{task.id}'], action='cancel') keeps it from those who have not got it yet.",
            details={"email_id": email.id, "status": email.status},
        )


def _require_nobody_asked(tx: Transaction, email: Email, task: Task) -> None:
    """Whoever said yes to a mail said so to the time that was shown with it: as to one that the operator's list does
    not allow, one among the calls of a question, or one whose task waits, or waited, for people. Where the log does not
    tell any more, it may have been so."""
    if task.approval is not None:
        raise _asked_about(email)
    queued = began_with(tx, "email", email.id, "email.queued")
    if email.approval_id is not None or queued is None or queued["correlation_id"].startswith("approval_"):
        raise _asked_about(email)


def _asked_about(email: Email) -> InvalidTransition:
    return InvalidTransition(
        f"People were asked about email {email.id} as it is, and they saw when it goes, so it is not moved.",
        next=f"Cancel it, and send another at that time, which is asked about anew: commit takes "
        f"tasks_control(task_ids=['{email.task_id}'], action='cancel') and email_send as one.",
        details={"email_id": email.id, "approval_id": email.approval_id},
    )
