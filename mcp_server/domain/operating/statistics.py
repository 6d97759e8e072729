"""What SQLite's planner knows of the tables, brought up to date once a day where they have grown. PostgreSQL does so
itself."""

from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.events import Origin
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Transaction

STATISTICS_KIND = "system.statistics"
WORTH_EVENTS = 10_000
"""In a log shorter than that nothing is large."""


def update(tx: Transaction, origin: Origin) -> None:
    """Look at the tables that have grown since they were looked at last."""
    del origin
    tx.run("statistics_update")


def update_statistics(services: Services) -> Handler:
    """Brings up to date what the planner knows."""

    async def handle(job: Job) -> dict[str, bool]:
        del job
        await services.database.write(update, services.context.origin(SYSTEM_CALL))
        return {"updated": True}

    return handle


async def is_anything_large(services: Services) -> bool:
    """Whether there is a table for which a plan matters."""
    return await services.database.fetch_one("statistics_wanted", rows=WORTH_EVENTS) is not None
