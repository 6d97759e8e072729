"""Other locks whose names end like one that was just taken: editors that spell one file in two ways keep nobody out."""

from collections.abc import Iterator, Sequence

from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.paths import is_glob
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Database
from mcp_server.kernel.times import Micros, iso

_LOOKED_AT_MAX = 200
"""So many holds of others are looked at, those that last the longest first: a lock is not to cost more than that."""
_TOLD_MAX = 3


async def warnings_of(database: Database, hold: Hold, now: Micros) -> list[str]:
    """That others hold what may be the same file under another name."""
    if is_glob(hold.name):
        return []
    rows = await database.fetch_all("lock_holds_of_others", party=hold.party, now=now, limit=_LOOKED_AT_MAX)
    return list(map(_said, list(_alike(hold, [Hold.adopt(dict(row)) for row in rows]))[:_TOLD_MAX]))


def _alike(hold: Hold, others: Sequence[Hold]) -> Iterator[Hold]:
    for other in others:
        keeps_out = "exclusive" in (hold.mode, other.mode)
        if keeps_out and not is_glob(other.name) and end_alike(hold.name, other.name):
            yield other


def end_alike(one: str, other: str) -> bool:
    """Whether two different names may be one path, said from different places: `/src/a` and `src/a`, `src/a` and
    `/home/me/shop/src/a`. Of a name alone, without a folder, that says too little."""
    if one == other:
        return False
    short, long = sorted((one.lstrip("/"), other.lstrip("/")), key=len)
    return short == long or ("/" in short and long.endswith(f"/{short}"))


def _said(other: Hold) -> str:
    return (
        f"{other.claim.said()} holds {named(other.name)} since {iso(other.acquired_at)}, another lock: if both mean "
        "one file, neither keeps the other out; agree on one spelling."
    )
