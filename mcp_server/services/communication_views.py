"""What callers see of messages, emails and approvals. Nulls are dropped when they are sent."""

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
