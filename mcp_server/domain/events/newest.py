"""The newest event of one thing, for areas whose things stand in the log alone."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcp_server.kernel.store import Database, Row, Transaction
from mcp_server.kernel.times import Micros


class Newest(NamedTuple):
    """What was told last, as which version."""

    version: int
    data: Mapping[str, Any]


class Change(NamedTuple):
    """What was done last to a thing: by whom, when."""

    type: str
    actor: str
    at: Micros


class Place(NamedTuple):
    """An event's number, and when it happened."""

    seq: int
    at: Micros


def newest_of(tx: Transaction, aggregate_type: str, id_: str) -> Newest | None:
    """The newest event of a thing, as a transaction sees it; None where none is kept."""
    return _newest(tx.one("event_newest_of", type=aggregate_type, id=id_))


async def newest_known(database: Database, aggregate_type: str, id_: str) -> Newest | None:
    """The newest event of a thing, as a reader sees it; None where none is kept."""
    return _newest(await database.fetch_one("event_newest_of", type=aggregate_type, id=id_))


async def last_change(database: Database, aggregate_type: str, id_: str) -> Change | None:
    """What was done last to a thing, as a reader sees it; None where that is not kept."""
    rows = await database.fetch_all("events_newest_of", type=aggregate_type, id=id_, limit=1)
    return next((Change(row["type"], row["actor"], row["at"]) for row in rows), None)


def end_of_log(tx: Transaction) -> Place | None:
    """The newest event of all; None where there is none."""
    row = tx.one("event_newest")
    return None if row is None else Place(row["seq"], row["at"])


def _newest(row: Row | None) -> Newest | None:
    return None if row is None else Newest(row["version"], json.loads(row["data"]))
