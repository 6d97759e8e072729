"""Whether what time makes due can be settled: tried, and taken back."""

import random
from collections.abc import Sequence
from typing import NoReturn

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.area import Righting, Sweep
from mcp_server.kernel.call import SYSTEM_CALL, Context
from mcp_server.kernel.clocks import JUMP_MIN
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.store import Row, Transaction
from mcp_server.kernel.sweeping import HalfDone, Stuck, settle_rows
from mcp_server.persistence.database import Database
from mcp_server.persistence.event_loops import run_on
from mcp_server.upkeep.findings import Finding

_SHOWN_MAX = 5


class _TakenBack(Exception):
    def __init__(self, stuck: list[Stuck]) -> None:
        super().__init__("tried only")
        self.stuck = stuck


class _Ahead(Exception):
    def __init__(self, keys: list[str]) -> None:
        super().__init__("tried only")
        self.keys = keys


def inspect_due(url: str) -> list[Finding]:
    """What is due and cannot be settled. Nothing is kept of the trial; where there can be none, nothing is said."""
    try:
        stuck, ahead = run_on(url, _tried(url))
    except OpsError:
        return []
    return [_due(stuck), _clock(ahead)]


def _due(stuck: list[tuple[str, BaseException]]) -> Finding:
    if not stuck:
        return Finding("due", True, "What is due can be settled.")
    names = "; ".join(f"{name}: {type(error).__name__}" for name, error in stuck[:_SHOWN_MAX])
    more = f"; and {len(stuck) - _SHOWN_MAX} more" if len(stuck) > _SHOWN_MAX else ""
    remedy = "Mend or cancel what is named; everything else goes on. The log of a running server says more."
    return Finding("due", False, f"This is due and cannot be settled: {names}{more}.", remedy)


def _clock(ahead: list[str]) -> Finding:
    if not ahead:
        return Finding("clock", True, "Nothing rests on a clock that was ahead of this one.")
    more = f" and {len(ahead) - _SHOWN_MAX} more" if len(ahead) > _SHOWN_MAX else ""
    detail = f"By a clock that was ahead of this machine's, these were changed: {', '.join(ahead[:_SHOWN_MAX])}{more}."
    return Finding(
        "clock", False, detail, "Set the clock right; then start a server, which computes anew when it is due."
    )


async def _tried(url: str) -> tuple[list[tuple[str, BaseException]], list[str]]:
    database = await Database.open(url, AREAS, allow_unsafe_sqlite=True)
    try:
        origin = Context(database, database.clock, new_id, random.random).origin(SYSTEM_CALL)
        found: list[tuple[str, BaseException]] = []
        for sweep in AREAS.sweeps:
            found += [(f"{sweep.due} {one.key}", one.error) for one in await _stuck(database, origin, sweep)]
        return found, await _ahead(database, origin)
    finally:
        await database.close()


async def _ahead(database: Database, origin: Origin) -> list[str]:
    """What rests on a clock that was ahead."""
    found: list[str] = []
    for righting in AREAS.rightings:
        rows = await database.fetch_all(righting.rows, now=origin.at, ahead=origin.at + JUMP_MIN)
        try:
            await database.write(_try_right, origin, righting, rows)
        except _Ahead as tried:
            found += tried.keys
    return found


def _try_right(tx: Transaction, origin: Origin, righting: Righting, rows: Sequence[Row]) -> NoReturn:
    changed: list[str] = []
    for row in rows:
        writes = tx.writes
        righting.settle(tx, origin, dict(row))
        changed += [righting.key(row)] if tx.writes != writes else []
    raise _Ahead(changed)


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
