"""Rebuilding a database from its events alone, and comparing: proof that the log accounts for every row.

Three things are not in the log on purpose: heartbeats (`instances.last_seen_at`), places in line for a lock, and what a
version and its event share (its value and note stand with the version; the event has its SHA-256).
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from mcp_server.domain.events import Event, Origin
from mcp_server.domain.task_rules import TERMINAL
from mcp_server.domain.task_spec import SYSTEM_WORKER
from mcp_server.domain.values import RawJson, dump_json, iso
from mcp_server.persistence.database import Backend, make_backend
from mcp_server.persistence.event_log import JSON_COLUMNS, SNAPSHOT
from mcp_server.persistence.event_retention import versions_digest
from mcp_server.persistence.messages import apply_to_delivery, insert_message
from mcp_server.persistence.sqlite_backend import SqliteBackend
from mcp_server.persistence.transaction import Transaction
from mcp_server.persistence.transfer import snapshot

_AT_ONCE = 500
_DIFFERENCES_MAX = 20
# By number, also on PostgreSQL: a transaction numbers its events at its end, when it holds all its locks, so that of
# two that changed the same thing the later one has the higher numbers.
_EVENTS = "SELECT at, type, aggregate_type, aggregate_id, version, actor, data FROM events ORDER BY seq"
_COMPARED = {
    "agents": "SELECT * FROM agents ORDER BY id",
    "instances": "SELECT id, agent_id, label, host, pid, started_at, lost_at, version FROM instances ORDER BY id",
    "tasks": "SELECT * FROM (SELECT * FROM tasks UNION ALL SELECT * FROM archived_tasks) AS every ORDER BY id",
    "queues": "SELECT * FROM queues ORDER BY name",
    "dependencies": "SELECT parent_id, task_id FROM dependencies ORDER BY parent_id, task_id",
    "agent_usage": "SELECT agent_id, month, tokens, cost_usd FROM agent_usage ORDER BY agent_id, month",
    "documents": "SELECT * FROM documents ORDER BY id",
    "document_versions": "SELECT document_id, version, sha256, bytes, author, at FROM document_versions "
    "ORDER BY document_id, version",
    "locks": "SELECT name, last_token FROM locks ORDER BY name",
    "lock_holds": "SELECT * FROM lock_holds ORDER BY name, owner",
    "emails": "SELECT * FROM emails ORDER BY id",
    "approvals": "SELECT * FROM approvals ORDER BY id",
    "messages": "SELECT * FROM messages ORDER BY id",
    "deliveries": "SELECT * FROM deliveries ORDER BY message_id, agent_id",
}
_KEYS = {"queues": 1, "dependencies": 2, "agent_usage": 2, "document_versions": 2, "lock_holds": 2, "deliveries": 2}
"""How many of the first columns of a comparison are its key, where that is not one."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events were replayed, how many rows compared, and what differs, in words."""

    events: int
    rows: int
    differences: tuple[str, ...]


def replay(url: str) -> Replayed:
    """Rebuild a database from its events into a fresh one, and compare. Changes nothing.

    Raises:
        OpsError: the database cannot be read.
    """
    backend = make_backend(url, allow_unsafe_sqlite=True)
    with tempfile.TemporaryDirectory() as folder:
        fresh = SqliteBackend(Path(folder) / "replayed.db", allow_unsafe=True)
        fresh.prepare()
        try:
            with snapshot(backend) as original:
                events = _rebuild(fresh, _fetched(original, _EVENTS))
                with snapshot(fresh) as rebuilt:
                    return _compared(events, original, rebuilt)
        except Exception as error:
            raise backend.explain(error) or error from error


def _rebuild(fresh: Backend, rows: Iterator[tuple[Any, ...]]) -> int:
    session = fresh.open_session()
    count = 0
    try:
        tx = session.begin()
        tx.run("replayed_references_later")
        for at, type_, aggregate, id_, version, actor, data in rows:
            event = Event(type_, aggregate, id_, version, json.loads(data))
            handlers = _SNAPSHOTS if type_.endswith(SNAPSHOT) else _HANDLERS
            handlers[aggregate](tx, Origin(at, actor, "replay"), event)
            count += 1
        tx.run("replayed_orphans_clear")
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()
    return count


def _record(tx: Transaction, origin: Origin, event: Event, *, creates: bool) -> None:
    json_columns = JSON_COLUMNS.get(event.aggregate_type, frozenset())
    data = {name: _stored(name, value) if name in json_columns else value for name, value in event.data.items()}
    known = Event(event.type, event.aggregate_type, event.aggregate_id, event.version, data, creates=creates)
    tx.record(origin, known)


