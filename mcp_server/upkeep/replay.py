"""Rebuilding a database from its events alone, and comparing: proof that the log accounts for every row.

What is found by text is compared with the rows that it is made of. Three things are not in the log on purpose:
heartbeats (`instances.last_seen_at`), places in line for a lock, and what a version and its event share (its value and
note stand with the version; the event has its SHA-256).
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.area import Aggregate
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.events import SNAPSHOT, Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.persistence.database import Backend, make_backend
from mcp_server.persistence.migrate import is_set_up, migrations
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.persistence.statements import Engine
from mcp_server.persistence.texts import texts_of
from mcp_server.upkeep.transfer import snapshot
from mcp_server.upkeep.watching import Watch, row_count, unwatched, watched

_AT_ONCE = 500
_DIFFERENCES_MAX = 20
# By number, also on PostgreSQL: a transaction numbers its events at its end, when it holds all its locks, so that of
# two that changed the same thing the later one has the higher numbers.
_EVENTS = "SELECT at, type, aggregate_type, aggregate_id, version, actor, data FROM events ORDER BY seq"

_TEXTS = "SELECT kind, about, at, folded FROM texts ORDER BY kind, about"


class NotUpgraded(Unavailable):
    """An earlier version left the database, and this one has not been started on it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events were replayed, how many rows compared, and what differs, in words."""

    events: int
    rows: int
    differences: tuple[str, ...]


def replay(url: str, watch: Watch = unwatched) -> Replayed:
    """Rebuild a database from its events into a fresh one, and compare. Changes nothing.

    Raises:
        NotUpgraded: this version has not been started on it.
        OpsError: the database cannot be read.
    """
    backend = make_backend(url, AREAS, allow_unsafe_sqlite=True)
    with tempfile.TemporaryDirectory() as folder:
        fresh = SqliteBackend(Path(folder) / "replayed.db", AREAS, allow_unsafe=True)
        fresh.prepare()
        try:
            with snapshot(backend) as original:
                _require_upgraded(original, backend)
                rows = _fetched(original, _EVENTS)
                events = _rebuild(fresh, watched(rows, watch, partial(row_count, original, ("events",))))
                with snapshot(fresh) as rebuilt:
                    return _compared(events, _to_compare(original, rebuilt, backend.engine))
        except Exception as error:
            raise backend.explain(error) or error from error


def _require_upgraded(original: Any, backend: Backend) -> None:
    newest = migrations(backend.engine)[-1].number
    if backend.engine == "sqlite" and not is_set_up(original, backend.name):
        raise NotUpgraded(f"The database {backend.name} holds nothing yet.", next="Start this version on it once.")
    (schema,) = original.execute("SELECT MAX(number) FROM migrations").fetchone()
    if schema != newest:
        raise NotUpgraded(
            f"The database {backend.name} has schema {schema}, and its events rebuild schema {newest}.",
            next="Start this version on it once, which upgrades it.",
        )


def _rebuild(fresh: Backend, rows: Iterator[tuple[Any, ...]]) -> int:
    session = fresh.open_session()
    count = 0
    try:
        tx = session.begin()
        tx.run("references_later")
        for at, type_, aggregate, id_, version, actor, data in rows:
            _apply(tx, Origin(at, actor, "replay"), Event(type_, aggregate, id_, version, json.loads(data)))
            count += 1
        for clear in (area.after_rebuild for area in AREAS.all if area.after_rebuild is not None):
            tx.run(clear)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()
    return count


def _apply(tx: Transaction, origin: Origin, event: Event) -> None:
    """Do again what an event tells of, as its area says; unsaid, its row is the fold of its events."""
    aggregate = AREAS.aggregates[event.aggregate_type]
    data = {name: _stored(aggregate, name, value) for name, value in event.data.items()}
    if aggregate.unsaid is not None and "created_at" in data:
        data = {**aggregate.unsaid(origin.actor, event.type, data), **data}
    event = event._replace(data=data)
    if event.type.endswith(SNAPSHOT):
        (aggregate.restore or _restore_row)(tx, origin, event)
    else:
        (aggregate.replay or _fold_row)(tx, origin, event)


def _stored(aggregate: Aggregate, name: str, value: Any) -> Any:
    """A JSON column's text. What can only be a list or an object was written as its text by early versions."""
    if name not in aggregate.json or value is None or (isinstance(value, str) and name not in aggregate.any_json):
        return value
    return RawJson(dump_json(value))


def _fold_row(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    known = _row(tx, event)
    if known is not None or "created_at" in event.data:
        tx.fold(event._replace(creates=known is None))


def _restore_row(tx: Transaction, origin: Origin, event: Event) -> None:
    del origin
    tx.fold(event._replace(creates=_row(tx, event) is None))


def _row(tx: Transaction, event: Event) -> dict[str, Any] | None:
    statement = AREAS.aggregates[event.aggregate_type].row
    assert statement is not None, f"{event.aggregate_type} has a row, or its own way to be rebuilt"
    return tx.one(statement, id=event.aggregate_id)


_Dicts = Iterator[dict[str, Any]]


class _Comparison(NamedTuple):
    """A table, how many of its first columns are its key, its rows, and what they are to be."""

    table: str
    key: int
    stored: _Dicts
    wanted: _Dicts


def _to_compare(original: Any, rebuilt: Any, engine: Engine) -> Iterator[_Comparison]:
    for table in AREAS.tables:
        sql = table.comparison()
        if sql is None:
            continue
        stored = _dicts(original, sql)
        if table.condensed is not None:
            stored = table.condensed(stored, rebuilt)
        yield _Comparison(table.name, table.key, stored, _dicts(rebuilt, sql))
    # Made of rows, all of which have been compared by now; documents' events do not hold what a text is made of.
    yield _Comparison("texts", 2, _dicts(original, _TEXTS), texts_of(original, engine, AREAS))


def _compared(events: int, comparisons: Iterator[_Comparison]) -> Replayed:
    rows, differences = 0, list[str]()
    for table, keys, stored, wanted in comparisons:
        for key, theirs, ours in _paired(stored, wanted, keys):
            rows += 1
            if theirs != ours and len(differences) < _DIFFERENCES_MAX:
                differences.append(_difference(table, key, theirs, ours))
    return Replayed(events, rows, tuple(differences))


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
