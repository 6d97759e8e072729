"""Transaction functions of the outbox: queue a mail with the task that sends it, hand it over, keep the answer; and
what a task's life does to the mail that it sends."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcp_server.domain.approvals.commands import ApprovalSpec
from mcp_server.domain.approvals.model import Approval, approval_id_of
from mcp_server.domain.approvals.people import is_mailbox
from mcp_server.domain.approvals.transactions import open_approval, reason_of_no
from mcp_server.domain.email.alike import Alike, alike_to, sent_just_before
from mcp_server.domain.email.allowance import over_the_limit, this_hour
from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.model import Composed, Email, Outcome, OutcomeStatus, no_email
from mcp_server.domain.people.transactions import has_address
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import find_row, load_task
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.kernel.errors import IdempotencyConflict
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.keys import key_conflict
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.store import Row, Transaction
from mcp_server.kernel.times import iso

EMAIL_KIND = "system.email."
"""How the kinds of tasks begin that send a mail; the provider follows, since not every process has every one."""

MAILS_KIND = "system.approval_mails"
"""The task that writes to all whom an approval asks."""

RETRY = RetrySpec(max_attempts=6, delay_seconds=5, max_delay_seconds=1800)
"""A temporary failure is tried again after about 5 s, 10 s, 20 s, 40 s and 80 s."""

_MAILS_RETRY = RetrySpec(max_attempts=20, delay_seconds=10, max_delay_seconds=900)
"""An hourly limit may hold these mails up."""

_UNSENT = ("waiting", "queued", "sending")


class NewEmail(NamedTuple):
    """A mail to queue: what was asked for, what came of its template and attachments, and what the operator set."""

    spec: EmailSpec
    content: Composed
    provider: str
    sender: str
    per_hour: int | None
    approval: ApprovalSpec | None = None
    approval_mail: str | None = None


class Queued(NamedTuple):
    """A mail's columns, whether the idempotency key found an earlier one, the columns of the task that sends it (None:
    those of an earlier one may be gone), and the same mail sent just before."""

    email: dict[str, Any]
    replayed: bool
    task: Row | None
    alike: Alike | None = None


def queue(tx: Transaction, origin: Origin, new: NewEmail) -> Queued:
    """Put a mail into the outbox, with the system task that sends it and the question to people where one is needed.

    Raises:
        IdempotencyConflict: the key was used for another mail.
        LimitExceeded: mails went to as many in this hour as are allowed.
    """
    earlier = _replayed(tx, origin, new)
    if earlier is not None:
        return Queued(earlier, replayed=True, task=find_row(tx, earlier["task_id"]))
    _require_rate(tx, origin, new)
    task_id = origin.new_id("task")
    email, event = Email.composed(
        origin.new_id("email"),
        new.spec,
        new.content,
        provider=new.provider,
        sender=new.sender,
        task_id=task_id,
        approval_id=None if new.approval is None else approval_id_of(task_id),
        approval_mail=new.approval_mail,
        created_by=origin.actor,
        key_owner=origin.principal,
        now=origin.at,
    )
    alike = sent_just_before(tx.all("emails_alike", **alike_to(new.content, origin.at)), new.spec, origin)
    caused = origin.caused_by(tx.record(origin, event))
    created = create_one(tx, caused, _sending(email, new), task_id, asks=False)
    if new.approval is not None:
        open_approval(tx, caused, new.approval, task_id)
    return Queued(email.fields(), replayed=False, task=created.task, alike=alike)


def begin(tx: Transaction, origin: Origin, email_id: str, token: str) -> dict[str, Any]:
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


def hand_over(tx: Transaction, origin: Origin, email_id: str, token: str) -> None:
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
    tx: Transaction, origin: Origin, email_id: str, outcomes: Mapping[str, Outcome], error: str | None
) -> dict[str, Any]:
    """Keep what the provider answered. Whoever has the answer may keep it, lease or not: it is the truth."""
    email, event = _load(tx, email_id).answered(outcomes, origin.at, error=error)
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
    moved = None if row is None else Email.adopt(row).tracked(address, status, message, origin.at)
    if moved is None:
        return False
    tx.record(origin, moved[1])
    return True


def follow_end(tx: Transaction, origin: Origin, task: Task) -> None:
    """The mail of a task that has ended otherwise than by the mail's own doing."""
    row = mail_of(tx, task)
    if row is None or row["status"] not in _UNSENT or task.status == "completed":
        return
    email = Email.adopt(row)
    event: Event
    if email.handed_over_at is not None:
        _, event = email.lost(origin.at)
    elif task.status == "cancelled":
        _, event = _stopped(tx, origin, email, task)
    else:
        _, event = email.gave_up(origin.at, task.error)
    tx.record(origin, event)


