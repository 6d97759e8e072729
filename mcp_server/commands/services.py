"""The services of a store by themselves, for a command that needs one or two: the whole desk would start three times
slower."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp_server.config import Settings
from mcp_server.domain.areas import AREAS
from mcp_server.kernel.call import Context
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.services import Services
from mcp_server.persistence.database import Database


@asynccontextmanager
async def services_on(settings: Settings) -> AsyncGenerator[Services]:
    """The services on the store that the settings name, which is closed at the end."""
    database = await Database.open(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        yield Services(Context(database, database.clock, new_id, random.random), AREAS)
    finally:
        await database.close()
