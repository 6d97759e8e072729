"""Keeping the index of texts: what is written is found at once, and gets into the index later."""

import asyncio
from time import perf_counter

from mcp_server.domain.search import transactions
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services

INDEX_KIND = "system.index_texts"
BEHIND_MAX = 500
"""Texts that a search reads beside the index: a millisecond or two."""
REST = 9
"""For every second that the index takes of the writer, everyone else has so many."""
REPORT_SECONDS = 10


class TextIndex:
    """Decides whether the index is behind, and lets it catch up."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database

    async def is_behind(self) -> bool:
        """Whether so many texts are not in the index that a search feels it."""
        return len(await self._database.fetch_all("texts_new", limit=BEHIND_MAX)) == BEHIND_MAX

    async def index_some(self) -> int:
        """Let the index take in some texts; how many."""
        return await self._database.write(transactions.index_some)


def index_texts(services: Services) -> Handler:
    """Lets the index catch up, at a tenth of the writer's time."""

    async def handle(job: Job) -> dict[str, int]:
        index, done, told = services.get(TextIndex), 0, perf_counter()
        started = told
        while some := await index.index_some():
            done += some
            await asyncio.sleep((perf_counter() - started) * REST)
            started = perf_counter()
            if started - told > REPORT_SECONDS:
                await job.report(f"{done} texts indexed")
                told = started
        return {"indexed": done}

    return handle


async def is_behind(services: Services) -> bool:
    """Whether the index has to catch up."""
    return await services.get(TextIndex).is_behind()
