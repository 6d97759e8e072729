"""Documents whose end was computed by a clock that was ahead."""

from typing import Any

from mcp_server.domain.events.thinning import last_told
from mcp_server.domain.state.model import Document
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Have a document expire as long after now as after the moment, which has not come yet, at which it was set."""
    head = tx.one("document_for_update", id=row["id"])
    if head is not None:
        righted(tx, origin, Document.adopt(head))


def righted(tx: Transaction, origin: Origin, document: Document) -> Document:
    """A document whose end is where it would be by a clock that is right."""
    if document.expires_at is None or not is_ahead(document.updated_at, origin.at):
        return document
    timed = last_told(tx, "document", document.id, ("document.set",))
    new, event = document.righted(origin.at if timed is None else timed.at, origin.at)
    tx.record(origin, event)
    return new
