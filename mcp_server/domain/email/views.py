"""What callers see of emails."""

import json
from typing import Any, Self, cast

from mcp_server.domain.email.threads import answered
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View

OWN_MAILS = Private(Permission.EMAILS_CONTROL, "email_own")
"""In lists of mails: those that the caller's principal had sent, whoever spoke for it."""


class OutcomeView(View):
    """What became of a mail at one recipient."""

    status: str
    code: int | None = None
    message: str | None = None


class AttachmentView(View):
    """A file that goes with a mail; of one that is a document, of which version, `namespace/key@3`."""

    name: str
    media_type: str
    bytes: int
    document: str | None = None


class EmailView(View):
    """One mail. Lists leave its text out."""

    id: str
    status: str
    provider: str
    message_id: str | None = None
    sender: str
    to: list[str]
    cc: list[str] | None = None
    bcc: list[str] | None = None
    reply_to: str | None = None
    subject: str
    text: str | None = None
    html: str | None = None
    attachments: list[AttachmentView] | None = None
    template: str | None = None
    send_at: str | None = None
    outcomes: dict[str, OutcomeView] | None = None
    error: str | None = None
    task_id: str | None = None
    approval_id: str | None = None
    created_by: str | None = None
    created_at: str | None = None
    sent_at: str | None = None


class EmailState(View):
    """Where a mail stands once it is queued, and to whom it goes, which tells it from others of one commit: its sender
    knows what it says. A dry run, which is for that, shows it."""

    id: str | None = None
    status: str
    provider: str
    message_id: str | None = None
    task_id: str | None = None
    approval_id: str | None = None
    send_at: str | None = None
    replayed: bool | None = None
    sender: str | None = None
    to: list[str] | None = None
    cc: list[str] | None = None
    bcc: list[str] | None = None
    reply_to: str | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: list[AttachmentView] | None = None
    template: str | None = None
    recipients: dict[str, str] | None = None


def email_state(row: Row, *, replayed: bool) -> EmailState:
    """A mail that was just put into the outbox, or stands there under the same key."""
    return EmailState(
        id=row["id"],
        status=row["status"],
        provider=row["provider"],
        message_id=row["message_id"],
        task_id=row["task_id"],
        approval_id=row["approval_id"],
        to=json.loads(row["recipients"]),
        cc=json.loads(row["cc"]) or None,
        bcc=json.loads(row["bcc"]) or None,
        send_at=iso_or_none(row["send_at"]),
        # What its caller may not have written itself.
        subject=row["subject"] if row["template"] is not None or answered(row["reply_to"]) else None,
        replayed=replayed or None,
    )


def email_view(row: Row, *, full: bool = True) -> EmailView:
    """A mail of the outbox as callers see it."""
    return EmailView(
        id=row["id"],
        status=row["status"],
        provider=row["provider"],
        message_id=row["message_id"],
        sender=row["sender"],
        to=json.loads(row["recipients"]),
        cc=json.loads(row["cc"]) or None,
        bcc=json.loads(row["bcc"]) or None,
        reply_to=row["reply_to"],
        subject=row["subject"],
        text=row["text"] if full else None,
        html=row["html"] if full else None,
        attachments=_attachments(row) or None,
        template=row["template"],
        send_at=iso_or_none(row["send_at"]),
        outcomes=_outcomes(row) or None,
        error=row["error"],
        task_id=row["task_id"],
        approval_id=row["approval_id"],
        created_by=row["created_by"],
        created_at=iso(row["created_at"]),
        sent_at=iso_or_none(row["sent_at"]),
    )


def _attachments(row: Row) -> list[AttachmentView]:
    files = json.loads(row["attachments"])
    return [AttachmentView(**told) for told in attachments_told(files)]


def attachments_told(files: Any) -> list[dict[str, Any]]:
    """The files of a mail as its events tell of them to callers: not what is in them."""
    known = cast("list[Any]", files) if isinstance(files, list) else []
    return [
        {name: file[name] for name in ("name", "media_type", "bytes", "document") if name in file}
        for file in (cast("dict[str, Any]", one) for one in known if isinstance(one, dict))
    ]


def _outcomes(row: Row) -> dict[str, OutcomeView]:
    return {address: OutcomeView(**told) for address, told in json.loads(row["outcomes"]).items()}


class TemplateView(View):
    """A template for emails, and what it has to be given."""

    name: str
    version: int
    subject: str | None = None
    variables: list[str] | None = None
    problem: str | None = None


class SentEmail(View):
    """The email, the task that sends it, and what may not have been meant."""

    email: EmailState
    task: TaskState | None = None
    warnings: list[str] | None = None

    def kept(self) -> Self:
        """Without its subject: who may see tasks need not see mails."""
        return self.evolved({"email": self.email.evolved({"subject": None})})
