"""What time alone changes: due tasks, schedules, lost leases, overdue attempts, silent instances, expired documents and
locks, acknowledgements that did not come."""

from typing import Any

from mcp_server.domain.agents import INSTANCE_ALIVE_FOR
from mcp_server.services.context import SYSTEM_CALL, Context
from mcp_server.services.ports import (
    AgentTransactions,
    ApprovalTransactions,
    Clock,
    LockTransactions,
    MessageTransactions,
    StateTransactions,
    TaskTimers,
)
from mcp_server.services.system_tasks import SystemTasks


class Housekeeping:
    """Called by the timer of every process; several may do the same at the same time."""

    def __init__(
        self,
        context: Context,
        timers: TaskTimers,
        agents: AgentTransactions,
        state: StateTransactions,
        locks: LockTransactions,
        messages: MessageTransactions,
        approvals: ApprovalTransactions,
        system: SystemTasks,
    ) -> None:
        self._context = context
        self._timers = timers
        self._approvals = approvals
        self._system = system
        self._sweeps: tuple[Any, ...] = (agents.mark_lost, state.expire, locks.expire, messages.miss)

    async def settle(self) -> None:
        """Do what is due now."""
        context = self._context
        write = context.store.write
        await write(self._timers.settle_due, context.origin(SYSTEM_CALL), context.random(), context.new_id)
        for sweep in self._sweeps:
            await write(sweep, context.origin(SYSTEM_CALL))
        if await write(self._approvals.settle_approvals, context.origin(SYSTEM_CALL), context.new_id):
            self._system.created()

    async def next_due(self) -> int | None:
        """When something will next be due, in microseconds UTC; None when nothing is."""
        row = await self._context.store.fetch_one("next_due", alive_for=INSTANCE_ALIVE_FOR)
        return None if row is None else row["at"]

    @property
    def clock(self) -> Clock:
        """The clock that `next_due` goes by."""
        return self._context.clock
