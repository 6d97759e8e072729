"""What the events of messages rebuild: the message and its line in each inbox."""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_server.domain.messages.model import NO_KEY
from mcp_server.domain.messages.texts import message_text
from mcp_server.domain.messages.transactions import apply_to_delivery, insert_message
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """A message is sent, or something becomes of it in one inbox."""
    del origin
    if event.type != "message.sent":
        apply_to_delivery(tx, event._replace(data=_of_party(event.data)))
        return
    data = dict(event.data)
    places = data.pop("places")
    insert_message(tx, _whole(tx, {"id": event.aggregate_id, "version": event.version} | data, places), places)


def snapshot(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """The message with its lines in all inboxes."""
    row = tx.one("message_whole", id=id_)
    return None if row is None else row | {"deliveries": tx.all("deliveries_whole", id=id_)}


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The message with its lines, in the place of what is there."""
    del origin
    data = dict(event.data)
    lines = [_of_party(delivery) for delivery in data.pop("deliveries")]
    row = _whole(tx, data | {"version": event.version}, [line["party"] for line in lines])
    is_new = tx.one("message_whole", id=event.aggregate_id) is None
    tx.run("message_clear", id=event.aggregate_id)
    tx.run("message_insert", **row)
    tx.keep_text("message", event.aggregate_id, message_text(row), new=is_new, at=row["created_at"])
    for line in lines:
        tx.run("delivery_restore", **line)


def _whole(tx: Transaction, data: dict[str, Any], parties: Iterable[str]) -> dict[str, Any]:
    """Up to 0.1.0 a sender was a user or an agent with a key of its own, recipients had no names and threads no places.
    What was sent without a key does not tell of one."""
    data = NO_KEY | data
    if "place" in data:
        return data
    later = {"sender_party": data["sender"].removeprefix("agent:"), "place": _before_all(tx, data)}
    return data | later | {"recipients": " ".join(sorted(parties))}


def _before_all(tx: Transaction, data: dict[str, Any]) -> int:
    """A place below zero, for a message of which no event says the place: see `threads_fill`, which gives it one in the
    end, when all those are known that do say theirs."""
    known = tx.one("message_whole", id=data["id"])
    if known is not None:
        return known["place"]
    first = tx.one("thread_start", thread_id=data["thread_id"]) or {"place": 0}
    return min(first["place"], 0) - 1


def _of_party(data: Mapping[str, Any]) -> dict[str, Any]:
    """Up to 0.1.0 only agents had inboxes."""
    told = dict(data)
    return told if "party" in told else {"party": told.pop("agent_id")} | told