def _stored(name: str, value: Any) -> Any:
    """A JSON column's text. What can only be a list or an object was written as its text by early versions."""
    if value is None or (isinstance(value, str) and name not in ("input", "result", "details")):
        return value
    return RawJson(dump_json(value))


def _agent(tx: Transaction, origin: Origin, event: Event) -> None:
    row = tx.one("agent_for_update", id=event.aggregate_id)
    if event.type == "agent.deleted":
        tx.run("agent_delete", id=event.aggregate_id)
    elif row is None and "created_at" in event.data:
        _record(tx, origin, event, creates=True)
    elif row is not None and event.version > row["version"]:  # a budget's warning is an event that changes no column
        _record(tx, origin, event, creates=False)


def _instance(tx: Transaction, origin: Origin, event: Event) -> None:
    _record(tx, origin, event, creates=event.type == "instance.introduced")


def _document(tx: Transaction, origin: Origin, event: Event) -> None:
    _record(tx, origin, event, creates="created_at" in event.data)
    if "sha256" in event.data:
        facts = {name: event.data[name] for name in ("sha256", "bytes", "author")}
        key = {"document_id": event.aggregate_id, "version": event.version, "at": event.data["updated_at"]}
        tx.run("version_insert", **key, **facts, value=None, note=None)


def _task(tx: Transaction, origin: Origin, event: Event) -> None:
    before = tx.one("task_for_update", id=event.aggregate_id)
    if before is None and "created_at" not in event.data:
        return  # a schedule whose snapshot follows
    _record(tx, origin, event, creates=before is None)
    task = tx.one("task_for_update", id=event.aggregate_id) or {}
    if before is None:
        _born(tx, task)
    elif event.data.get("usage") is not None and before["lease_agent_id"] is not None:
        _use(tx, origin, before["lease_agent_id"], event.data["usage"])
    if task["status"] in TERMINAL:
        _after_end(tx, task)


def _born(tx: Transaction, task: dict[str, Any]) -> None:
    _queue(tx, task)
    for parent_id in json.loads(task["depends_on"]):
        # A task that was archived since has no history before its snapshot, and nothing waits for it any more.
        parent = tx.one("task_status", id=parent_id) or {"status": "completed"}
        free = parent["status"] == "completed"
        if not free and not (parent["status"] in TERMINAL and task["on_parent_failure"] == "run_anyway"):
            tx.run("dependency_insert", parent_id=parent_id, task_id=task["id"])


def _queue(tx: Transaction, task: dict[str, Any]) -> None:
    tx.run(
        "queue_insert",
        name=task["queue"],
        kind=task["kind"],
        agent_id=SYSTEM_WORKER if task["system"] else task["agent_id"],
        capabilities=task["required_capabilities"],
    )


def _use(tx: Transaction, origin: Origin, agent_id: str, usage: dict[str, Any]) -> None:
    if tx.one("agent_for_update", id=agent_id) is not None:
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        month = iso(origin.at)[:7]
        tx.run("usage_add", agent_id=agent_id, month=month, tokens=tokens, cost_usd=usage.get("cost_usd", 0.0))


def _after_end(tx: Transaction, parent: dict[str, Any]) -> None:
    """What `task_rows.after_end` does to the dependencies; the dependents' own events follow."""
    for row in tx.all("dependents", parent_id=parent["id"]):
        child = tx.one("task_for_update", id=row["task_id"]) or {}
        policy = child["on_parent_failure"]
        released = parent["status"] == "completed" or policy == "run_anyway"
        if released or (policy == "cancel" and child["status"] in ("pending", "paused")):
            tx.run("dependency_delete", parent_id=parent["id"], task_id=child["id"])


def _lock(tx: Transaction, origin: Origin, event: Event) -> None:
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


def _row(tx: Transaction, origin: Origin, event: Event) -> None:
    """An aggregate whose row is nothing but the fold of its events."""
    known = tx.one(_KNOWN[event.aggregate_type], id=event.aggregate_id)
    if known is not None or "created_at" in event.data:
        _record(tx, origin, event, creates=known is None)


