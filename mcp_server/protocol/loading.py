"""Loading the tools that are called, beside the event loop: some areas take longer than other calls should wait."""

import asyncio

from mcp_server.kernel.services import Services
from tools import KnownTool
from tools.spec import AnyTool


class Loading:
    """Loads one after the other, in the order of the calls: of two to one area the second must not overtake the
    first."""

    def __init__(self, services: Services) -> None:
        del services
        self._turn = asyncio.Lock()

    async def tool(self, known: KnownTool) -> AnyTool:
        """The tool itself."""
        if not known.is_loaded:
            async with self._turn:
                await asyncio.to_thread(known.whole)
        return known.whole()
