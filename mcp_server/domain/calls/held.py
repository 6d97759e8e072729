"""A call that is held here, as the parts of the server that holds it share it: the call as it was last read, the right
to hold it, by which all of them write, and what was said in it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from mcp_server.domain.calls import owning
from mcp_server.domain.calls.media import MediaDied
from mcp_server.domain.calls.model import LiveCall
from mcp_server.domain.calls.owning import Fence
from mcp_server.kernel.call import SYSTEM_CALL, Context
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.json_text import storable
from mcp_server.kernel.store import Row

LINES_AT_ONCE = 200
log = structlog.stdlib.get_logger("datamcp.calls")


class Held:
    """One call, held here.

    Attributes:
        call: as it was when it was last read.
        fence: the right to hold it; who has lost it writes nothing more.
        looking: held while what is written is told, so that two never tell the same.
    """

    def __init__(self, context: Context, call: LiveCall, fence: Fence) -> None:
        self._context = context
        self._database = context.database
        self.call = call
        self.fence = fence
        self.looking = asyncio.Lock()

    async def write(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a transaction function of `owning.py` under the fence.

        Raises:
            LeaseLost: another server holds the call.
            OpsError: it cannot be written.
        """
        return await self._database.write(function, self._context.origin(SYSTEM_CALL), self.fence, *args)

    async def read(self) -> LiveCall:
        """The call as it is now."""
        row = await self._database.fetch_one("call_by_id", id=self.fence.call_id)
        assert row is not None, "calls stay"
        self.call = LiveCall.adopt(dict(row))
        return self.call

    async def requests(self) -> list[Row]:
        """What others ask of the server that holds the call, oldest first."""
        return await self._database.fetch_all("call_requests_open", call_id=self.call.id)

    async def lines(self, after: int, limit: int = LINES_AT_ONCE) -> list[Row]:
        """What was said after a line, in order."""
        return await self._database.fetch_all("call_lines_after", call_id=self.call.id, after=after, limit=limit)

    async def failed(self, error: MediaDied) -> None:
        """The media process is gone, and the call with it."""
        log.warning("call_media_died", call_id=self.fence.call_id)
        with contextlib.suppress(OpsError):
            await self.write(owning.fail, f"its media process ended: {storable(str(error), 300)}")
