"""Which calls are old. Every server asks, so little is loaded for it."""

from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import Micros, duration


async def old_calls(services: Services, limit: int) -> list[str]:
    """Some that are to be forgotten, by their ids."""
    before: Micros = services.context.clock() - duration(services.option(CallPolicy).keep_days * 86_400)
    return [row["id"] for row in await services.database.fetch_all("calls_old", before=before, limit=limit)]


async def is_anything_old(services: Services) -> bool:
    """Whether there is a call to be forgotten."""
    return bool(await old_calls(services, 1))
