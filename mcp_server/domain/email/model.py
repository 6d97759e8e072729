"""Emails: what is asked for, the outbox's record of it, and what became of it at each recipient.

The record is what keeps a mail from going out twice. Just before a provider gets the content, `handed_over_at` is
committed; with the answer it is taken away. A record that still has it when the next attempt begins tells of an answer
that was lost: the mail may have gone, so it is `unknown` and never sent again by itself.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Self

from mcp_server.domain.email.attachments import Attachment
from mcp_server.domain.email.commands import EmailSpec
from mcp_server.kernel.addresses import (
    ascii_domain,
    kept_address,
    parse_address,
)
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded, NotFound
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, dump_json, json_list
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, iso, micros

ATTACHMENTS_BYTES_MAX = 512 * 1024
Provider = Literal["file", "smtp", "sendgrid"]
OutcomeStatus = Literal["sent", "deferred", "failed", "unknown", "delivered", "opened", "clicked", "bounced"]
DEFERRED = "deferred"
"""The code of an attempt after which somebody may get the mail at a later one."""

_PROGRESS: tuple[str, ...] = ("deferred", "unknown", "failed", "sent", "delivered", "opened", "clicked", "bounced")
"""An outcome only ever moves to the right: a webhook's late `delivered` does not undo `opened`."""

DONE = frozenset(("sent", "failed", "unknown", "delivered", "opened", "clicked", "bounced"))
"""Outcomes after which a recipient gets no further attempt."""


class Composed(NamedTuple):
    """A mail's content once templates are filled in and attachments are fetched."""

    subject: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    template: str | None

    def require_small(self) -> None:
        """Refuse attachments that are too large together.

        Raises:
            LimitExceeded: naming the limit.
        """
        size = sum(attachment.bytes for attachment in self.attachments)
        if size > ATTACHMENTS_BYTES_MAX:
            raise LimitExceeded(
                f"The attachments are {size} bytes together; at most {ATTACHMENTS_BYTES_MAX} are allowed.",
                next="Send a link instead.",
                details={"bytes": size, "bytes_max": ATTACHMENTS_BYTES_MAX},
            )


class Outcome(NamedTuple):
    """What became of a mail at one recipient."""

    status: str
    code: int | None = None
    message: str | None = None


