"""Tools of messages between agents and people."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.approvals.rules import UNKNOWN, Form
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.views import InboxView, SentMessage, SentView
from mcp_server.kernel.authority import VIA, Permission
from mcp_server.kernel.quoting import named, quoted
from tools.facts import MESSAGE, beside
from tools.inbox import say_read
from tools.spec import ADD, Part, Tool, several

_BODY_SHOWN = 80


def _say_sent(result: SentMessage) -> str:
    skipped = f" No longer there: {', '.join(result.skipped)}." if result.skipped else ""
    to = f"{result.message.id} sent to {', '.join(result.message.to)}"
    if result.message.replayed:
        return f"A repeat: under this key, message {to} before; nothing was sent now.{skipped}"
    about = f"{_say_away(result)}{_say_unknown(result.message.unknown or ())}"
    return f"Message {to}.{_say_alone(result.message)}{skipped}{about}"


def _say_unknown(people: Sequence[str]) -> str:
    """That a message waits for people who have not been here."""
    nobody = several(list(map(named, people)))
    return f" There is no {nobody} here yet: it waits for somebody who comes as that one." if people else ""


def _say_alone(message: SentView) -> str:
    """That nobody but its sender gets it: whoever registered an agent speaks as it, and may not have meant to."""
    speaker = message.sender.partition(VIA)[0].removeprefix("agent:")
    return f" That is yourself: {speaker} speaks here; as_agent names another." if message.to == [speaker] else ""


def _say_away(result: SentMessage) -> str:
    # Whoever waits for an answer of one that is not running waits in vain.
    away: dict[str, list[str]] = {}
    for one in result.away or ():
        away.setdefault(f"last seen {one.last_seen_at}", []).append(named(one.agent))
    gone = ", ".join(f"{several(names)} ({since})" for since, names in away.items())
    return f" No instance lives of {gone}: messages_read(sent=true) shows when it is read." if away else ""


def _says(args: SendMessage) -> str:
    to = several(list(map(named, args.to))) if args.to else "everyone in the thread"
    thread = f" in {named(args.thread_id)}" if args.thread_id is not None else ""
    return f"Send a message to {to}{thread}: {_words(args)}{beside(args, MESSAGE)}."


def _words(args: SendMessage) -> str:
    # Whoever says yes to it should not have to open the call to see what it is about.
    subject = "" if args.subject is None else f"{quoted(args.subject)}: "
    return f"{subject}{quoted(args.body, _BODY_SHOWN)}"


def _to_the_thread(args: SendMessage, said: dict[str, Any]) -> list[Form]:
    """Without recipients it goes to whoever takes part in the thread."""
    return [] if args.to else [Form("messages_send", said | {"to": [UNKNOWN]})]


TOOLS = (
    Tool(
        name="messages_send",
        title="Send a message",
        description="Write to agents or people; they find it with messages_read. thread_id without `to` answers all.",
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
        description="Take your unread messages; waits if asked. Acknowledge those that have ack_due_at.",
        toolset="communication",
        permission=Permission.MESSAGES_RECEIVE,
        hints=ADD,
        arguments=ReadMessages,
        result=InboxView,
        does=lambda desk: desk.messages.read,
        speaks="agent_id",
        say=say_read,
    ),
)
