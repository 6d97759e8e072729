"""What callers see of messages, emails and approvals. Nulls are dropped when they are sent."""

import json
from typing import Any

from mcp_server.domain.values import iso, iso_or_none
from mcp_server.services.ports import Row
from mcp_server.services.views import View


class MessageView(View):
    """One message; in an inbox, with what became of it there."""

    id: str
    thread_id: str
    sender: str
    subject: str | None = None
    body: str
    importance: str
    sent_at: str
    ack_due_at: str | None = None
    acknowledged_at: str | None = None
    read_at: str | None = None


def message_view(row: Row) -> MessageView:
    """A message as its sender gets it back."""
    return MessageView.of(id=row["id"], **_message(row))


def inbox_view(row: Row) -> MessageView:
    """A message as it stands in an inbox."""
    return MessageView.of(
        id=row["message_id"],
        **_message(row),
        acknowledged_at=iso_or_none(row["acknowledged_at"]),
        read_at=iso_or_none(row["read_at"]),
    )


def _message(row: Row) -> dict[str, Any]:
    return {
        "thread_id": row["thread_id"],
        "sender": row["sender"],
        "subject": row["subject"],
        "body": row["body"],
        "importance": row["importance"],
        "sent_at": iso(row["created_at"]),
        "ack_due_at": iso_or_none(row["ack_due_at"]),
    }


class AnswerView(View):
    """One person's answer."""

    by: str
    granted: bool
    via: str
    at: str
    note: str | None = None


class ApprovalView(View):
    """One question to people. Lists leave the details out."""

    id: str
    status: str
    title: str
    action: str
    details: Any = None
    action_hash: str
    approvers: list[str] | None = None
    needed: int
    answers: list[AnswerView] | None = None
    task_id: str
    requested_by: str
    created_at: str
    expires_at: str | None = None
    decided_at: str | None = None


def approval_view(row: Row, *, full: bool = True) -> ApprovalView:
    """An approval as callers see it."""
    answers = [AnswerView.of(**answer) for answer in json.loads(row["answers"])]
    return ApprovalView.of(
        id=row["id"],
        status=row["status"],
        title=row["title"],
        action=row["action"],
        details=json.loads(row["details"]) if full and row["details"] is not None else None,
        action_hash=row["action_hash"],
        approvers=json.loads(row["approvers"]) or None,
        needed=row["needed"],
        answers=answers or None,
        task_id=row["task_id"],
        requested_by=row["requested_by"],
        created_at=iso(row["created_at"]),
        expires_at=iso_or_none(row["expires_at"]),
        decided_at=iso_or_none(row["decided_at"]),
    )


class OutcomeView(View):
    """What became of a mail at one recipient."""

    status: str
    code: int | None = None
    message: str | None = None


class AttachmentView(View):
    """A file that goes with a mail."""

    name: str
    media_type: str
    bytes: int


class EmailView(View):
    """One mail. Lists leave its text out."""

    id: str | None = None
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
    replayed: bool | None = None


def email_view(row: Row, *, full: bool = True, replayed: bool = False) -> EmailView:
    """A mail of the outbox as callers see it."""
    outcomes = {address: OutcomeView.of(**told) for address, told in json.loads(row["outcomes"]).items()}
    attachments = [
        AttachmentView.of(name=file["name"], media_type=file["media_type"], bytes=file["bytes"])
        for file in json.loads(row["attachments"])
    ]
    return EmailView.of(
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
        attachments=attachments or None,
        template=row["template"],
        send_at=iso_or_none(row["send_at"]),
        outcomes=outcomes or None,
        error=row["error"],
        task_id=row["task_id"],
        approval_id=row["approval_id"],
        created_by=row["created_by"],
        created_at=iso(row["created_at"]),
        sent_at=iso_or_none(row["sent_at"]),
        replayed=replayed or None,
    )


class TemplateView(View):
    """A template for emails, and what it has to be given."""

    name: str
    version: int
    subject: str | None = None
    variables: list[str] | None = None
    problem: str | None = None
