"""What the events of locks rebuild: holds and the last token granted. Places in line are in no event."""

from typing import Any

from mcp_server.domain.locks.model import hold_of
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """One hold begins, lasts longer or ends."""
    name, token, data = event.aggregate_id, event.version, event.data
    if event.type in ("lock.acquired", "lock.handed_over"):
        if "of" in data:
            tx.run("lock_hold_of_delete", name=name, **data["of"])
        _insert(tx, name, token, {"speaker": origin.actor, **data})
    elif event.type in ("lock.renewed", "lock.righted"):
        tx.run("lock_hold_renew", name=name, fencing_token=token, expires_at=data["expires_at"])
    elif event.type != "lock.withdrawn":
        tx.run("lock_hold_delete", name=name, fencing_token=token)


def snapshot(tx: Transaction, name: str) -> dict[str, Any] | None:
    """The last token and every hold."""
    token = (tx.one("lock_token", name=name) or {}).get("last_token")
    return None if token is None else {"version": token, "holds": tx.all("lock_holds_whole", name=name)}


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The last token and every hold, in the place of what is there."""
    del origin
    name = event.aggregate_id
    known = {hold["fencing_token"]: hold for hold in tx.all("lock_holds_whole", name=name)}
    tx.run("lock_token_save", name=name, token=event.version)
    tx.run("lock_holds_clear", id=name)
    for hold in event.data["holds"]:
        token = hold["fencing_token"]
        _insert(tx, name, token, known.get(token, {"speaker": hold["owner"]}) | hold)


def _insert(tx: Transaction, name: str, token: int, data: dict[str, Any]) -> None:
    """A hold. What is older than parties belongs to who acquired it, as far as that is known: see migration 0007."""
    tx.run("lock_token_save", name=name, token=max(token, _last_token(tx, name)))
    hold = hold_of(name, token, {"party": data["speaker"].removeprefix("agent:")} | data)
    tx.run("lock_hold_insert", **hold.fields())


def _last_token(tx: Transaction, name: str) -> int:
    return (tx.one("lock_token", name=name) or {}).get("last_token", 0)