class Email(Record):
    """The aggregate: one mail of the outbox. JSON columns stay text; see `EmailSpec` and `Composed`."""

    id: str
    status: str
    provider: str
    message_id: str
    sender: str
    recipients: str
    cc: str
    bcc: str
    reply_to: str | None
    subject: str
    text: str | None
    html: str | None
    attachments: str
    template: str | None
    approval_mail: str | None
    send_at: Micros | None
    idempotency_key: str | None
    content_hash: str
    task_id: str
    approval_id: str | None
    outcomes: str
    handed_over_at: Micros | None
    error: str | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    sent_at: Micros | None
    version: int
    key_owner: str | None

    @staticmethod
    def composed(
        email_id: str,
        spec: EmailSpec,
        content: Composed,
        *,
        provider: str,
        sender: str,
        task_id: str,
        approval_id: str | None,
        approval_mail: str | None,
        created_by: str,
        key_owner: str,
        now: Micros,
    ) -> tuple["Email", Event]:
        """A new mail in the outbox."""
        domain = ascii_domain(parse_address(sender).domain.lower())
        data: dict[str, Any] = {
            "status": "queued" if approval_id is None else "waiting",
            "provider": provider,
            # Made of the id alone: however often it is tried, a mail has one name.
            "message_id": f"<{email_id}@{domain}>",
            "sender": sender,
            "recipients": json_list(spec.to),
            "cc": json_list(spec.cc),
            "bcc": json_list(spec.bcc),
            "reply_to": spec.reply_to,
            "subject": content.subject,
            "text": content.text,
            "html": content.html,
            "attachments": RawJson(dump_json([attachment.kept() for attachment in content.attachments])),
            "template": content.template,
            "approval_mail": approval_mail,
            "send_at": None if spec.send_at is None else micros(spec.send_at),
            "idempotency_key": spec.idempotency_key,
            "key_owner": key_owner if spec.idempotency_key is not None else None,
            "content_hash": spec.content_hash(),
            "task_id": task_id,
            "approval_id": approval_id,
            "outcomes": RawJson("{}"),
            "handed_over_at": None,
            "error": None,
            "created_by": created_by,
            "created_at": now,
            "updated_at": now,
            "sent_at": None,
        }
        email = Email.adopt({"id": email_id, "version": 1} | data)
        return email, Event("email.queued", "email", email_id, 1, data, creates=True)

    def everyone(self) -> list[str]:
        """Every address that gets the mail, each once."""
        texts = [text for column in (self.recipients, self.cc, self.bcc) for text in json.loads(column)]
        return list(dict.fromkeys(map(kept_address, texts)))

    def known(self) -> dict[str, Outcome]:
        """What is known of each recipient so far."""
        return {address: Outcome(**outcome) for address, outcome in json.loads(self.outcomes).items()}

    def pending(self) -> list[str]:
        """Those who have not got the mail and may still get it."""
        known = self.known()
        return [address for address in self.everyone() if address not in known or known[address].status not in DONE]

    def handed_over(self, now: Micros) -> tuple[Self, Event]:
        """The provider is about to get the content.

        Raises:
            InvalidTransition: the mail is not to be sent.
        """
        if self.status not in ("queued", "sending") or self.handed_over_at is not None:
            raise InvalidTransition(f"Email {self.id} is {self.status}; it is not to be sent now.")
        return self._moved("email.handed_over", now, status="sending", handed_over_at=now)

    def answered(self, outcomes: Mapping[str, Outcome], now: Micros, *, error: str | None = None) -> tuple[Self, Event]:
        """The provider's answer for some recipients."""
        known = self.known() | dict(outcomes)
        status = summary(known, len(self.everyone()))
        changes: dict[str, Any] = {"status": status, "outcomes": _dumped(known), "handed_over_at": None, "error": error}
        if self.sent_at is None and any(outcome.status == "sent" for outcome in known.values()):
            changes["sent_at"] = now
        kind = "email.deferred" if status == "sending" else f"email.{status}"
        return self._moved(kind, now, **changes)

    def lost(self, now: Micros) -> tuple[Self, Event]:
        """The answer to an earlier attempt was lost: those it was for may have got the mail."""
        why = "The answer to the attempt at {} was lost: it may have arrived. It is not sent again by itself."
        said = why.format(iso(self.handed_over_at or now))
        return self.answered({a: Outcome("unknown", None, said) for a in self.pending()}, now, error=said)

    def tracked(
        self, address: str, status: OutcomeStatus, message: str | None, now: Micros
    ) -> tuple[Self, Event] | None:
        """What a provider's webhook tells of one recipient; None where that is not news."""
        # Webhooks come late, twice and in any order: what is told is news only where it is further on.
        known = self.known()
        before = known.get(address)
        rank = -1 if before is None else _PROGRESS.index(before.status)
        if address not in self.everyone() or rank >= _PROGRESS.index(status):
            return None
        known[address] = Outcome(status, None, message)
        changes = {"outcomes": _dumped(known), "status": summary(known, len(self.everyone()))}
        return self._moved(f"email.{status}", now, **changes)

    def approved(self, now: Micros) -> tuple[Self, Event]:
        """Free to go, as far as people are concerned."""
        return self._moved("email.approved", now, status="queued")

    def rescheduled(self, send_at: Micros | None, now: Micros) -> tuple[Self, Event]:
        """It goes out at another time, or at once."""
        return self._moved("email.rescheduled", now, send_at=send_at)

    def stopped(self, status: Literal["rejected", "cancelled"], reason: str | None, now: Micros) -> tuple[Self, Event]:
        """It will not be sent."""
        return self._moved(f"email.{status}", now, status=status, error=reason)

    def gave_up(self, now: Micros, error: str | None) -> tuple[Self, Event]:
        """The last attempt is over without an answer."""
        told: dict[str, Any] = json.loads(error) if error else {}
        known = self.error if told.get("code") == DEFERRED else None
        said = known or str(told.get("message") or "The last attempt failed.")
        return self.answered(outcomes_for(self.pending(), "failed", None, said), now, error=said)

    def retried(self, now: Micros) -> tuple[Self, Event]:
        """Once more for those who did not get it."""
        # Who has got it, or may have, does not get it twice.
        known = {address: outcome for address, outcome in self.known().items() if outcome.status != "failed"}
        return self._moved("email.retried", now, status="queued", outcomes=_dumped(known), error=None)

    def _moved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        changes["updated_at"] = now
        version = self.version + 1
        return self.evolved(changes | {"version": version}), Event(kind, "email", self.id, version, changes)


def no_email(email_id: str) -> NotFound:
    """The refusal for an id that names no mail."""
    return NotFound(f"There is no email {named(email_id)}.", next="List emails with email_find.")


def summary(known: Mapping[str, Outcome], recipients: int) -> str:
    """One status for all recipients: what needs a person's eye first, else how far all of them are."""
    statuses = [outcome.status for outcome in known.values()]
    if "deferred" in statuses or len(statuses) < recipients:
        return "sending"
    for worst in ("unknown", "bounced"):
        if worst in statuses:
            return worst
    if "failed" in statuses:
        return "failed" if set(statuses) == {"failed"} else "partly_sent"
    return min(statuses, key=_PROGRESS.index)


def outcomes_for(addresses: Iterable[str], status: OutcomeStatus, code: int | None, message: str) -> dict[str, Outcome]:
    """The same outcome for several recipients."""
    return {address: Outcome(status, code, message) for address in addresses}


def _dumped(known: Mapping[str, Outcome]) -> RawJson:
    facts = {
        address: {name: value for name, value in outcome._asdict().items() if value is not None}
        for address, outcome in known.items()
    }
    return RawJson(dump_json(facts))
