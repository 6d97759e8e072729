"""Holds and places in line that rest on a clock that was ahead."""

from typing import Any

from mcp_server.domain.events.thinning import last_told
from mcp_server.domain.locks.meeting import guard
from mcp_server.domain.locks.model import Hold, Holder
from mcp_server.domain.locks.transactions import TIMED, stay
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Have a hold end as long after now as after the moment, which has not come yet, at which it was granted."""
    guard(tx, row["name"])
    for hold in map(Hold.adopt, tx.all("lock_holds_named", name=row["name"])):
        timed = last_told(tx, "lock", hold.name, TIMED, hold.fencing_token)
        if timed is not None and is_ahead(timed.at, origin.at):
            new, event = hold.righted(timed.at, origin.at)
            tx.run("lock_hold_renew", name=new.name, fencing_token=new.fencing_token, expires_at=new.expires_at)
            tx.append(origin, event)


def right_waiter(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Have a place in line last no longer than it may."""
    stay(tx, origin, row["name"], Holder(row["party"], row["owner"]))
