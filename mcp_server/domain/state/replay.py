"""What the events of documents rebuild: their rows, and of each version all but its value, which stands with it."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Row, Transaction

_SUMMARIES = "SELECT document_id, version FROM document_versions WHERE bytes = -1"


def replay(tx: Transaction, origin: Origin, event: Event) -> None:
    """The row, and the version where one was written."""
    del origin
    data = {name: value for name, value in event.data.items() if name != "note"}
    tx.fold(event._replace(data=data, creates="created_at" in data))
    if "sha256" in event.data:
        facts = {name: event.data[name] for name in ("sha256", "bytes", "author")}
        key = {"document_id": event.aggregate_id, "version": event.version, "at": event.data["updated_at"]}
        tx.run("version_insert", **key, **facts, value=None, note=None)


def snapshot(tx: Transaction, id_: str) -> dict[str, Any] | None:
    """The row, and a digest that stands for all versions."""
    row = tx.one("document_for_update", id=id_)
    return None if row is None else row | {"versions_sha256": versions_digest(tx.all("versions_whole", id=id_))}


def restore(tx: Transaction, origin: Origin, event: Event) -> None:
    """The row, and one entry that stands for all versions up to this one; see `condensed`."""
    del origin
    data = dict(event.data)
    digest = data.pop("versions_sha256")
    known = tx.one("document_for_update", id=event.aggregate_id)
    tx.fold(event._replace(data=data, creates=known is None))
    tx.run("versions_clear", id=event.aggregate_id)
    key = {"document_id": event.aggregate_id, "version": event.version}
    tx.run("version_insert", **key, value=None, note=None, **_summary(digest))


def versions_digest(rows: Iterable[Row]) -> str:
    """SHA-256 over the facts of a document's versions, oldest first."""
    facts = [[row[name] for name in ("version", "sha256", "bytes", "author", "at")] for row in rows]
    return hashlib.sha256(dump_json(facts).encode()).hexdigest()


def condensed(rows: Iterator[dict[str, Any]], rebuilt: Any) -> Iterator[dict[str, Any]]:
    """Stored versions, those of each document up to the one that its snapshot summarised as one entry."""
    summaries: dict[str, int] = dict(rebuilt.execute(_SUMMARIES).fetchall())
    for id_, group in groupby(rows, lambda row: row["document_id"]):
        upto = summaries.get(id_, 0)
        versions = list(group)
        old = [row for row in versions if row["version"] <= upto]
        if old:
            yield {"document_id": id_, "version": upto, **_summary(versions_digest(old))}
        yield from versions[len(old) :]


def _summary(digest: str) -> dict[str, Any]:
    return {"sha256": digest, "bytes": -1, "author": "", "at": 0}
