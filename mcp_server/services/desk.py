"""The desk: every service of one server, in one value."""

from dataclasses import dataclass

from mcp_server.domain.emails import EmailPolicy
from mcp_server.domain.mail_templates import Render
from mcp_server.services.agents import AgentService
from mcp_server.services.approvals import ApprovalService
from mcp_server.services.context import Context
from mcp_server.services.email_delivery import EmailDelivery
from mcp_server.services.emails import EmailService
from mcp_server.services.events import CompletionService, EventService
from mcp_server.services.housekeeping import Housekeeping
from mcp_server.services.locks import LockService
from mcp_server.services.messages import MessageService
from mcp_server.services.ports import (
    AgentTransactions,
    ApprovalTransactions,
    ClaimTransactions,
    EmailTransactions,
    EventLog,
    EventThinning,
    Feed,
    LockTransactions,
    MessageTransactions,
    StateTransactions,
    TaskTimers,
    TaskTransactions,
)
from mcp_server.services.retention import Retention
from mcp_server.services.state import StateService
from mcp_server.services.system_tasks import SystemTasks
from mcp_server.services.tasks import TaskService


@dataclass(frozen=True, slots=True)
class Desk:
    """What tools and resources call."""

    agents: AgentService
    tasks: TaskService
    state: StateService
    locks: LockService
    messages: MessageService
    emails: EmailService
    delivery: EmailDelivery
    approvals: ApprovalService
    events: EventService
    completions: CompletionService
    housekeeping: Housekeeping
    retention: Retention
    system: SystemTasks
    changes: Feed
    version: str
    engine: str


def make_desk(
    context: Context,
    *,
    version: str,
    agents: AgentTransactions,
    tasks: TaskTransactions,
    claims: ClaimTransactions,
    timers: TaskTimers,
    state: StateTransactions,
    locks: LockTransactions,
    messages: MessageTransactions,
    approvals: ApprovalTransactions,
    emails: EmailTransactions,
    policy: EmailPolicy,
    render: Render,
    links_base: str | None,
    log: EventLog,
    thinning: EventThinning,
) -> Desk:
    """Build every service once."""
    system = SystemTasks(context, tasks, claims)
    documents = StateService(context, state)
    questions = ApprovalService(context, approvals, system, links_base, policy)
    outbox = EmailService(context, emails, documents, system, policy, render)
    return Desk(
        agents=AgentService(context, agents, tasks),
        tasks=TaskService(context, tasks, claims),
        state=documents,
        locks=LockService(context, locks),
        messages=MessageService(context, messages),
        emails=outbox,
        delivery=EmailDelivery(context, emails, questions, outbox),
        approvals=questions,
        events=EventService(context, log),
        completions=CompletionService(context),
        housekeeping=Housekeeping(context, timers, agents, state, locks, messages, approvals, system),
        retention=Retention(context, timers, thinning, system, log.START),
        system=system,
        changes=context.store.feed,
        version=version,
        engine=context.store.engine,
    )