def _message(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    if event.type != "message.sent":
        apply_to_delivery(tx, event)
        return
    data = dict(event.data)
    places = data.pop("places")
    insert_message(tx, {"id": event.aggregate_id, "version": event.version} | data, places)


_HANDLERS: dict[str, Callable[[Transaction, Origin, Event], None]] = {
    "agent": _agent,
    "instance": _instance,
    "task": _task,
    "document": _document,
    "lock": _lock,
    "message": _message,
    "email": _row,
    "approval": _row,
}


def _row_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    """A whole row, whether or not it is known already."""
    known = tx.one(_KNOWN[event.aggregate_type], id=event.aggregate_id)
    _record(tx, origin, event, creates=known is None)


_KNOWN = {
    "agent": "agent_for_update",
    "instance": "snapshot_of_instance",
    "task": "task_for_update",
    "document": "document_for_update",
    "email": "email_for_update",
    "approval": "approval_for_update",
}


def _task_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    _row_snapshot(tx, origin, event)
    _queue(tx, tx.one("task_for_update", id=event.aggregate_id) or {})


def _document_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    """The row, and one entry that stands for all versions up to this one; see `_versions_compared`."""
    data = dict(event.data)
    digest = data.pop("versions_sha256")
    _row_snapshot(tx, origin, Event(event.type, "document", event.aggregate_id, event.version, data))
    tx.run("replayed_versions_clear", id=event.aggregate_id)
    tx.run(
        "version_insert",
        document_id=event.aggregate_id,
        version=event.version,
        value=None,
        note=None,
        **_summary(digest),
    )


def _summary(digest: str) -> dict[str, Any]:
    return {"sha256": digest, "bytes": -1, "author": "", "at": 0}


def _lock_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    tx.run("lock_token_save", name=event.aggregate_id, token=event.version)
    tx.run("replayed_holds_clear", id=event.aggregate_id)
    for hold in event.data["holds"]:
        tx.run("lock_hold_insert", name=event.aggregate_id, **hold)


def _message_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    data = dict(event.data)
    deliveries = data.pop("deliveries")
    tx.run("replayed_message_clear", id=event.aggregate_id)
    tx.run("message_insert", **data, version=event.version)
    for delivery in deliveries:
        tx.run("replayed_delivery_insert", **delivery)


def _usage_snapshot(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    tx.run("replayed_usage_save", **event.data)


_SNAPSHOTS: dict[str, Callable[[Transaction, Origin, Event], None]] = {
    "agent": _row_snapshot,
    "instance": _row_snapshot,
    "task": _task_snapshot,
    "document": _document_snapshot,
    "lock": _lock_snapshot,
    "message": _message_snapshot,
    "email": _row_snapshot,
    "approval": _row_snapshot,
    "usage": _usage_snapshot,
}


def _compared(events: int, original: Any, rebuilt: Any) -> Replayed:
    rows, differences = 0, list[str]()
    for table, sql in _COMPARED.items():
        keys = _KEYS.get(table, 1)
        stored = _dicts(original, sql)
        if table == "document_versions":
            stored = _summarised(stored, dict(rebuilt.execute(_SUMMARIES).fetchall()))
        for key, theirs, ours in _paired(stored, _dicts(rebuilt, sql), keys):
            rows += 1
            if theirs != ours and len(differences) < _DIFFERENCES_MAX:
                differences.append(_difference(table, key, theirs, ours))
    return Replayed(events, rows, tuple(differences))


_Dicts = Iterator[dict[str, Any]]
_SUMMARIES = "SELECT document_id, version FROM document_versions WHERE bytes = -1"


def _summarised(rows: _Dicts, summaries: Mapping[str, int]) -> _Dicts:
    """Versions, those of each document up to the one in `summaries` as one entry; see `_document_snapshot`."""
    for id_, group in groupby(rows, lambda row: row["document_id"]):
        upto = summaries.get(id_, 0)
        versions = list(group)
        old = [row for row in versions if row["version"] <= upto]
        if old:
            yield {"document_id": id_, "version": upto, **_summary(versions_digest(old))}
        yield from versions[len(old) :]


def _paired(left: _Dicts, right: _Dicts, keys: int) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Rows of two ordered lists with the same key side by side; None where one has none."""

    def key_of(row: dict[str, Any] | None) -> tuple[Any, ...] | None:
        return None if row is None else tuple(list(row.values())[:keys])

    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        key_one, key_other = key_of(one), key_of(other)
        if key_other is None or (key_one is not None and key_one < key_other):
            yield cast("tuple[Any, ...]", key_one), one, None
            one = next(left, None)
        elif key_one is None or key_other < key_one:
            yield key_other, None, other
            other = next(right, None)
        else:
            yield key_one, one, other
            one, other = next(left, None), next(right, None)


def _difference(table: str, key: tuple[Any, ...], stored: Any, replayed: Any) -> str:
    name = f"{table} {'/'.join(map(str, key))}"
    if stored is None or replayed is None:
        return f"{name} is {'not stored, but the events say it exists' if stored is None else 'in no event'}"
    columns = [column for column in stored if stored[column] != replayed[column]]
    return f"{name} differs in {', '.join(columns)}"


def _dicts(connection: Any, sql: str) -> _Dicts:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(_AT_ONCE):
        for row in rows:
            yield dict(zip(names, tuple(row), strict=True))


def _fetched(connection: Any, sql: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(sql)
    while rows := cursor.fetchmany(_AT_ONCE):
        for row in rows:
            yield tuple(row)
