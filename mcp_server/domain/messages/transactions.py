"""Transaction functions of messages between agents."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.model import no_agent
from mcp_server.domain.agents.transactions import load_agent, with_skill
from mcp_server.domain.messages.model import RECIPIENTS_MAX, Delivery, Message, SendMessage
from mcp_server.kernel.errors import LimitExceeded, NotFound
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import blank_of
from mcp_server.kernel.store import Transaction

_BATCH = 100


class Sent(NamedTuple):
    """A message's columns, and whose inboxes it went to."""

    message: dict[str, Any]
    recipients: list[str]


def send(tx: Transaction, origin: Origin, command: SendMessage) -> Sent:
    """Put a message into the inbox of each recipient: the agents named, and whoever has the capability.

    Raises:
        NotFound: no such agent or thread, or nobody has the capability.
        LimitExceeded: too many have it.
    """
    message_id = origin.new_id("message")
    thread_id = message_id if command.thread_id is None else _require_thread(tx, command.thread_id)
    recipients = _recipients(tx, command.agents(), command.capabilities())
    places = {agent_id: _next_place(tx, agent_id) for agent_id in recipients}
    message, event = Message.sent(message_id, command, thread_id, places, origin.actor, origin.at)
    insert_message(tx, message.fields(), places)
    tx.append(origin, event)
    return Sent(message.fields(), recipients)


def read(
    tx: Transaction, origin: Origin, agent_id: str, thread_id: str | None, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Take an agent's unread messages, oldest first; from now on they count as read.

    Returns:
        The messages, and how many are unread still, in any thread.
    """
    rows = tx.all("inbox_unread", agent_id=agent_id, thread_id=thread_id, limit=limit)
    for row in rows:
        _apply(tx, origin, _delivery(row).read(origin.at))
        row["read_at"] = origin.at
    if len(rows) < limit and thread_id is None:
        return rows, 0
    count = tx.one("inbox_count", agent_id=agent_id)
    return rows, 0 if count is None else count["n"]


def acknowledge(tx: Transaction, origin: Origin, agent_id: str, message_ids: Sequence[str]) -> None:
    """Acknowledge messages of an agent's inbox. One that was acknowledged before stays so.

    Raises:
        NotFound: no such message in the inbox; then none is acknowledged.
    """
    deliveries: list[Delivery] = []
    for message_id in dict.fromkeys(message_ids):
        row = tx.one("delivery_for_update", message_id=message_id, agent_id=agent_id)
        if row is None:
            raise NotFound(
                f"Agent {agent_id} has no message {named(message_id)}.",
                next="See messages_read with unread_only=false. None of the messages named was acknowledged.",
                details={"message_id": message_id},
            )
        deliveries.append(Delivery.adopt(row))
    for delivery in deliveries:
        if delivery.acknowledged_at is None:
            _apply(tx, origin, delivery.acknowledged(origin.at))


def miss(tx: Transaction, origin: Origin) -> int:
    """Say so of messages that were not acknowledged in time; how many."""
    rows = tx.all("deliveries_overdue", now=origin.at, limit=_BATCH)
    for row in rows:
        _apply(tx, origin, Delivery.adopt(row).missed(origin.at))
    return len(rows)


def insert_message(tx: Transaction, fields: dict[str, Any], places: dict[str, int]) -> None:
    """The rows of a message that has just been sent."""
    tx.run("message_insert", **fields)
    for agent_id, place in places.items():
        tx.run(
            "delivery_insert",
            message_id=fields["id"],
            agent_id=agent_id,
            place=place,
            ack_due_at=fields["ack_due_at"],
        )


def apply_to_delivery(tx: Transaction, event: Event) -> None:
    """What an event says of a message in one inbox, as its row."""
    data = event.data
    tx.run(
        "delivery_update",
        message_id=event.aggregate_id,
        agent_id=data["agent_id"],
        read_at=data.get("read_at"),
        acknowledged_at=data.get("acknowledged_at"),
        ack_missed_at=data.get("ack_missed_at"),
    )


def _apply(tx: Transaction, origin: Origin, event: Event) -> None:
    apply_to_delivery(tx, event)
    tx.append(origin, event)


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery.adopt({name: row[name] for name in blank_of(Delivery)})


def _require_thread(tx: Transaction, thread_id: str) -> str:
    if tx.one("thread_known", thread_id=thread_id) is None:
        raise NotFound(
            f"There is no thread {named(thread_id)}.",
            next="Leave thread_id out to begin one; an answer takes the thread_id of what it answers.",
            details={"thread_id": thread_id},
        )
    return thread_id


def _recipients(tx: Transaction, to: Sequence[str], capabilities: Sequence[str]) -> list[str]:
    recipients = dict.fromkeys(sorted(set(to)))
    for agent_id in recipients:
        if load_agent(tx, agent_id).lifecycle == "terminated":
            raise no_agent(agent_id)
    for capability in dict.fromkeys(capabilities):
        found = with_skill(tx, capability, RECIPIENTS_MAX + 1)
        if not found:
            raise NotFound(
                f"No agent has the capability {capability!r}, so nobody would get the message.",
                next="See agents_find, or name the recipients.",
                details={"capability": capability},
            )
        recipients |= dict.fromkeys(found)
    if len(recipients) > RECIPIENTS_MAX:
        raise LimitExceeded(
            f"More than {RECIPIENTS_MAX} agents would get this message.",
            next="Name those who need it.",
            details={"recipients_max": RECIPIENTS_MAX},
        )
    return list(recipients)


def _next_place(tx: Transaction, agent_id: str) -> int:
    row = tx.one("inbox_end", agent_id=agent_id)
    return 1 if row is None else row["place"] + 1
