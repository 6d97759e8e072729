"""What is said of messages that were read: who has read them, what is urgent, what is to be acknowledged."""

from mcp_server.domain.messages.views import STAY_UNREAD, InboxView, MessageView
from mcp_server.kernel.quoting import named
from tools.spec import listed, several

_READERS_SHOWN = 3
"""Of how many messages it is said who has read them."""


def say_read(result: InboxView) -> str:
    """What a reading of messages found, in words."""
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
    return f"{message.id} is read by {len(states) - len(missing)} of {len(states)}{unread}.{_say_owed(message)}"


def _say_owed(message: MessageView) -> str:
    """Who has not acknowledged a message that asks for it: whoever answered it may take that for enough."""
    owing = [named(one.recipient) for one in message.states or () if one.acknowledged_at is None]
    if message.ack_due_at is None or not owing:
        return ""
    return f" Not acknowledged by {several(owing)}: an answer does not, messages_read(acknowledge=[...]) does."


def _say_urgent(result: InboxView) -> str:
    # A page is in the order of time: what is urgent may stand behind what is not.
    urgent = [one.id for one in result.messages if one.importance == "urgent" and one.states is None]
    return f"Urgent: {several(urgent)}." if urgent else ""


def _say_acknowledged(result: InboxView) -> str:
    return f"Acknowledged {result.acknowledged}." if result.acknowledged else ""


def _say_more(result: InboxView) -> str:
    return f"More is there: go on with after='{result.cursor}'." if result.more else ""


def _say_due(result: InboxView) -> str:
    # Where a hint stands, it names the call already.
    waits = [one.id for one in result.messages if _is_due(one) and result.hint in (None, STAY_UNREAD)]
    return f"To be acknowledged by messages_read(acknowledge=[...]): {', '.join(waits)}." if waits else ""


def _is_due(message: MessageView) -> bool:
    """Whether whoever got a message is to acknowledge it still; its sender is shown what became of it instead."""
    return message.states is None and message.ack_due_at is not None and message.acknowledged_at is None
