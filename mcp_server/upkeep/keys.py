"""What `doctor` says of keys: which end soon, which nobody has used, and which belong to users that are not let in."""

from collections.abc import Callable, Iterable

from mcp_server.domain.areas import AREAS
from mcp_server.domain.people.model import Key
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros
from mcp_server.persistence.database import Database
from mcp_server.persistence.event_loops import run_on
from mcp_server.upkeep.findings import Finding

SOON: Micros = 7 * 86_400 * SECOND
"""How near the end of a key has to be to be told."""

UNUSED_FOR: Micros = 30 * 86_400 * SECOND
_NAMED_MAX = 10


def inspect_keys(url: str, now: Micros) -> list[Finding]:
    """How many keys there are, and which of them somebody should look at; nothing where there are none."""
    try:
        rows = run_on(url, _keys(url))
    except OpsError:  # what ails the database is found elsewhere
        return []
    live = [row for row in rows if _state(row, now) == "live"]
    told: list[tuple[str, Callable[[Row], bool], Iterable[Row]]] = [
        ("end within a week", lambda row: row["expires_at"] is not None and row["expires_at"] - now <= SOON, live),
        ("never used in the month since they were made", lambda row: _is_unused(row, now), live),
        ("of users that are disabled", lambda row: _state(row, now) == "disabled", rows),
    ]
    words = [f"{what}: {_named(found)}" for what, is_so, among in told if (found := list(filter(is_so, among)))]
    detail = "; ".join([f"{len(live)} of {len(rows)} keys let somebody in", *words])
    return [Finding("keys", True, f"{detail}.")] if rows else []


async def _keys(url: str) -> list[Row]:
    database = await Database.open(url, AREAS, may_only_read=True)
    try:
        return await database.fetch_all("keys")
    finally:
        await database.close()


def _state(row: Row, now: Micros) -> str:
    return Key.adopt(dict(row)).state(now, row["user_status"])


def _is_unused(row: Row, now: Micros) -> bool:
    return row["used_at"] is None and now - row["created_at"] > UNUSED_FOR


def _named(rows: list[Row]) -> str:
    names = [one_line(f"{row['id']} ({row['holder_kind']}:{row['holder_id']})") for row in rows[:_NAMED_MAX]]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
