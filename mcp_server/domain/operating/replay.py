"""Rebuilding from events: there is nothing to rebuild."""

from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def nothing(tx: Transaction, origin: Origin, event: Event) -> None:
    """The event is all that there is."""
    del tx, origin, event
