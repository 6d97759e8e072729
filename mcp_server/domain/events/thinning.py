"""Thinning out the event log: what lives gets a snapshot event, then its older events are dropped.

A snapshot holds the whole row, so that a rebuild starts at it. What it replaces depends on the kind:

- an archived task: all of its events, once none is younger than the horizon;
- a schedule, and all that is no task (agents, documents, locks, ...): its events up to the horizon;
- a task that is not archived keeps its history, since others may still depend on how it came about.

Snapshots stay until the next one of the same aggregate, so every aggregate keeps at least one event.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from mcp_server.kernel.area import Aggregate
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.events import SNAPSHOT, Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.positions import Position
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros

DROPPED_MAX = 1000
"""How many events one transaction drops, for which everyone else waits."""


class Thinned(NamedTuple):
    """Where one step got to (None: at the end), and how many events it dropped."""

    position: Position | None
    dropped: int


def begin_thinning(tx: Transaction, origin: Origin, areas: Areas, before: int) -> Position | None:
    """Move the horizon to the last event older than a moment; None where there is none.

    From now on a cursor before it is refused. What only old events say is told once more first.
    """
    row = tx.one("event_last_before", before=before)
    if row is None:
        return None
    horizon = Position.of(row)
    known = tx.one("event_horizon")
    if known is None or Position.of(known) < horizon:
        tx.run("event_horizon_save", xid=horizon.xid, seq=horizon.seq, at=origin.at)
    for aggregate in areas.aggregates.values():
        if aggregate.retell is not None:
            for id_, data in aggregate.retell(tx):
                _retell(tx, origin, aggregate.type, id_, data, horizon)
    return horizon


def thin_out(tx: Transaction, origin: Origin, areas: Areas, after: Position, horizon: Position, limit: int) -> Thinned:
    """Take up to `limit` events after a position and thin out the history of what they tell of, as far as that is no
    more than others can wait for: then the position stays where it was."""
    rows = tx.all("events_between", xid=after.xid, seq=after.seq, **_upto(horizon), limit=limit)
    if not rows:
        return Thinned(None, 0)
    told = dict.fromkeys(
        (row["aggregate_type"], row["aggregate_id"]) for row in rows if not row["type"].endswith(SNAPSHOT)
    )
    left = DROPPED_MAX
    for type_, id_ in told:
        left -= _thin(tx, origin, areas.aggregates[type_], id_, horizon, left)
        if left == 0:
            return Thinned(after, DROPPED_MAX)
    return Thinned(Position.of(rows[-1]), DROPPED_MAX - left)


def has_events_since(tx: Transaction, type_: str, id_: str, upto: dict[str, int]) -> bool:
    """Whether something happened to an aggregate after a place in the log, as `may_thin` is given it."""
    return tx.one("events_of_since", type=type_, id=id_, **upto) is not None


def last_event(tx: Transaction, type_: str, id_: str) -> int | None:
    """The number of the newest event of a type that tells of an aggregate; None where it is not kept."""
    row = tx.one("event_last_of", type=type_, id=id_)
    return None if row is None else row["seq"]


class Told(NamedTuple):
    """What happened, and when."""

    type: str
    at: Micros


def last_told(
    tx: Transaction, aggregate_type: str, id_: str, types: Sequence[str], version: int | None = None
) -> Told | None:
    """The newest event of these types that tells of an aggregate, or of one version of it; None where none is kept."""
    told = {"aggregate_type": aggregate_type, "id": id_, "version": version, "types": dump_json(list(types))}
    row = tx.one("event_last_told", **told)
    return None if row is None else Told(row["type"], row["at"])


class Happened(NamedTuple):
    """One event as it stands in the log."""

    type: str
    version: int
    at: Micros
    actor: str
    data: dict[str, Any]


def newest_of(tx: Transaction, type_: str, id_: str, limit: int) -> list[Happened]:
    """The last events that tell of an aggregate, the newest first."""
    rows = tx.all("events_newest_of", type=type_, id=id_, limit=limit)
    return [Happened(row["type"], row["version"], row["at"], row["actor"], json.loads(row["data"])) for row in rows]


def _upto(horizon: Position) -> dict[str, int]:
    return {"upto_xid": horizon.xid, "upto_seq": horizon.seq}


def _thin(tx: Transaction, origin: Origin, aggregate: Aggregate, id_: str, horizon: Position, limit: int) -> int:
    if not _is_told(tx, aggregate.type, id_, horizon):
        if aggregate.may_thin is not None and not aggregate.may_thin(tx, id_, _upto(horizon)):
            return 0
        _tell_whole(tx, origin, aggregate, id_)
    return len(tx.all("events_drop", type=aggregate.type, id=id_, **_upto(horizon), limit=limit))


def _tell_whole(tx: Transaction, origin: Origin, aggregate: Aggregate, id_: str) -> None:
    row = _whole(tx, aggregate, id_)
    if row is not None:
        version: int = row.pop("version")
        data = row | {name: RawJson(row[name]) for name in aggregate.json if row[name] is not None}
        _snapshot(tx, origin, aggregate.type, id_, version, data)


def _is_told(tx: Transaction, type_: str, id_: str, horizon: Position) -> bool:
    """Whether a snapshot stands there already, since only a part of the history could be dropped."""
    newest = tx.one("event_newest_of", type=type_, id=id_)
    is_snapshot = newest is not None and newest["type"].endswith(SNAPSHOT)
    return is_snapshot and has_events_since(tx, type_, id_, _upto(horizon))


def _whole(tx: Transaction, aggregate: Aggregate, id_: str) -> dict[str, Any] | None:
    if aggregate.snapshot is not None:
        return aggregate.snapshot(tx, id_)
    return None if aggregate.row is None else tx.one(aggregate.row, id=id_)


def _retell(tx: Transaction, origin: Origin, type_: str, id_: str, data: dict[str, Any], horizon: Position) -> None:
    told = tx.one("event_newest_of", type=type_, id=id_)
    if told is None or json.loads(told["data"]) != data:
        tx.all("events_drop", type=type_, id=id_, **_upto(horizon), limit=DROPPED_MAX)
        _snapshot(tx, origin, type_, id_, 1, data)


def _snapshot(tx: Transaction, origin: Origin, type_: str, id_: str, version: int, data: dict[str, Any]) -> None:
    tx.append(origin, Event(f"{type_}{SNAPSHOT}", type_, id_, version, data))
