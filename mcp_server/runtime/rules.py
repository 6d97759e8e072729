"""Recording the operator's rules beside a server that starts: its first answers do not wait for that."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

import anyio

from mcp_server.domain.desk import Desk
from mcp_server.domain.operating.model import InForce
from mcp_server.domain.operating.service import OperatingService
from mcp_server.kernel.call import Call

AFTER_SECONDS = 1.0
"""How long the first callers have the store to themselves."""
AT_THE_END_SECONDS = 2.0
"""How long a server that ends earlier waits for the record."""

log = logging.getLogger("datamcp.rules")


@contextlib.asynccontextmanager
async def telling_rules(desk: Desk, call: Call, rules: InForce) -> AsyncGenerator[None]:
    """Record which rules are in force, where they are others than those recorded last: soon, or else on leaving."""
    if desk.is_read_only:
        yield
        return
    ends = asyncio.Event()
    telling = asyncio.create_task(_tell(desk, call, rules, ends), name="rules")
    try:
        yield
    finally:
        ends.set()
        with anyio.move_on_after(AT_THE_END_SECONDS, shield=True):
            await telling


async def _tell(desk: Desk, call: Call, rules: InForce, ends: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ends.wait(), AFTER_SECONDS)
    try:
        await desk.get(OperatingService).tell_rules(call, rules)
    except Exception as error:  # the server answers all the same, and the next one that starts tries again
        log.warning("which rules are in force could not be recorded: %s", error)
