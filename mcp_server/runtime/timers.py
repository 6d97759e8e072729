"""The timer: does what time alone makes due, in whichever server or worker process is alive."""

import asyncio
from typing import NoReturn

from mcp_server.domain.housekeeping import Housekeeping
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.store import Feed
from mcp_server.kernel.times import SECOND

LOOK_SECONDS_MAX = 5.0
"""How long to sleep until the next thing is due: the clock may be set, or the machine sleep, meanwhile."""
IDLE_SECONDS_MAX = 60.0
"""How long to sleep while nothing is due at all, and nobody commits."""
TRY_AGAIN_SECONDS = 1.0
CHORES_EVERY_SECONDS = 600.0


async def run_timer(housekeeping: Housekeeping, feed: Feed, loops: Loops) -> None:
    """Sleep until something is due, then settle it; look again a second after somebody has committed something. Several
    processes may do this side by side."""
    await loops.keep("timer", lambda: _settle(housekeeping, feed))


async def run_chores(housekeeping: Housekeeping, loops: Loops) -> None:
    """Every ten minutes, queue the chores for which there is something to do."""
    await asyncio.sleep(CHORES_EVERY_SECONDS)
    await loops.keep("chores", lambda: _do_chores(housekeeping))


async def _settle(housekeeping: Housekeeping, feed: Feed) -> NoReturn:
    while True:
        seen = feed.commits
        delay = await _look(housekeeping)
        await feed.rest(asyncio.Event(), seen, delay)


async def _do_chores(housekeeping: Housekeeping) -> NoReturn:
    while True:
        await housekeeping.begin_chores()
        await asyncio.sleep(CHORES_EVERY_SECONDS)


async def _look(housekeeping: Housekeeping) -> float:
    """See that the clock is right, and settle what is due; seconds until the next look."""
    await housekeeping.keep_time()
    due_at = await housekeeping.next_due()
    if due_at is None:
        return IDLE_SECONDS_MAX
    left = (due_at - housekeeping.clock()) / SECOND
    if left > 0:
        return min(left, LOOK_SECONDS_MAX)
    return TRY_AGAIN_SECONDS if await housekeeping.settle() else 0.01
