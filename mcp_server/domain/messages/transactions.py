"""Transaction functions of messages."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.messages.model import (
    Addressed,
    Delivery,
    Message,
    Place,
    Sender,
    SendMessage,
    is_person,
)
from mcp_server.domain.messages.recipients import as_resolved, called, recipients_of, require_part
from mcp_server.domain.messages.texts import message_text
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.keys import Key, key_conflict
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import blank_of
from mcp_server.kernel.store import Transaction


class Sent(NamedTuple):
    """A message's columns; whose inboxes it went to; who takes part in its thread no more; and whether its idempotency
    key found it."""

    message: dict[str, Any]
    recipients: list[str]
    skipped: list[str]
    replayed: bool = False


def send(tx: Transaction, origin: Origin, command: SendMessage) -> Sent:
    """Put a message into the inbox of each recipient.

    Raises:
        NotFound: no such recipient or thread, or nobody has the capability.
        InvalidTransition: an agent that is named has left.
        PermissionDenied: the sender takes no part in the thread.
        IdempotencyConflict: the key was used for another message.
        LimitExceeded: too many would get it.
    """
    key = _key(tx, origin, command)
    earlier = _earlier(tx, key)
    if earlier is not None:
        return earlier
    message_id = origin.new_id("message")
    if command.thread_id is not None:
        command = command.model_copy(update={"thread_id": (thread_id := _thread_of(tx, command.thread_id))})
        require_part(tx, origin, thread_id)
    to = recipients_of(tx, origin, command)
    thread = Place(message_id, 1) if command.thread_id is None else _next_in_thread(tx, command.thread_id)
    places = {party: _next_place(tx, party) for party in to.parties}
    addressed = Addressed(list(to.parties.values()), places)
    sender = Sender(origin.actor, origin.party, origin.at)
    message, event = Message.sent(command, message_id, thread, addressed, sender, key)
    insert_message(tx, message.fields(), places)
    tx.append(origin, event)
    return Sent(message.fields(), list(to.parties), to.skipped)


def tell(tx: Transaction, origin: Origin, agent: Speaker, subject: str, body: str) -> None:
    """Put a message into an agent's inbox, of whoever has something done that the agent is to hear of."""
    message_id, places = origin.new_id("message"), {agent.agent_id: _next_place(tx, agent.agent_id)}
    sender, addressed = Sender(origin.actor, origin.party, origin.at), Addressed([agent.name], places)
    spec = SendMessage(to=(agent.agent_id,), subject=subject, body=body)
    message, event = Message.sent(spec, message_id, Place(message_id, 1), addressed, sender, Key())
    insert_message(tx, message.fields(), places)
    tx.append(origin, event)


def _thread_of(tx: Transaction, named: str) -> str:
    """The thread that is named by its id or by that of one of its messages."""
    row = tx.one("thread_of", id=named)
    return named if row is None else row["thread_id"]


def read(
    tx: Transaction, origin: Origin, party: str, thread_id: str | None, limit: int, importances: str
) -> tuple[list[dict[str, Any]], int]:
    """Take a party's unread messages, oldest first; from now on they count as read.

    Returns:
        The messages, and how many are unread still, in any thread.
    """
    rows = tx.all("inbox_unread", party=party, thread_id=thread_id, limit=limit, importances=importances)
    for row in rows:
        note(tx, origin, _delivery(row).read(origin.at))
        row["read_at"] = origin.at
    if len(rows) < limit and thread_id is None and importances.startswith("low"):
        return rows, 0
    count = tx.one("inbox_count", party=party)
    return rows, 0 if count is None else count["n"]


def take(tx: Transaction, origin: Origin, party: str, message_ids: Sequence[str]) -> None:
    """Count messages as read that a party has been shown elsewhere than in its inbox."""
    for message_id in message_ids:
        row = tx.one("delivery_for_update", message_id=message_id, party=party)
        if row is not None and row["read_at"] is None:
            note(tx, origin, Delivery.adopt(row).read(origin.at))


