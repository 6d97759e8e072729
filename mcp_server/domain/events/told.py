"""What the log tells of one thing, for areas that show it."""

import json
from collections.abc import Sequence

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database, Row, Transaction
from mcp_server.kernel.times import iso

TOLD_MAX = 100


async def told_of(
    database: Database, aggregate_type: str, id_: str, types: Sequence[str], versions: tuple[int, int]
) -> list[Row]:
    """The events of these types that tell of an aggregate at these versions, newest first, as far as they are kept."""
    return await database.fetch_all(
        "events_told_of",
        aggregate_type=aggregate_type,
        id=id_,
        types=dump_json(list(types)),
        low=versions[0],
        high=versions[1],
        limit=TOLD_MAX,
    )


def handing_of(event: Row) -> dict[str, str]:
    """By whom and when something was given to another, by the event that tells of it; why, where that was said."""
    reason = json.loads(event["data"]).get("reason")
    why = {} if reason is None else {"reason": reason}
    return {"by": event["actor"], "at": iso(event["at"])} | why


def began_with(tx: Transaction, aggregate_type: str, id_: str, type_: str) -> Row | None:
    """The event by which an aggregate came to be, as a transaction sees it, where it is kept."""
    asked = {"aggregate_type": aggregate_type, "id": id_, "types": dump_json([type_])}
    return next(iter(tx.all("events_told_of", **asked, low=1, high=1, limit=1)), None)


async def newest_of_type(database: Database, type_: str) -> list[Row]:
    """The newest events of a type, newest first, whatever they tell of."""
    return await database.fetch_all("events_newest_of_type", type=type_, limit=TOLD_MAX)


async def caused_by(
    database: Database, aggregate_type: str, id_: str, cause: str, versions: tuple[int, int], beside: Sequence[str]
) -> dict[int, str]:
    """Of an aggregate's versions, the ids of that kind of cause under which they were made, as far as that is kept;
    `beside` are the types of events that make no version of their own."""
    rows = await database.fetch_all(
        "events_caused_by",
        aggregate_type=aggregate_type,
        id=id_,
        cause=f"{cause}_",
        low=versions[0],
        high=versions[1],
        limit=TOLD_MAX,
    )
    return {row["version"]: row["correlation_id"] for row in rows if row["type"] not in beside}
