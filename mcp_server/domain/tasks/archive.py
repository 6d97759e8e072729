"""Finished work leaves the hot tables: a system task, done in batches small enough to disturb nobody."""

from dataclasses import dataclass

from mcp_server.domain.tasks.timers import archive
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import SECOND, Micros

ARCHIVE_KIND = "system.archive"
ARCHIVE_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KeepTasks:
    """For how many days finished work stays in the hot tables."""

    days: float = 30


class TaskRetention:
    """Decides what is old, and moves it."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._keep = services.option(KeepTasks)

    async def is_anything_old(self) -> bool:
        """Whether there is a task to be moved."""
        return await self._database.fetch_one("anything_archivable", before=self._before()) is not None

    async def archive_some(self) -> int:
        """Move one small batch of finished tasks out of the hot table; how many."""
        origin = self._context.origin(SYSTEM_CALL)
        return await self._database.write(archive, origin, self._before(), ARCHIVE_AT_ONCE)

    def _before(self) -> Micros:
        return self._context.clock() - round(self._keep.days * 86_400 * SECOND)


def archive_tasks(services: Services) -> Handler:
    """Moves finished work past its retention out of the hot table."""

    async def handle(job: Job) -> dict[str, int]:
        moved = 0
        while batch := await services.get(TaskRetention).archive_some():
            moved += batch
            await job.report(f"{moved} tasks archived")
        return {"archived": moved}

    return handle


async def is_anything_old(services: Services) -> bool:
    """Whether there is a task to be moved."""
    return await services.get(TaskRetention).is_anything_old()