def acknowledge(tx: Transaction, origin: Origin, party: str, message_ids: Sequence[str]) -> None:
    """Acknowledge messages of a party's inbox. One that was acknowledged before stays so.

    Raises:
        NotFound: no such message in the inbox; then none is acknowledged.
    """
    deliveries: list[Delivery] = []
    for message_id in dict.fromkeys(message_ids):
        row = tx.one("delivery_for_update", message_id=message_id, party=party)
        if row is None:
            raise NotFound(
                f"{called(tx, party)} has got no message {named(message_id)}.",
                next="See messages_read with unread_only=false. No message was acknowledged.",
                details={"message_id": message_id},
            )
        deliveries.append(Delivery.adopt(row))
    for delivery in deliveries:
        if delivery.acknowledged_at is None:
            note(tx, origin, delivery.acknowledged(origin.at))


def miss(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Say so of a message that was not acknowledged in time."""
    note(tx, origin, Delivery.adopt(row).missed(origin.at))


def unread_of(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The messages that an agent has not read."""
    del origin
    return Holding.of("unread_messages", [row["message_id"] for row in tx.all("inbox_unread_ids", party=agent_id)])


def hand_over(
    tx: Transaction, origin: Origin, leaving: Speaker, heir: Speaker, reason: str | None, at_work: bool
) -> Holding | None:
    """Put what an agent that leaves has not read at the end of another's inbox. What that one has got itself, it does
    not get twice."""
    place, moved = _next_place(tx, heir.agent_id), list[str]()
    unread = tx.all("inbox_unread_ids", party=leaving.agent_id)
    got = tx.all("deliveries_of_both", party=leaving.agent_id, other=heir.agent_id) if unread else []
    has = {row["message_id"] for row in got}
    for delivery in map(Delivery.adopt, unread):
        has_it = delivery.message_id in has
        note(tx, origin, delivery.handed_over(heir.agent_id, None if has_it else place).because(reason))
        place += not has_it
        moved.append(delivery.message_id)
    return Holding.of("unread_messages", moved)


def insert_message(tx: Transaction, fields: dict[str, Any], places: dict[str, int]) -> None:
    """The rows of a message that has just been sent."""
    tx.run("message_insert", **fields)
    tx.keep_text("message", fields["id"], message_text(fields), new=True, at=fields["created_at"])
    for party, place in places.items():
        tx.run("delivery_insert", message_id=fields["id"], party=party, place=place, ack_due_at=fields["ack_due_at"])


def apply_to_delivery(tx: Transaction, event: Event) -> None:
    """What an event says of a message in one inbox, as its row."""
    data = event.data
    line = {"message_id": event.aggregate_id, "party": data["party"]}
    if event.type != "message.handed_over":
        changes = {name: data.get(name) for name in ("read_at", "acknowledged_at", "ack_missed_at", "ack_due_at")}
        tx.run("delivery_update", **line, **changes)
    elif data["place"] is None:
        tx.run("delivery_delete", **line)
    else:
        tx.run("delivery_move", **line, to=data["to"], place=data["place"])


def note(tx: Transaction, origin: Origin, event: Event) -> None:
    """Append what happened to a message in one inbox, and write it into its row."""
    apply_to_delivery(tx, event)
    tx.append(origin, event)


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery.adopt({name: row[name] for name in blank_of(Delivery)})


def _key(tx: Transaction, origin: Origin, command: SendMessage) -> Key:
    if command.idempotency_key is None:
        return Key()
    content = command.content_hash(as_resolved(tx, command.to))
    return Key(command.idempotency_key, origin.principal, content)


def _earlier(tx: Transaction, key: Key) -> Sent | None:
    if key.idempotency_key is None:
        return None
    row = tx.one("message_by_idempotency_key", key=key.idempotency_key, owner=key.key_owner)
    if row is None:
        return None
    if row["content_hash"] != key.content_hash:
        raise key_conflict(key.idempotency_key, "message", row["id"], row["subject"] or row["body"][:80])
    return Sent(row, [line["party"] for line in tx.all("deliveries_of", id=row["id"])], [], replayed=True)


def _next_in_thread(tx: Transaction, thread_id: str) -> Place:
    tx.one("order_guard", name=f"thread {thread_id}")
    row = tx.one("thread_end", thread_id=thread_id)
    return Place(thread_id, 1 if row is None else row["place"] + 1)


def _next_place(tx: Transaction, party: str) -> int:
    if is_person(party):  # an agent's row is locked already
        tx.one("order_guard", name=f"inbox {party}")
    row = tx.one("inbox_end", party=party)
    return 1 if row is None else row["place"] + 1


def delivery_key(row: Mapping[str, Any]) -> str:
    """How a delivery is called."""
    return f"{row['message_id']} to {row['party']}"
