"""What the areas leave to be done from time to time: what time alone makes due, and the server's chores."""

from typing import Any

from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.system import SystemTasks
from mcp_server.kernel.area import Areas
from mcp_server.kernel.call import SYSTEM_CALL, Clock
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import iso


class Housekeeping:
    """Called by the timer of every process; several may do the same at the same time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = services.context
        self._areas = services.get(Areas)
        self._system = services.get(SystemTasks)
        self._parameters: dict[str, Any] = {
            name: value for sweep in self._areas.sweeps for name, value in sweep.parameters.items()
        }

    async def settle(self) -> None:
        """Do what is due now."""
        for sweep in self._areas.sweeps:
            await self._context.database.write(sweep.settle, self._context.origin(SYSTEM_CALL))

    async def next_due(self) -> int | None:
        """When something will next be due, in microseconds UTC; None when nothing is."""
        row = await self._context.database.fetch_one("next_due", **self._parameters)
        return None if row is None else row["at"]

    async def begin_chores(self) -> None:
        """Queue the chores for which there is something to do, each once in its period, whoever asks first."""
        now = iso(self._context.clock())
        for chore in self._areas.chores:
            if await chore.wanted(self._services):
                key = f"{chore.kind}:{now[: chore.times]}"
                await self._system.create(TaskSpec(title=chore.title, kind=chore.kind, idempotency_key=key))

    @property
    def clock(self) -> Clock:
        """The clock that `next_due` goes by."""
        return self._context.clock
