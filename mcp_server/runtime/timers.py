"""The timer: does what time alone makes due, in whichever server or worker process is alive."""

import asyncio
from typing import NoReturn

import structlog

from mcp_server.domain.errors import OpsError
from mcp_server.domain.values import SECOND
from mcp_server.services.housekeeping import Housekeeping
from mcp_server.services.retention import Keep, Retention

LOOK_EVERY_SECONDS = 1.0
RETENTION_EVERY_SECONDS = 600.0
log = structlog.stdlib.get_logger("datamcp.timer")


async def run_timer(housekeeping: Housekeeping) -> NoReturn:
    """Sleep until something is due, at most a second, then settle it. Several processes may do this side by side."""
    while True:
        try:
            delay = await _look(housekeeping)
        except OpsError as error:
            log.warning("timer_failed", code=error.code, message=error.message)
            delay = LOOK_EVERY_SECONDS
        except Exception:  # whatever goes wrong, the timer must live: leases expire by it
            log.exception("timer_bug")
            delay = LOOK_EVERY_SECONDS
        await asyncio.sleep(delay)


async def run_retention(retention: Retention, keep: Keep) -> NoReturn:
    """Every ten minutes, have what is past its retention archived or dropped by system tasks."""
    while True:
        await asyncio.sleep(RETENTION_EVERY_SECONDS)
        try:
            await retention.begin(keep)
        except OpsError as error:
            log.warning("retention_failed", code=error.code, message=error.message)


async def _look(housekeeping: Housekeeping) -> float:
    """Settle what is due; seconds until the next look."""
    due_at = await housekeeping.next_due()
    if due_at is None:
        return LOOK_EVERY_SECONDS
    left = (due_at - housekeeping.clock()) / SECOND
    if left > 0:
        return min(left, LOOK_EVERY_SECONDS)
    await housekeeping.settle()
    return 0.01
