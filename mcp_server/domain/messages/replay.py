"""What the events of messages rebuild: the message and its line in each inbox."""

from typing import Any

from mcp_server.domain.messages.transactions import apply_to_delivery, insert_message
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """A message is sent, or something becomes of it in one inbox."""
    del origin
    if event.type != "message.sent":
        apply_to_delivery(tx, event)
        return
    data = dict(event.data)
    places = data.pop("places")
    insert_message(tx, {"id": event.aggregate_id, "version": event.version} | data, places)


def snapshot(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """The message with its lines in all inboxes."""
    row = tx.one("message_whole", id=id_)
    return None if row is None else row | {"deliveries": tx.all("deliveries_whole", id=id_)}


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The message with its lines, in the place of what is there."""
    del origin
    data = dict(event.data)
    deliveries = data.pop("deliveries")
    tx.run("message_clear", id=event.aggregate_id)
    tx.run("message_insert", **data, version=event.version)
    for delivery in deliveries:
        tx.run("delivery_restore", **delivery)
