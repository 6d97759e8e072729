"""System tasks: work that the server itself does, in the same queue, with the same leases, retries and dead letters."""

from collections.abc import Callable, Iterable

from mcp_server.domain.tasks.claiming import Leased, claim_system
from mcp_server.domain.tasks.commands import ClaimSystemTasks
from mcp_server.domain.tasks.creation import SYSTEM_WORK, create_one
from mcp_server.domain.tasks.results import ClaimedTask, claimed_task
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.standing import TaskState, task_state
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.services import Services

__all__ = ["SYSTEM_WORK", "SystemTasks"]


def _nobody_minds(claimed: ClaimedTask) -> None:
    del claimed  # its lease ends by itself


class SystemTasks:
    """Create and claim system tasks. Reporting and finishing go through `TaskService`, like anyone's."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database

    async def create(self, spec: TaskSpec) -> TaskState:
        """Queue one system task, or find the one with its idempotency key."""
        created = await self._database.write(create_one, self._context.origin(SYSTEM_CALL), spec)
        return task_state(created.task, created.replayed)

    async def ready(self, kinds: Iterable[str]) -> set[str]:
        """Those of the kinds of which a task is queued; a read, so that looking costs no writer's turn."""
        rows = await self._database.fetch_all("system_ready", kinds=dump_json(list(kinds)))
        return {row["kind"] for row in rows}

    async def claim(
        self, room: dict[str, int], lease_seconds: float, orphaned: Callable[[ClaimedTask], None] = _nobody_minds
    ) -> list[ClaimedTask]:
        """Lease queued system tasks, of each kind as many as there is room for. Should the caller be cancelled while
        that is committed, `orphaned` is told each of them."""

        def nobodys(leased: list[Leased]) -> None:
            for one in leased:
                orphaned(claimed_task(*one))

        command = ClaimSystemTasks(room, lease_seconds)
        written = (claim_system, self._context.origin(SYSTEM_CALL), command)
        return [claimed_task(*leased) for leased in await self._database.write_or(nobodys, *written)]