def follow_approval(tx: Transaction, origin: Origin, task: Task) -> None:
    """People let the mail go."""
    row = mail_of(tx, task)
    if row is not None:
        _, event = Email.adopt(row).approved(origin.at)
        tx.record(origin, event)


def follow_retry(tx: Transaction, origin: Origin, task: Task) -> None:
    """A person had a dead letter retried: who failed gets another chance; who may have got the mail does not."""
    row = mail_of(tx, task)
    if row is not None:
        _, event = Email.adopt(row).retried(origin.at)
        tx.record(origin, event)


def ask_by_mail(tx: Transaction, origin: Origin, approval: Approval, reminder: bool) -> None:
    """Have everyone written to who is asked and has an address, or whose profile has one."""
    if any(is_mailbox(person) or has_address(tx, person) for person in approval.people()):
        told = {"approval_id": approval.id, "opened_at": approval.opened_at, "reminder": reminder}
        title = f"Write to the approvers of {approval.id}"
        create_one(tx, origin, TaskSpec(title=title, kind=MAILS_KIND, input=told, retry=_MAILS_RETRY))


def _stopped(tx: Transaction, origin: Origin, email: Email, task: Task) -> tuple[Email, Event]:
    if task.approval != "rejected":
        return email.stopped("cancelled", task.cancel_reason, origin.at)
    said = filter(None, (task.cancel_reason, reason_of_no(tx, task.id)))
    return email.stopped("rejected", ": ".join(said), origin.at)


def mail_of(tx: Transaction, task: Task) -> dict[str, Any] | None:
    """The row of the mail that a task sends."""
    return tx.one("email_by_task", task_id=task.id) if task.kind.startswith(EMAIL_KIND) else None


def _sending(email: Email, new: NewEmail) -> TaskSpec:
    return TaskSpec(
        title=f"Send {email.id}",  # not its subject: who may see tasks need not see mails
        kind=f"{EMAIL_KIND}{email.provider}",
        input={"email_id": email.id},
        run_at=new.spec.send_at,
        retry=RETRY,
        timeout_seconds=600,
        requires_approval=new.approval is not None,
    )


def _load(tx: Transaction, email_id: str) -> Email:
    row = tx.one("email_for_update", id=email_id)
    if row is None:
        raise no_email(email_id)
    return Email.adopt(row)


def _replayed(tx: Transaction, origin: Origin, new: NewEmail) -> dict[str, Any] | None:
    spec, key = new.spec, new.spec.idempotency_key
    earlier = None if key is None else tx.one("email_by_idempotency_key", key=key, owner=origin.principal)
    if earlier is not None and earlier["content_hash"] not in (spec.content_hash(), *spec.content_hashes_before()):
        if _is_same_mail(earlier, new):
            raise _another_time(key or "", earlier)
        raise key_conflict(key or "", "email", earlier["id"], earlier["subject"])
    return earlier


def _is_same_mail(earlier: Mapping[str, Any], new: NewEmail) -> bool:
    """Whether the same words go to the same people, whenever that is."""
    people = zip(("recipients", "cc", "bcc"), (new.spec.to, new.spec.cc, new.spec.bcc), strict=True)
    content = {name: getattr(new.content, name) for name in ("subject", "text", "html")}
    said = content | {"reply_to": new.spec.reply_to, "template": new.content.template}
    is_said = all(earlier[name] == value for name, value in said.items())
    return is_said and all(set(json.loads(earlier[name])) == set(given) for name, given in people)


def _another_time(key: str, earlier: Mapping[str, Any]) -> IdempotencyConflict:
    # Whoever asks again often reckons "in two minutes" anew; a new key would send the mail twice.
    at = "at once" if earlier["send_at"] is None else f"at {iso(earlier['send_at'])}"
    return IdempotencyConflict(
        f"The idempotency key {quoted(key)} was used for this very mail at another time: {earlier['id']} goes {at}.",
        next=f"It goes once, so nothing is left to do; tasks_control(action='reschedule', task_ids=["
        f"'{earlier['task_id']}'], run_at=...) moves it while it waits.",
        details={"idempotency_key": key, "email_id": earlier["id"]},
    )


def _require_rate(tx: Transaction, origin: Origin, new: NewEmail) -> None:
    if new.per_hour is None:
        return
    since, until = this_hour(origin.at)
    sent = tx.all("emails_since", since=since, until=until)
    refused = over_the_limit(sent, new.per_hour, len(new.spec.everyone()))
    if refused is not None:
        raise refused
