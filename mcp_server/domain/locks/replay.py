"""What the events of locks rebuild: holds and the last token granted. Places in line are in no event."""

from typing import Any

from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """One hold begins, lasts longer or ends."""
    del origin
    name, owner, data = event.aggregate_id, event.data["owner"], event.data
    if event.type == "lock.acquired":
        tx.run("lock_token_save", name=name, token=event.version)
        facts = {key: data[key] for key in ("mode", "expires_at", "acquired_at")}
        tx.run("lock_hold_insert", name=name, owner=owner, fencing_token=event.version, **facts)
    elif event.type == "lock.renewed":
        tx.run("lock_hold_renew", name=name, owner=owner, expires_at=data["expires_at"])
    else:
        tx.run("lock_hold_delete", name=name, owner=owner)


def snapshot(tx: Transaction, name: str) -> dict[str, Any] | None:
    """The last token and every hold."""
    token = (tx.one("lock_guard", name=name) or {}).get("last_token")
    return None if token is None else {"version": token, "holds": tx.all("lock_holds_whole", name=name)}


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The last token and every hold, in the place of what is there."""
    del origin
    tx.run("lock_token_save", name=event.aggregate_id, token=event.version)
    tx.run("lock_holds_clear", id=event.aggregate_id)
    for hold in event.data["holds"]:
        tx.run("lock_hold_insert", name=event.aggregate_id, **hold)
