"""What the log tells of one thing, for areas that show it."""

from collections.abc import Sequence

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database, Row

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
