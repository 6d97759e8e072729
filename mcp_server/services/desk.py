"""The desk: every service of one server, in one value."""

from dataclasses import dataclass

from mcp_server.services.agents import AgentService
from mcp_server.services.context import Context
from mcp_server.services.events import CompletionService, EventService
from mcp_server.services.ports import (
    AgentTransactions,
    EventLog,
    LockTransactions,
    StateTransactions,
    TaskTransactions,
)
from mcp_server.services.state import LockService, StateService
from mcp_server.services.tasks import Housekeeping, TaskService


@dataclass(frozen=True, slots=True)
class Desk:
    """What tools and resources call."""

    agents: AgentService
    tasks: TaskService
    state: StateService
    locks: LockService
    events: EventService
    completions: CompletionService
    housekeeping: Housekeeping
    version: str
    engine: str


def make_desk(
    context: Context,
    *,
    version: str,
    agents: AgentTransactions,
    tasks: TaskTransactions,
    state: StateTransactions,
    locks: LockTransactions,
    log: EventLog,
) -> Desk:
    """Build every service once."""
    return Desk(
        agents=AgentService(context, agents, tasks),
        tasks=TaskService(context, tasks),
        state=StateService(context, state),
        locks=LockService(context, locks),
        events=EventService(context, log),
        completions=CompletionService(context),
        housekeeping=Housekeeping(context, tasks, state, locks),
        version=version,
        engine=context.store.engine,
    )
