"""Thinning out the event log: what lives gets a snapshot event, then its older events are dropped.

A snapshot holds the whole row, so that a rebuild starts at it. What it replaces depends on the kind:

- an archived task: all of its events, once none is younger than the horizon;
- a schedule, and all that is no task (agents, documents, locks, ...): its events up to the horizon;
- a task that is not archived keeps its history, since others may still depend on how it came about.

Snapshots stay until the next one of the same aggregate, so every aggregate keeps at least one event.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.events import Event, Origin
from mcp_server.domain.values import RawJson, dump_json
from mcp_server.persistence.event_log import JSON_COLUMNS, SNAPSHOT, Position
from mcp_server.persistence.transaction import Row, Transaction


@dataclass(frozen=True, slots=True)
class Thinned:
    """Where one step got to (None: at the end), and how many events it dropped."""

    position: Position | None
    dropped: int


def begin_thinning(tx: Transaction, origin: Origin, before: int) -> Position | None:
    """Move the horizon to the last event older than a moment; None where there is none.

    From now on a cursor before it is refused. What agents used is told once more first: the tasks that say so may go.
    """
    row = tx.one("event_last_before", before=before)
    if row is None:
        return None
    horizon = Position.of(row)
    known = tx.one("event_horizon")
    if known is None or Position.of(known) < horizon:
        tx.run("event_horizon_save", xid=horizon.xid, seq=horizon.seq, at=origin.at)
    for used in tx.all("snapshot_of_usage"):
        told = used.pop("told")
        if told is None or json.loads(told) != used:
            id_ = f"{used['agent_id']}/{used['month']}"
            tx.all("events_drop", type="usage", id=id_, **_upto(horizon))
            _snapshot(tx, origin, "usage", id_, 1, used)
    return horizon


def thin_out(tx: Transaction, origin: Origin, after: Position, horizon: Position, limit: int) -> Thinned:
    """Take up to `limit` events after a position and thin out the history of what they tell of."""
    rows = tx.all("events_between", xid=after.xid, seq=after.seq, **_upto(horizon), limit=limit)
    if not rows:
        return Thinned(None, 0)
    told = dict.fromkeys(
        (row["aggregate_type"], row["aggregate_id"]) for row in rows if not row["type"].endswith(SNAPSHOT)
    )
    dropped = sum(_thin(tx, origin, type_, id_, horizon) for type_, id_ in told)
    return Thinned(Position.of(rows[-1]), dropped)


def versions_digest(rows: Iterable[Row]) -> str:
    """SHA-256 over the facts of a document's versions, oldest first."""
    facts = [[row[name] for name in ("version", "sha256", "bytes", "author", "at")] for row in rows]
    return hashlib.sha256(dump_json(facts).encode()).hexdigest()


def _upto(horizon: Position) -> dict[str, int]:
    return {"upto_xid": horizon.xid, "upto_seq": horizon.seq}


def _thin(tx: Transaction, origin: Origin, type_: str, id_: str, horizon: Position) -> int:
    if type_ == "task" and not _may_thin_task(tx, id_, horizon):
        return 0
    row = _ROWS[type_](tx, id_)
    if row is not None:
        version: int = row.pop("version")
        data = row | {name: RawJson(row[name]) for name in JSON_COLUMNS.get(type_, ()) if row[name] is not None}
        _snapshot(tx, origin, type_, id_, version, data)
    return len(tx.all("events_drop", type=type_, id=id_, **_upto(horizon)))


def _may_thin_task(tx: Transaction, id_: str, horizon: Position) -> bool:
    live = tx.one("task_for_update", id=id_)
    if live is not None:
        return live["schedule"] is not None and live["waits_on"] == 0 and not tx.all("dependents", parent_id=id_)
    return tx.one("events_of_since", type="task", id=id_, **_upto(horizon)) is None


def _snapshot(tx: Transaction, origin: Origin, type_: str, id_: str, version: int, data: dict[str, Any]) -> None:
    tx.append(origin, Event(f"{type_}{SNAPSHOT}", type_, id_, version, data))


def _task(tx: Transaction, id_: str) -> dict[str, Any] | None:
    return tx.one("task_for_update", id=id_) or tx.one("snapshot_of_archived_task", id=id_)


def _document(tx: Transaction, id_: str) -> dict[str, Any] | None:
    row = tx.one("document_for_update", id=id_)
    return None if row is None else row | {"versions_sha256": versions_digest(tx.all("snapshot_of_versions", id=id_))}


def _lock(tx: Transaction, id_: str) -> dict[str, Any] | None:
    token = (tx.one("lock_guard", name=id_) or {}).get("last_token")
    return None if token is None else {"version": token, "holds": tx.all("snapshot_of_holds", name=id_)}


def _message(tx: Transaction, id_: str) -> dict[str, Any] | None:
    row = tx.one("snapshot_of_message", id=id_)
    return None if row is None else row | {"deliveries": tx.all("snapshot_of_deliveries", id=id_)}


_ROWS: dict[str, Callable[[Transaction, str], dict[str, Any] | None]] = {
    "agent": lambda tx, id_: tx.one("agent_for_update", id=id_),
    "instance": lambda tx, id_: tx.one("snapshot_of_instance", id=id_),
    "task": _task,
    "document": _document,
    "lock": _lock,
    "message": _message,
    "email": lambda tx, id_: tx.one("email_for_update", id=id_),
    "approval": lambda tx, id_: tx.one("approval_for_update", id=id_),
}
