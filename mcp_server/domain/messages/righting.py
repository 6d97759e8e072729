"""Acknowledgements that are due by a clock that was ahead."""

from typing import Any

from mcp_server.domain.messages.model import Delivery
from mcp_server.domain.messages.transactions import note
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Have a message that was sent at a moment that has not come yet acknowledged as long after now."""
    line = tx.one("delivery_for_update", message_id=row["message_id"], party=row["party"])
    if line is not None and line["ack_due_at"] > origin.at + row["within"]:
        note(tx, origin, Delivery.adopt(line).righted(origin.at + row["within"]))
