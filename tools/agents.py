"""Tools of the agent registry."""

from pydantic import Field

from mcp_server.domain.agents import AgentAction, AgentSpec, AgentStatus, InstanceSpec
from mcp_server.domain.users import Permission
from mcp_server.domain.values import Line
from mcp_server.services.agents import AgentFilter
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import AgentView
from tools.spec import DESTROY, READ, UPDATE, Arguments, Listing, Result, Tool, listed


class RegisterArguments(AgentSpec, Arguments):
    """See `agents_register`."""

    instance: InstanceSpec | None = Field(default=None, description="This session or process")


class RegisterResult(Result):
    """The agent as registered."""

    agent: AgentView
    instance_id: str | None = None
    created: bool


async def register(desk: Desk, call: Call, args: RegisterArguments) -> RegisterResult:
    """Register an agent, or bring it up to date."""
    agent, instance_id, created = await desk.agents.register(call, args, args.instance)
    return RegisterResult.model_construct(agent=agent, instance_id=instance_id, created=created)


class FindArguments(Listing):
    """See `agents_find`."""

    agent_id: str | None = None
    name: str | None = None
    status: AgentStatus | None = None
    capability: str | None = None
    tag: str | None = None
    for_task: str | None = Field(default=None, description="Task id: rank the agents that can do it")


class FindResult(Result):
    """One agent, or a list."""

    agent: AgentView | None = None
    agents: list[AgentView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One agent by its id, candidates for a task, or a filtered list."""
    if args.agent_id is not None:
        return FindResult.model_construct(agent=await desk.agents.get(call, args.agent_id))
    if args.for_task is not None:
        ranked = await desk.agents.candidates(call, args.for_task)
        left_out = max(len(ranked) - args.limit, 0) or None
        return FindResult.model_construct(agents=ranked[: args.limit], omitted=left_out)
    narrowed = AgentFilter(name=args.name, status=args.status, capability=args.capability, tag=args.tag)
    agents, next_cursor, omitted = await desk.agents.find(call, narrowed, limit=args.limit, cursor=args.cursor)
    return FindResult.model_construct(agents=agents, next_cursor=next_cursor, omitted=omitted)


class ControlArguments(Arguments):
    """See `agents_control`."""

    agent_id: str
    action: AgentAction
    reason: Line | None = None


class ControlResult(Result):
    """The agent after the action, and the tasks it had to give back."""

    agent: AgentView
    requeued: list[str]


async def control(desk: Desk, call: Call, args: ControlArguments) -> ControlResult:
    """Move an agent through its lifecycle."""
    agent, requeued = await desk.agents.control(call, args.agent_id, args.action, args.reason)
    return ControlResult.model_construct(agent=agent, requeued=requeued)


def _say_registered(result: RegisterResult) -> str:
    instance = f", instance {result.instance_id}" if result.instance_id else ""
    return f"{'Registered' if result.created else 'Updated'} agent {result.agent.name}: {result.agent.id}{instance}."


def _say_found(result: FindResult) -> str:
    if result.agent is not None:
        return f"Agent {result.agent.name} ({result.agent.id}) is {result.agent.status}."
    return listed(len(result.agents or ()), "agent", result.omitted)


TOOLS = (
    Tool(
        name="agents_register",
        title="Register an agent",
        description="Register yourself or another agent before it claims tasks. Calling again with the same name "
        "updates it and keeps its id.",
        toolset="agents",
        permission=Permission.AGENTS_REGISTER,
        hints=UPDATE,
        arguments=RegisterArguments,
        result=RegisterResult,
        run=register,
        say=_say_registered,
    ),
    Tool(
        name="agents_find",
        title="Find agents",
        description="See who is there: agent_id for one in full, for_task for the best candidates, else a list.",
        toolset="agents",
        permission=Permission.AGENTS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        run=find,
        say=_say_found,
    ),
    Tool(
        name="agents_control",
        title="Control an agent",
        description="pause: no new claims. drain: finish what runs. resume undoes both. terminate: requeue its running "
        "tasks. delete: remove a terminated agent.",
        toolset="agents",
        permission=Permission.AGENTS_CONTROL,
        hints=DESTROY,
        arguments=ControlArguments,
        result=ControlResult,
        run=control,
        say=lambda r: f"Agent {r.agent.name} is {r.agent.status}; {len(r.requeued)} tasks requeued.",
    ),
)
