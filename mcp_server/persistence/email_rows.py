"""Emails as the task queue sees them: a mail follows the system task that sends it."""

from mcp_server.domain.emails import Email
from mcp_server.domain.events import Event, Origin
from mcp_server.domain.tasks import Task
from mcp_server.persistence.transaction import Transaction

EMAIL_KIND = "system.email."
"""How the kinds of tasks begin that send a mail; the provider follows, since not every process has every one."""

_UNSENT = ("waiting", "queued", "sending")


def follow_end(tx: Transaction, origin: Origin, task: Task) -> None:
    """The mail of a task that has ended otherwise than by the mail's own doing."""
    row = tx.one("email_by_task", task_id=task.id)
    if row is None or row["status"] not in _UNSENT or task.status == "completed":
        return
    email = Email.trusted(row)
    event: Event
    if email.handed_over_at is not None:
        _, event = email.lost(origin.at)
    elif task.status == "cancelled":
        how = "rejected" if task.approval == "rejected" else "cancelled"
        _, event = email.stopped(how, task.cancel_reason, origin.at)
    else:
        _, event = email.gave_up(origin.at, task.error)
    tx.record(origin, event)


def follow_approval(tx: Transaction, origin: Origin, task: Task) -> None:
    """People let the mail go."""
    row = tx.one("email_by_task", task_id=task.id)
    if row is not None:
        _, event = Email.trusted(row).approved(origin.at)
        tx.record(origin, event)


def follow_retry(tx: Transaction, origin: Origin, task: Task) -> None:
    """A person had a dead letter retried: who failed gets another chance; who may have got the mail does not."""
    row = tx.one("email_by_task", task_id=task.id)
    if row is not None:
        _, event = Email.trusted(row).retried(origin.at)
        tx.record(origin, event)
