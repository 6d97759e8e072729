"""What callers see of messages."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View


class StateView(View):
    """What became of a message at one recipient."""

    recipient: str
    read_at: str | None = None
    acknowledged_at: str | None = None
    ack_missed_at: str | None = None


class MessageView(View):
    """One message, with who gets it by name. In an inbox, with what became of it there, and from whom it came there by
    whom, where it was sent to another; where it is looked at from the sender's side, with what became of it at the
    recipients (`states`)."""

    id: str
    thread_id: str
    sender: str
    to: list[str]
    subject: str | None = None
    body: str
    importance: str
    sent_at: str
    ack_due_at: str | None = None
    acknowledged_at: str | None = None
    read_at: str | None = None
    handed_over: dict[str, str] | None = None
    states: list[StateView] | None = None


class SentView(View):
    """A message as its sender gets it back, who knows what is in it; and which of the people who get it are no users
    here yet."""

    id: str
    thread_id: str
    sender: str
    to: list[str]
    sent_at: str
    ack_due_at: str | None = None
    replayed: bool | None = None
    unknown: list[str] | None = None


def sent_view(row: Row, *, replayed: bool) -> SentView:
    """A message that was just sent, or was sent before under the same key."""
    return SentView(
        id=row["id"],
        thread_id=row["thread_id"],
        sender=row["sender"],
        to=row["recipients"].split(),
        sent_at=iso(row["created_at"]),
        ack_due_at=iso_or_none(row["ack_due_at"]),
        replayed=replayed or None,
    )


def inbox_view(row: Row, handed_over: dict[str, str] | None = None) -> MessageView:
    """A message as it stands in an inbox, or in a thread."""
    return MessageView(
        id=row["message_id"],
        **_message(row),
        acknowledged_at=iso_or_none(row["acknowledged_at"]),
        read_at=iso_or_none(row["read_at"]),
        handed_over=handed_over,
    )


def thread_views(
    rows: Iterable[Row], states: Iterable[Row], party: str, handed: Mapping[str, dict[str, str]]
) -> list[MessageView]:
    """The messages of a thread, or that were found: those that a party sent itself with what became of them at the
    recipients, those that were handed over to it with by whom."""
    by_message = _by_message(states)
    return [
        inbox_view(row).evolved({"states": by_message.get(row["message_id"], [])})
        if row["sender_party"] == party
        else inbox_view(row, handed.get(row["message_id"]))
        for row in rows
    ]


def sent_views(rows: Iterable[Row], states: Iterable[Row]) -> list[MessageView]:
    """Messages with what became of them at the recipients."""
    by_message = _by_message(states)
    return [
        MessageView(id=row["message_id"], **_message(row), states=by_message.get(row["message_id"], [])) for row in rows
    ]


def owed_views(rows: Iterable[Row]) -> list[MessageView]:
    """Messages with the recipients whose acknowledgement is outstanding."""
    by_message: dict[str, list[Row]] = {}
    for row in rows:
        by_message.setdefault(row["message_id"], []).append(row)
    return sent_views([group[0] for group in by_message.values()], [one for g in by_message.values() for one in g])


def _by_message(states: Iterable[Row]) -> dict[str, list[StateView]]:
    return {id_: [_state(one) for one in group] for id_, group in groupby(states, lambda one: one["message_id"])}


def _state(row: Row) -> StateView:
    return StateView(
        recipient=row["name"],
        read_at=iso_or_none(row["read_at"]),
        acknowledged_at=iso_or_none(row["acknowledged_at"]),
        ack_missed_at=iso_or_none(row["ack_missed_at"]),
    )


def _message(row: Row) -> dict[str, Any]:
    return {
        "thread_id": row["thread_id"],
        "sender": row["sender"],
        "to": row["recipients"].split(),
        "subject": row["subject"],
        "body": row["body"],
        "importance": row["importance"],
        "sent_at": iso(row["created_at"]),
        "ack_due_at": iso_or_none(row["ack_due_at"]),
    }


class AwayView(View):
    """An agent of which no instance lives any more, and when one was seen last."""

    agent: str
    last_seen_at: str


class SentMessage(View):
    """The message; who gets it, agents by id and people as `user:NAME`; which of those is not here now; and who of its
    thread is there no more."""

    message: SentView
    recipients: list[str]
    away: list[AwayView] | None = None
    skipped: list[str] | None = None


STAY_UNREAD = "These stay unread: messages_read takes them without unread_only=false."
"""What is said where messages are looked at that their reader has not taken."""


class InboxView(View):
    """Messages, oldest first; how many are unread after this, and were acknowledged by it; the cursor from which to go
    on, and whether more are there already; and what it means that there are none, or whose they are."""

    messages: list[MessageView]
    unread: int
    acknowledged: int | None = None
    cursor: str | None = None
    more: bool | None = None
    hint: str | None = None
