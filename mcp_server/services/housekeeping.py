"""What time alone changes: due tasks, schedules, lost leases, overdue attempts, silent instances, expired documents and
locks, finished work past its retention."""

from typing import Any

from mcp_server.domain.agents import INSTANCE_ALIVE_FOR
from mcp_server.domain.task_spec import TaskSpec
from mcp_server.domain.values import SECOND, iso
from mcp_server.services.context import SYSTEM_CALL, Context
from mcp_server.services.ports import (
    AgentTransactions,
    Clock,
    LockTransactions,
    StateTransactions,
    TaskTimers,
)
from mcp_server.services.system_tasks import SystemTasks

RETENTION_DAYS_DEFAULT = 30.0
ARCHIVE_AT_ONCE = 500
ARCHIVE_KIND = "system.archive"


class Housekeeping:
    """Called by the timer of every process; several may do the same at the same time."""

    def __init__(
        self,
        context: Context,
        timers: TaskTimers,
        agents: AgentTransactions,
        state: StateTransactions,
        locks: LockTransactions,
        system: SystemTasks,
    ) -> None:
        self._context = context
        self._timers = timers
        self._sweeps: tuple[Any, ...] = (agents.mark_lost, state.expire, locks.expire)
        self._system = system

    async def settle(self) -> None:
        """Do what is due now."""
        context = self._context
        write = context.store.write
        await write(self._timers.settle_due, context.origin(SYSTEM_CALL), context.random(), context.new_id)
        for sweep in self._sweeps:
            await write(sweep, context.origin(SYSTEM_CALL))

    async def next_due(self) -> int | None:
        """When something will next be due, in microseconds UTC; None when nothing is."""
        row = await self._context.store.fetch_one("next_due", alive_for=INSTANCE_ALIVE_FOR)
        return None if row is None else row["at"]

    async def start_archiving(self, retention_days: float) -> bool:
        """Queue a system task that archives, where there is something to archive; whether there is.

        One task an hour at most, whichever process asks first.
        """
        before = self._before(retention_days)
        if await self._context.store.fetch_one("anything_archivable", before=before) is None:
            return False
        hour = iso(self._context.clock())[:13]
        spec = TaskSpec(title="Archive finished tasks", kind=ARCHIVE_KIND, idempotency_key=f"{ARCHIVE_KIND}:{hour}")
        await self._system.create(spec)
        return True

    async def archive_some(self, retention_days: float) -> int:
        """Move one small batch of finished tasks out of the hot table; how many."""
        origin = self._context.origin(SYSTEM_CALL)
        before = self._before(retention_days)
        return await self._context.store.write(self._timers.archive, origin, before, ARCHIVE_AT_ONCE)

    @property
    def clock(self) -> Clock:
        """The clock that `next_due` goes by."""
        return self._context.clock

    def _before(self, retention_days: float) -> int:
        return self._context.clock() - round(retention_days * 86_400 * SECOND)
