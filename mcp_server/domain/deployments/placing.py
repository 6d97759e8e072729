"""What the target `process` asks of the store: the places of a deployment, and their changes."""

from collections.abc import Callable
from typing import Any, TypeVarTuple

from mcp_server.domain.deployments.places import OWNER, Place, allot, places_of
from mcp_server.domain.processes.model import Process
from mcp_server.domain.processes.running import Tail
from mcp_server.domain.processes.service import ProcessService
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.events import Origin
from mcp_server.kernel.services import Services

Args = TypeVarTuple("Args")


class Places:
    """Reads and changes places."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._processes = services.get(ProcessService)

    @property
    def host(self) -> str:
        """What this host is called."""
        return self._processes.host

    def tail(self, place: Place) -> Tail | None:
        """The end of what was written in a place; None where that does not lie here."""
        return self._processes.tail(place.process)

    async def of(self, deployment_id: str) -> list[Place]:
        """Every place of a deployment."""
        return places_of(await self._processes.of_owner(OWNER, deployment_id))

    async def ports(self) -> set[int]:
        """The ports that were given out on this host, also to what is stopped."""
        everywhere = places_of(await self._processes.of_kind(OWNER))
        return {one.spec.port for one in everywhere if one.spec.port is not None and one.process.host == self.host}

    async def write(self, function: Callable[[Any, Origin, *Args], object], *args: *Args) -> None:
        """Change places: one of the transaction functions of `places`."""
        await self._context.write(SYSTEM_CALL, function, *args)

    async def allot(self, place: Place, port: int) -> Process:
        """Give a place a port.

        Raises:
            LeaseLost: something has happened to it since it was looked at.
        """
        return await self._context.write(SYSTEM_CALL, allot, place, port)
