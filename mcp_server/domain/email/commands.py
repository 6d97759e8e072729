"""What a caller asks of mail."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from mcp_server.domain.email.attachments import AttachmentSpec
from mcp_server.domain.email.threads import ReplyTo, answered
from mcp_server.domain.state.model import Key as DocumentKey
from mcp_server.kernel.addresses import (
    EmailAddress,
    plain_address,
)
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, check_text, dump_json, sha256_text
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.relative import as_said
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.times import micros
from mcp_server.kernel.together import LIKE, not_together, require_span
from mcp_server.kernel.values import Frozen, Line, Time

BODY_CHARACTERS_MAX = 200_000
EmailStatus = Literal[
    "waiting", "queued", "sending", "sent", "partly_sent", "failed", "unknown", "cancelled", "rejected",
    "delivered", "opened", "clicked", "bounced",
]  # fmt: skip
SoughtStatus = Annotated[
    EmailStatus,
    Meant(
        "a status",
        "sent",
        parts=r"^[a-z_]+$",
        also={
            "scheduled": "queued",
            "kept": "sent",
            "error": "failed",
            "canceled": "cancelled",
            "declined": "rejected",
            "read": "opened",
        },
    ),
]
_BY_TIME = (
    "since and until narrow by when mails were queued; events_read(type='email.sent', since=...) by when they went"
)
_UNSEARCHED = "what mails say is not searched: narrow by to, status or template, and read subjects in the list"
RECIPIENTS_MAX = 100
Content = Annotated[str, StringConstraints(max_length=BODY_CHARACTERS_MAX)]
Addresses = tuple[EmailAddress, ...]


def _key(template: Any) -> Any:
    """A template by its key, where its whole address is given."""
    return template.removeprefix("email-templates/") if isinstance(template, str) else template


_PLACEHOLDER = re.compile(r"\{\{\s*(\w{1,60})\s*\}\}")


def _put_in(text: str, variables: Mapping[str, Any]) -> str:
    """A text with what variables say in the places that name them."""

    def said(found: re.Match[str]) -> str:
        value = variables.get(found[1])
        return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else found[0]

    return _PLACEHOLDER.sub(said, text)


class EmailSpec(Frozen):
    """What a caller asks to send."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("from", "sender", "from_address"), "the operator sets the sender; reply_to says where answers go"
        ),
        **dict.fromkeys(
            ("schedule", "cron", "recurring"),
            "a mail goes once; a task with a schedule has an agent send one at each of its times",
        ),
        **dict.fromkeys(
            ("in_reply_to", "references", "thread_id", "email_id"),
            "reply_to takes the id of the mail that this answers",
        ),
        **dict.fromkeys(("delay", "delay_seconds"), "send_at takes a time, or such as 'in 2 hours'"),
        **dict.fromkeys(("priority", "importance"), "a mail has none; say it in the subject"),
    }

    to: Addresses = Field(min_length=1, max_length=RECIPIENTS_MAX)
    subject: Line | None = Field(default=None, examples=["The report is ready"])
    text: Content | None = Field(default=None, examples=["See the attached report."])
    html: Content | None = None
    template: Annotated[DocumentKey | None, BeforeValidator(_key)] = None
    variables: dict[str, Any] | None = None
    cc: Addresses = Field(default=(), max_length=RECIPIENTS_MAX)
    bcc: Addresses = Field(default=(), max_length=RECIPIENTS_MAX)
    reply_to: ReplyTo | None = Field(default=None, description="Or email id, to thread")
    attachments: tuple[AttachmentSpec, ...] = Field(default=(), max_length=10)
    send_at: Time | None = None
    idempotency_key: Line | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        check_all(self._has_one_content, self._makes_a_mail)
        return self

    def _has_one_content(self) -> None:
        if self.template is None:
            self._is_written_whole()
        elif any(part is not None for part in (self.subject, self.text, self.html)):
            raise not_together(
                "Give a `template`, or subject with text or html, not both.",
                **dict.fromkeys(("subject", "text", "html")),
            )

    def _is_written_whole(self) -> None:
        """A mail without a template says all by itself."""
        if lacks := self._lacks():
            raise not_together("An email needs `subject` and `text` or `html`, or a `template`.", **lacks)
        if self.variables is not None:
            self._require_template()

    def _require_template(self) -> None:
        """Refuse variables of a mail that is no template, with them put in; where some would be left, a call would send
        what is to be filled in."""
        said = "`variables` belong to a `template`; a mail says its words itself."
        parts = {name: getattr(self, name) for name in ("subject", "text", "html")}
        whole = {name: _put_in(text, self.variables or {}) for name, text in parts.items() if text is not None}
        if any("{{" in text for text in whole.values()):
            raise ValidationFailed(
                said,
                next="Write the words in, or keep them as a template: state_set(namespace='email-templates', ...).",
            )
        change: dict[str, Any] = {name: text for name, text in whole.items() if text != parts[name]}
        raise not_together(said, variables=None, **change)

    def _lacks(self) -> dict[str, Any]:
        """What makes a mail of it."""
        # Who answers a mail of ours need not say what about.
        subject = self.subject if answered(self.reply_to) is None else self.subject or ""
        said = subject, self.html if self.text is None else self.text
        return {name: LIKE for name, value in zip(("subject", "text"), said, strict=True) if value is None}

    def _makes_a_mail(self) -> None:
        for part in (self.text, self.html, self.subject):
            check_text(part or "", "email")
        if len(self.everyone()) > RECIPIENTS_MAX:
            raise ValidationFailed(f"At most {RECIPIENTS_MAX} recipients: split the email.")

    def everyone(self) -> list[str]:
        """Every address that gets the mail, each once."""
        return list(dict.fromkeys(plain_address(text) for text in (*self.to, *self.cc, *self.bcc)))

    def content_hash(self) -> str:
        """What an idempotency key is bound to: everything else that was said, in whichever order recipients stand."""
        # Who asks again often puts its list of people together anew, in no order of its own.
        recipients = {name: sorted(set(getattr(self, name))) for name in ("to", "cc", "bcc")}
        return self._content_hash({name: some for name, some in recipients.items() if some})

    def content_hashes_before(self) -> tuple[str, str]:
        """The same as it was made while the order counted, and up to 0.1.0 to the letter; rows of then still have
        them."""
        letter = dump_json(self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True))
        return self._content_hash({}), sha256_text(letter)

    def _content_hash(self, recipients: dict[str, list[str]]) -> str:
        said: dict[str, Any] = (
            self.model_dump(exclude={"idempotency_key", "send_at"}, exclude_defaults=True) | recipients
        )
        at = {"send_at": None if self.send_at is None else micros(self.send_at)}
        return canonical_hash(said | at | as_said(self))


class SendEmail(EmailSpec):
    """A mail is sent, or shown."""

    dry_run: bool = Field(default=False, description="Show it; send nothing")


class FindEmails(Listing):
    """Mails are listed, narrowed by what is given."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("text", "subject", "query", "search", "body"), _UNSEARCHED),
        **dict.fromkeys(("before", "after", "sent_since", "sent_after"), _BY_TIME),
    }

    to: Sought | None = None
    status: tuple[SoughtStatus, ...] = Field(default=(), max_length=20)
    template: Sought | None = None
    since: Time | None = None
    until: Time | None = None

    @model_validator(mode="after")
    def _has_a_span(self) -> Self:
        require_span(self.since, self.until)
        return self

    def statuses(self) -> list[str | None]:
        """Each status that is asked for, once; any, where none is named."""
        return list(dict.fromkeys(self.status)) or [None]
