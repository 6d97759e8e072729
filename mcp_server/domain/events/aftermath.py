"""What one call did beside one event of it, for who makes the call again."""

from collections.abc import Iterable
from typing import NamedTuple

from mcp_server.kernel.store import Database, Row

_SPAN = 2000
"""The events of one call stand so near to each other: it is one transaction of so many rows at most, and others write
between them on PostgreSQL alone."""
_TOLD_MAX = 100


class Aftermath(NamedTuple):
    """What was new when it happened, and tasks that could be claimed from then on."""

    made: list[str]
    queued: list[str]


async def came_of(database: Database, type_: str, id_: str, cause: str) -> Aftermath:
    """What the call did that the newest event of a type about a thing is of; nothing where that is no longer kept.

    Args:
        database: where it is kept.
        type_: the event's.
        id_: the thing's.
        cause: the type of the thing's event that caused what the call did before.
    """
    caused = await database.fetch_one("event_last_of", type=cause, id=id_)
    if caused is None:
        return Aftermath([], [])
    beside = database.fetch_all("events_beside", type=type_, id=id_, cause=caused["seq"], span=_SPAN, limit=_TOLD_MAX)
    rows = await beside
    return Aftermath(_ids(filter(_is_new, rows)), _ids(filter(_is_queued, rows)))


def _is_new(row: Row) -> bool:
    return row["version"] == 1 and not row["is_later"]


def _is_queued(row: Row) -> bool:
    return row["type"] == "task.queued" and bool(row["is_later"])


def _ids(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["aggregate_id"] for row in rows))
