"""What callers see of messages."""

from typing import Any

from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View


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
    return MessageView(id=row["id"], **_message(row))


def inbox_view(row: Row) -> MessageView:
    """A message as it stands in an inbox."""
    return MessageView(
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


class SentMessage(View):
    """The message, and the agents that get it."""

    message: MessageView
    recipients: list[str]


class InboxView(View):
    """Messages, oldest first; how many are unread after this; and the cursor from which to go on."""

    messages: list[MessageView]
    unread: int
    cursor: str | None = None
