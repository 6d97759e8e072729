"""Transaction functions of the outbox: queue a mail with the task that sends it, hand it over, keep the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.approvals import approval_id_of
from mcp_server.domain.email_commands import NewEmail
from mcp_server.domain.emails import Email, EmailSpec, Outcome, OutcomeStatus, no_email
from mcp_server.domain.errors import IdempotencyConflict, LimitExceeded
from mcp_server.domain.events import Origin
from mcp_server.domain.task_commands import NewTask
from mcp_server.domain.task_spec import RetrySpec, TaskSpec
from mcp_server.domain.values import SECOND, iso
from mcp_server.persistence.approvals import open_approval
from mcp_server.persistence.email_rows import EMAIL_KIND
from mcp_server.persistence.task_rows import load_task
from mcp_server.persistence.tasks import create
from mcp_server.persistence.transaction import Transaction

RETRY = RetrySpec(max_attempts=6, delay_seconds=5, max_delay_seconds=1800)
"""A temporary failure is tried again after about 5 s, 10 s, 20 s, 40 s and 80 s."""

_HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Queued:
    """A mail's columns, and whether the idempotency key found an earlier one."""

    email: dict[str, Any]
    replayed: bool


def queue(tx: Transaction, origin: Origin, new: NewEmail) -> Queued:
    """Put a mail into the outbox, with the system task that sends it and the question to people where one is needed.

    Raises:
        IdempotencyConflict: the key was used for another mail.
        LimitExceeded: as many as are allowed in an hour have been sent.
    """
    earlier = _replayed(tx, new.spec)
    if earlier is not None:
        return Queued(earlier, replayed=True)
    _require_rate(tx, origin, new.per_hour)
    approval_id = None if new.approval is None else approval_id_of(new.task_id)
    email, event = Email.composed(
        new.email_id,
        new.spec,
        new.content,
        provider=new.provider,
        sender=new.sender,
        task_id=new.task_id,
        approval_id=approval_id,
        approval_mail=new.approval_mail,
        created_by=origin.actor,
        now=origin.at,
    )
    cause = tx.record(origin, event)
    sending = TaskSpec(
        title=f"Send {email.id}: {email.subject}"[:200],
        kind=f"{EMAIL_KIND}{email.provider}",
        input={"email_id": email.id},
        run_at=new.spec.send_at,
        retry=RETRY,
        timeout_seconds=600,
        requires_approval=new.approval is not None,
    )
    create(tx, origin.caused_by(cause), (NewTask(new.task_id, sending, asks=False),))
    if new.approval is not None:
        open_approval(tx, origin.caused_by(cause), new.approval, new.task_id, new.mails_task_id)
    return Queued(email.fields(), replayed=False)


def begin(tx: Transaction, origin: Origin, email_id: str, token: int) -> dict[str, Any]:
    """The mail as an attempt finds it. An answer that an earlier attempt did not live to keep is marked as lost.

    Raises:
        NotFound: no such mail.
        LeaseLost: somebody else sends it now.
    """
    email = _load(tx, email_id)
    load_task(tx, email.task_id).require_lease(token, origin.at)
    if email.handed_over_at is not None:
        email, event = email.lost(origin.at)
        tx.record(origin, event)
    return email.fields()


def hand_over(tx: Transaction, origin: Origin, email_id: str, token: int) -> None:
    """Note that the provider is about to get the content: from here on the mail may have gone.

    Raises:
        LeaseLost: somebody else sends it now.
        InvalidTransition: it is not to be sent any more.
    """
    email = _load(tx, email_id)
    task = load_task(tx, email.task_id)
    task.require_lease(token, origin.at)
    _, event = email.handed_over(origin.at)
    tx.record(origin, event)


def keep_answer(
    tx: Transaction, origin: Origin, email_id: str, outcomes: Mapping[str, Outcome], final: bool, error: str | None
) -> dict[str, Any]:
    """Keep what the provider answered. Whoever has the answer may keep it, lease or not: it is the truth."""
    email, event = _load(tx, email_id).answered(outcomes, origin.at, final=final, error=error)
    tx.record(origin, event)
    return email.fields()


def stop(tx: Transaction, origin: Origin, email_id: str, reason: str) -> None:
    """Have a mail not sent: what it was about is over."""
    _, event = _load(tx, email_id).stopped("cancelled", reason, origin.at)
    tx.record(origin, event)


def track(
    tx: Transaction, origin: Origin, email_id: str, address: str, status: OutcomeStatus, message: str | None
) -> bool:
    """Keep what a provider's webhook tells; whether that was news."""
    row = tx.one("email_for_update", id=email_id)
    moved = None if row is None else Email.trusted(row).tracked(address, status, message, origin.at)
    if moved is None:
        return False
    tx.record(origin, moved[1])
    return True


def _load(tx: Transaction, email_id: str) -> Email:
    row = tx.one("email_for_update", id=email_id)
    if row is None:
        raise no_email(email_id)
    return Email.trusted(row)


def _replayed(tx: Transaction, spec: EmailSpec) -> dict[str, Any] | None:
    key = spec.idempotency_key
    earlier = None if key is None else tx.one("email_by_idempotency_key", key=key)
    if earlier is not None and earlier["content_hash"] != spec.content_hash():
        raise IdempotencyConflict(
            f"The idempotency key {key!r} was used for another email, {earlier['id']} ({earlier['subject']!r}).",
            next="Use a new key for new content, or repeat the first content to get that email.",
            details={"idempotency_key": key, "email_id": earlier["id"]},
        )
    return earlier


def _require_rate(tx: Transaction, origin: Origin, per_hour: int | None) -> None:
    if per_hour is None:
        return
    row = tx.one("emails_since", since=origin.at - _HOUR) or {}
    if row["n"] >= per_hour:
        again = iso(row["oldest"] + _HOUR)
        raise LimitExceeded(
            f"{row['n']} emails were sent within the last hour, and {per_hour} are allowed.",
            next=f"Send it again after {again}.",
            details={"per_hour": per_hour, "again_at": again},
        )
