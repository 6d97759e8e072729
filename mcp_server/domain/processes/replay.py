"""What the events of processes rebuild, where that is more than their rows."""

from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """One that is forgotten is gone."""
    del origin
    if event.type == "process.forgotten":
        tx.run("process_delete", id=event.aggregate_id)
        return
    known = tx.one("process_for_update", id=event.aggregate_id)
    if known is not None or "created_at" in event.data:
        tx.fold(event._replace(creates=known is None))
