"""How long events are kept in full: then snapshots of what still lives take their place."""

from dataclasses import dataclass

from mcp_server.domain.events.thinning import begin_thinning, thin_out
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.positions import START, Position
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import SECOND, Micros

THIN_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class KeepEvents:
    """For how many days events are kept in full."""

    days: float = 90


class EventRetention:
    """Drops what is too old, in batches small enough to disturb nobody."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._keep = services.option(KeepEvents)
        self._areas = services.get(Areas)

    async def is_anything_old(self) -> bool:
        """Whether there is an event to be dropped."""
        return await self._database.fetch_one("any_event_before", before=self._before()) is not None

    async def horizon(self) -> Position | None:
        """Give up the events that are too old: from now on, cursors before the place returned are refused."""
        origin = self._context.origin(SYSTEM_CALL)
        return await self._database.write(begin_thinning, origin, self._areas, self._before())

    async def thin_some(self, after: Position | None, horizon: Position) -> tuple[Position | None, int]:
        """Look at one small batch of old events; where to go on (None: at the end), and how many were dropped."""
        place, origin = after or START, self._context.origin(SYSTEM_CALL)
        return await self._database.write(thin_out, origin, self._areas, place, horizon, THIN_AT_ONCE)

    def _before(self) -> Micros:
        return self._context.clock() - round(self._keep.days * 86_400 * SECOND)


async def is_anything_old(services: Services) -> bool:
    """Whether there is an event to be dropped."""
    return await services.get(EventRetention).is_anything_old()
