"""System tasks: work that the server itself does, in the same queue, with the same leases, retries and dead letters."""

from collections.abc import Callable, Sequence
from typing import Any

from mcp_server.domain.task_commands import Claim, NewTask
from mcp_server.domain.task_spec import SYSTEM_WORKER, TaskSpec
from mcp_server.domain.values import dump_json
from mcp_server.services.context import SYSTEM_CALL, Context
from mcp_server.services.ports import ClaimTransactions, TaskTransactions
from mcp_server.services.tasks import ClaimedTask, claimed_task
from mcp_server.services.views import TaskView, task_full


class SystemTasks:
    """Create and claim system tasks. Reporting and finishing go through `TaskService`, like anyone's."""

    def __init__(self, context: Context, tasks: TaskTransactions, claims: ClaimTransactions) -> None:
        self._context = context
        self._tasks = tasks
        self._claims = claims
        self.on_created: Callable[[], None] | None = None
        """Tells this process's own worker that there is something to do."""

    async def create(self, spec: TaskSpec) -> TaskView:
        """Queue one system task, or find the one with its idempotency key."""
        new = (NewTask(self._context.new_id("task"), spec),)
        (outcome,) = await self._context.store.write(self._tasks.create, self._context.origin(SYSTEM_CALL), new)
        self.created()
        return task_full(outcome.task, replayed=outcome.replayed)

    def created(self) -> None:
        """Say that a system task was committed, whichever transaction created it."""
        if self.on_created is not None:
            self.on_created()

    async def any_ready(self) -> bool:
        """Whether a system task is queued; a read, so that looking costs no writer's turn."""
        row = await self._context.store.fetch_one("system_ready")
        return row is not None and row["n"] > 0

    async def claim(self, kinds: Sequence[str], max_tasks: int, lease_seconds: float) -> list[ClaimedTask]:
        """Lease queued system tasks of the kinds that the caller has handlers for."""
        context = self._context
        wanted = dump_json(list(kinds))
        command = Claim(SYSTEM_WORKER, None, max_tasks, wanted, lease_seconds, context.random(), context.new_id)
        rows: list[dict[str, Any]] = await context.store.write(
            self._claims.claim_system, context.origin(SYSTEM_CALL), command
        )
        return [claimed_task(row) for row in rows]
