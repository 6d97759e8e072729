"""Tools of the agent registry."""

from collections.abc import Iterable
from functools import partial
from itertools import starmap
from typing import Any

from pydantic import Field

from mcp_server.domain.agents.commands import ControlAgent, FindAgents, Register
from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.views import AgentState, AgentView, ControlledAgent, HeirView, RegisteredAgent
from mcp_server.domain.approvals.rules import Form
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.meaning import AgentName, TaskId
from mcp_server.kernel.paging import floors
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.views import View
from tools.facts import AGENT, beside
from tools.hints import as_asked, hint
from tools.spec import DESTROY, READ, UPDATE, Part, Tool, counted, listed

_OPEN_NAMED_MAX = 20
HOLDERS_MAX = 5
"""Of how many agents in a list is told what each holds: who looks at more looks for one."""


class FindArguments(FindAgents):
    """See `agents_find`."""

    agent_id: AgentName | None = None
    for_task: TaskId | None = Field(default=None, description="Task id: rank the agents that can do it")


class FindResult(View):
    """One agent, or a list."""

    agent: AgentView | None = None
    agents: list[AgentView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One agent by its id, candidates for a task, or a filtered list."""
    if args.agent_id is not None:
        return await _one(desk, call, args, args.agent_id)
    if args.for_task is not None:
        needs = await desk.tasks.needs(call, args.for_task)
        ranked = await desk.agents.candidates(call, *needs)
        return FindResult(agents=ranked[: args.limit], omitted=max(len(ranked) - args.limit, 0) or None)
    agents, next_cursor, omitted = await desk.agents.find(call, args)
    if len(agents) <= HOLDERS_MAX:
        agents = [await _with_holds(desk, call, one) for one in agents]
    why = None if agents else await _nothing_of(desk, call, args)
    return FindResult(
        agents=agents, next_cursor=next_cursor, omitted=omitted, at_least=floors(omitted=omitted), hint=why
    )


async def _one(desk: Desk, call: Call, args: FindArguments, agent_id: str) -> FindResult:
    """One agent; with how well it fits a task, where one is named beside it."""
    agent = await _with_holds(desk, call, await desk.agents.get(call, agent_id))
    agent, fits = await _fitting(desk, call, agent, args.for_task)
    others = args.model_copy(update={"capability": None, "for_task": None})
    amiss = as_asked(others, "agent_id", agent, {"name": "name", "status": "status", "tag": "tags"})
    said = " ".join(filter(None, (amiss, _lacking(agent, args.capability), fits)))
    return FindResult(agent=agent, hint=said or None)


def _lacking(agent: AgentView, capability: str | None) -> str:
    able = [one["name"] for one in agent.capabilities or ()]
    return "" if capability is None or capability in able else f"It lacks the capability {named(capability)}."


async def _fitting(desk: Desk, call: Call, agent: AgentView, task_id: str | None) -> tuple[AgentView, str]:
    """An agent with its score for a task, and whether it can take that up, in words."""
    if task_id is None:
        return agent, ""
    ranked = await desk.agents.candidates(call, *await desk.tasks.needs(call, task_id))
    for one in ranked:
        if one.id == agent.id:
            return agent.evolved({"score": one.score, "reason": one.reason}), f"For {task_id}: {one.reason}."
    return agent, f"It cannot take {task_id} up now."


async def _with_holds(desk: Desk, call: Call, agent: AgentView) -> AgentView:
    """An agent with what it would leave behind and the tasks that it works on, as far as the caller may see such."""
    found: list[Holding | None] = []
    if _is_seen(call, "tasks", Permission.TASKS_READ):
        found += await desk.tasks.held_by(call, agent.id)
    for toolset, permission, held_by in (
        ("state", Permission.STATE_READ, desk.locks.held_by),
        ("communication", Permission.MESSAGES_RECEIVE, desk.messages.held_by),
        ("communication", Permission.APPROVALS_READ, desk.approvals.held_by),
    ):
        found += [await held_by(call, agent.id)] if _is_seen(call, toolset, permission) else []
    return agent.evolved({"holds": _by_kind(found)})


def _is_seen(call: Call, toolset: str, permission: Permission) -> bool:
    return call.is_offered(toolset) and call.actor.may(permission)


def _by_kind(found: Iterable[Holding | None]) -> dict[str, Any] | None:
    return {one.what: one.told() for one in filter(None, found)} or None


async def _nothing_of(desk: Desk, call: Call, args: FindArguments) -> str | None:
    there = await desk.agents.candidates(call, None, ())
    skills = {one["name"] for agent in there for one in agent.capabilities or ()}
    tags = {tag for agent in there for tag in agent.tags or ()}
    names = (agent.name for agent in there)
    return hint("agent", {"name": (args.name, names), "capability": (args.capability, skills), "tag": (args.tag, tags)})


_AT_WORK = ("initializing", "idle", "active")
"""Statuses of an agent that has room for a task."""


def _say_registered(result: RegisteredAgent) -> str:
    instance = f", instance {result.instance_id}" if result.instance_id else ""
    what = f"{'Registered' if result.created else 'Updated'} agent {result.agent.name}: {result.agent.id}{instance}."
    can = result.agent.status in _AT_WORK and result.agent.budget is None
    new = " (it reads initializing until its first claim)" if result.agent.status == "initializing" else ""
    said = f"{what} It can claim tasks now{new}." if can else f"{what}{_at_rest(result.agent)}"
    return " ".join((said, *_who_speaks(result.agent), *(f"But {one}" for one in result.warnings or ())))


def _who_speaks(agent: AgentState) -> list[str]:
    """As whom calls count from now on that do not say it, where that is another than before."""
    if agent.speaks is None:
        return []
    if agent.speaks:
        return ["Calls of this session without as_agent are spoken by it from now on."]
    return ["This session has registered several: calls without as_agent are spoken by none of them from now on."]


def _at_rest(agent: AgentState) -> str:
    """How one is brought back that claims nothing since somebody put it to rest, or had it leave; or makes room."""
    if agent.status not in ("maintenance", "terminated"):
        return ""
    free = "" if agent.status == "maintenance" else "; action='delete' leaves the name to a new one"
    stands = f"{_STANDS.get(agent.status, agent.status)}{_why(agent)}"
    return f" It is {stands} and claims nothing until {_again(agent)}{free}."


def _again(agent: AgentState) -> str:
    """The call that has one work again."""
    return f"agents_control(agent_id='{agent.id}', action='resume')"


def _say_found(result: FindResult) -> str:
    if result.agent is not None:
        who = f"Agent {result.agent.name} ({result.agent.id})"
        return f"{who} is {result.agent.status}{_holds(result.agent)}. {result.hint or ''}".rstrip()
    return f"{listed(len(result.agents or ()), 'agent', result.omitted)} {result.hint or ''}".rstrip()


def _why(agent: AgentState) -> str:
    return f" ({quoted(agent.status_reason)})" if agent.status_reason else ""


_STANDS = {"maintenance": "in maintenance", "initializing": "at work again"}
"""How statuses read in a sentence, where that is not the word itself: one that has claimed nothing yet initializes, and
whoever has it resume is not told of that."""


def _now(result: ControlledAgent) -> str:
    agent = result.agent
    stands = f"{_STANDS.get(agent.status, agent.status)}{_why(agent)}"
    if agent.status != "maintenance":
        return stands
    kept = "" if result.handed_over else ", what is assigned to it waits"
    return f"{stands}: it claims nothing new{kept}; nothing but {_again(agent)} ends that{_still(agent.running)}"


def _still(running: int) -> str:
    return f"; it still holds {counted(running, 'running task')}, to finish" if running else ""


def _say_controlled(result: ControlledAgent) -> str:
    """What it held is told as well: a task that was pinned to it, a lock, a message are somebody else's now."""
    said = [f"{counted(len(result.requeued), 'task')} requeued"] if result.requeued else []
    told = (("handed over", result.handed_over), ("it keeps", result.holds))
    said += [f"{how}: {_each(held)}" for how, held in told if held]
    now = f"deleted{_why(result.agent)}" if result.deleted else _now(result)
    told = f"{'; '.join([f'Agent {result.agent.name} is {now}', *said])}."
    return " ".join((told, *_say_open(result), *_say_line(result.agent.heir)))


def _say_open(result: ControlledAgent) -> list[str]:
    """Which of the tasks that it worked on are not its heir's alone: whoever claims first has them, and who meant them
    for the heir is told how to give them to it."""
    pinned = (result.handed_over or {}).get("pinned_tasks", {"which": [], "total": 0})
    left = [one for one in result.requeued if one not in pinned["which"]]
    heir = result.agent.heir
    if heir is None or not left or len(pinned["which"]) < pinned["total"]:
        return []
    gives = (
        f"tasks_control(task_ids={dump_json(left[:_OPEN_NAMED_MAX])}, action='assign', agent_id={quoted(heir.name)})"
    )
    return [f"What it worked on is open to whoever can do it; {gives} gives it to {heir.name} alone."]


def _say_line(heir: HeirView | None) -> list[str]:
    """That who takes over cannot take up at once all that it alone may."""
    if heir is None or (heir.pinned_tasks or 0) <= heir.capacity:
        return []
    raised = f"agents_register(name={quoted(heir.name)}, max_concurrent_tasks=...) raises that"
    return [
        f"But {heir.name} runs {heir.capacity} at once, and {heir.pinned_tasks} tasks are for it alone: they wait in "
        f"line; {raised}."
    ]


def _each(held: dict[str, Any]) -> str:
    """How many there are of each kind."""
    return ", ".join(counted(one["total"], what.replace("_", " ").removesuffix("s")) for what, one in held.items())


def _holds(agent: AgentView) -> str:
    return f"; it holds {', '.join(starmap(_held, agent.holds.items()))}" if agent.holds else ""


def _held(what: str, held: dict[str, Any]) -> str:
    """How many of a kind, and until when at the latest where they end by themselves."""
    until = f" (until {max(held['until'].values())} unless renewed{_silent(held)})" if held.get("until") else ""
    return f"{counted(held['total'], what.replace('_', ' ').removesuffix('s'))}{until}"


def _silent(held: dict[str, Any]) -> str:
    """From when on the first of them is free, should its instance not be heard of until then."""
    ends = held.get("free_if_silent_until")
    return f", from {min(ends.values())} on if its instance stays silent" if ends else ""


def _says_control(args: ControlAgent) -> str:
    handed = f", and hand what it holds over to {named(args.to_agent)}" if args.to_agent is not None else ""
    return f"{args.action.capitalize()} agent {named(args.agent_id)}{handed}."


def _as_scaling(args: Register, said: dict[str, Any]) -> list[Form]:
    """How many instances an agent has is said when it registers, too."""
    del args
    scaled = {"agent_id": said["name"], "scaling": said["scaling"]}
    return [] if said["scaling"] is None else [Form("agents_scale", scaled)]


TOOLS = (
    Tool(
        name="agents_register",
        title="Register an agent",
        description="Register yourself or another agent before it claims tasks. Again with the same name, it "
        "changes only what is given.",
        toolset="agents",
        permission=Permission.AGENTS_REGISTER,
        hints=UPDATE,
        arguments=Register,
        speaks="name",
        introduces=True,
        result=RegisteredAgent,
        write=lambda desk: desk.agents.register,
        foreseen=lambda desk: desk.agents.register,
        part=Part(
            lambda args: f"Register agent {named(args.name)}{beside(args, AGENT)}, or change what is given.",
            makes=lambda args: ["agent"],
            made=lambda done: [done.agent_id],
            refers={"name": "agent"},
            forms=_as_scaling,
        ),
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
        does=lambda desk: partial(find, desk),
        say=_say_found,
    ),
    Tool(
        name="agents_control",
        title="Control an agent",
        description="pause: no new claims. drain: finish what runs. terminate: requeue its running tasks. resume "
        "undoes all three. delete: remove a terminated agent. Whoever holds tasks, locks, messages or questions leaves "
        "only with to_agent.",
        toolset="agents",
        permission=Permission.AGENTS_CONTROL,
        hints=DESTROY,
        arguments=ControlAgent,
        result=ControlledAgent,
        write=lambda desk: desk.agents.control,
        part=Part(_says_control, refers={"agent_id": "agent", "to_agent": "agent"}),
        say=_say_controlled,
    ),
)
