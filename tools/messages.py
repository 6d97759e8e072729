"""Tools of messages between agents and people."""

from typing import Any

from mcp_server.domain.approvals.rules import UNKNOWN, Form
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import InboxView, MessageView, SentMessage
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.quoting import named, quoted
from tools.facts import MESSAGE, beside
from tools.spec import ADD, Part, Tool, listed, several

_READERS_SHOWN = 3
"""Of how many messages it is said who has read them."""


def _say_sent(result: SentMessage) -> str:
    skipped = f" No longer there: {', '.join(result.skipped)}." if result.skipped else ""
    to = f"{result.message.id} sent to {', '.join(result.message.to)}"
    if result.message.replayed:
        return f"A repeat: under this key, message {to} before; nothing was sent now.{skipped}"
    return f"Message {to}.{skipped}"


def _say_read(result: InboxView) -> str:
    found = f"{listed(len(result.messages), 'message', None)} {_say_readers(result) or f'{result.unread} unread.'}"
    said = (_say_acknowledged(result), result.hint, found, _say_urgent(result), _say_more(result), _say_due(result))
    return " ".join(filter(None, said))


def _say_readers(result: InboxView) -> str:
    """Of what was sent, who has read the newest; nothing where other messages are among it."""
    all_known = all(one.states and len(one.states) == len(one.to) for one in result.messages)
    return " ".join(map(_readers, result.messages[:_READERS_SHOWN])) if all_known else ""


def _readers(message: MessageView) -> str:
    states = message.states or []
    missing = [named(one.recipient) for one in states if one.read_at is None]
    unread = f"; not by {several(missing)}" if missing else ""
    return f"{message.id} is read by {len(states) - len(missing)} of {len(states)}{unread}."


def _say_urgent(result: InboxView) -> str:
    urgent = [one.id for one in result.messages if one.importance == "urgent" and one.states is None]
    return f"Urgent: {several(urgent)}." if urgent else ""


def _say_acknowledged(result: InboxView) -> str:
    return f"Acknowledged {result.acknowledged}." if result.acknowledged else ""


def _say_more(result: InboxView) -> str:
    return f"More is there: go on with after='{result.cursor}'." if result.more else ""


def _say_due(result: InboxView) -> str:
    waits = [one.id for one in result.messages if _is_due(one) and result.hint is None]
    return f"To be acknowledged by messages_read(acknowledge=[...]): {', '.join(waits)}." if waits else ""


def _is_due(message: MessageView) -> bool:
    """Whether whoever got a message is to acknowledge it still; its sender is shown what became of it instead."""
    return message.states is None and message.ack_due_at is not None and message.acknowledged_at is None


def _says(args: SendMessage) -> str:
    to = several(list(map(named, args.to))) if args.to else "everyone in the thread"
    thread = f" in {named(args.thread_id)}" if args.thread_id is not None else ""
    return f"Send a message to {to}{thread}: {quoted(args.subject or args.body)}{beside(args, MESSAGE)}."


def _to_the_thread(args: SendMessage, said: dict[str, Any]) -> list[Form]:
    """Without recipients it goes to whoever takes part in the thread."""
    return [] if args.to else [Form("messages_send", said | {"to": [UNKNOWN]})]


TOOLS = (
    Tool(
        name="messages_send",
        title="Send a message",
        description="Write to agents or people; they find it with messages_read. To answer all in a thread, give its "
        "thread_id and no `to`.",
        toolset="communication",
        permission=Permission.MESSAGES_SEND,
        hints=ADD,
        arguments=SendMessage,
        result=SentMessage,
        write=lambda desk: desk.messages.send,
        part=Part(
            _says,
            makes=lambda args: ["message"],
            made=lambda done: [done.message["id"]],
            names=frozenset(("thread_id",)),
            refers={"to": "party"},
            forms=_to_the_thread,
            is_private=True,
        ),
        others_words=False,
        say=_say_sent,
    ),
    Tool(
        name="messages_read",
        title="Read messages",
        description="Take your unread messages, waiting for some if asked. Acknowledge those that have ack_due_at.",
        toolset="communication",
        permission=Permission.MESSAGES_RECEIVE,
        hints=ADD,
        arguments=ReadMessages,
        result=InboxView,
        does=lambda desk: desk.messages.read,
        speaks="agent_id",
        say=_say_read,
    ),
)
