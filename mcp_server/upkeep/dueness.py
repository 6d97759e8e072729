"""Whether what time makes due can be settled: tried, and taken back."""

import asyncio
import random
from typing import NoReturn

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.area import Sweep
from mcp_server.kernel.call import SYSTEM_CALL, Context
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.sweeping import HalfDone, Stuck, settle_rows
from mcp_server.kernel.times import system_clock
from mcp_server.persistence.database import Database
from mcp_server.upkeep.findings import Finding

_SHOWN_MAX = 5


class _TakenBack(Exception):
    def __init__(self, stuck: list[Stuck]) -> None:
        super().__init__("tried only")
        self.stuck = stuck


def inspect_due(url: str) -> list[Finding]:
    """What is due and cannot be settled. Nothing is kept of the trial; where there can be none, nothing is said."""
    try:
        stuck = asyncio.run(_tried(url))
    except OpsError:
        return []
    if not stuck:
        return [Finding("due", True, "What is due can be settled.")]
    names = "; ".join(f"{name}: {type(error).__name__}" for name, error in stuck[:_SHOWN_MAX])
    more = f"; and {len(stuck) - _SHOWN_MAX} more" if len(stuck) > _SHOWN_MAX else ""
    remedy = "Mend or cancel what is named; everything else goes on. The log of a running server says more."
    return [Finding("due", False, f"This is due and cannot be settled: {names}{more}.", remedy)]


async def _tried(url: str) -> list[tuple[str, BaseException]]:
    database = await Database.open(url, AREAS, allow_unsafe_sqlite=True)
    try:
        origin = Context(database, system_clock, new_id, random.random).origin(SYSTEM_CALL)
        found: list[tuple[str, BaseException]] = []
        for sweep in AREAS.sweeps:
            found += [(f"{sweep.due} {one.key}", one.error) for one in await _stuck(database, origin, sweep)]
        return found
    finally:
        await database.close()


async def _stuck(database: Database, origin: Origin, sweep: Sweep) -> list[Stuck]:
    try:
        await database.write(_try, origin, sweep)
    except _TakenBack as tried:
        return tried.stuck
    except HalfDone as error:
        return [Stuck(error.key, error.__cause__ or error)]
    return []


def _try(tx: Transaction, origin: Origin, sweep: Sweep) -> NoReturn:
    raise _TakenBack(settle_rows(tx, origin, sweep))
