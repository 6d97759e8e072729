"""What callers see of agents."""

from typing import Any

from mcp_server.domain.agents.metrics import budget_used
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR, Load, derive_status
from mcp_server.domain.agents.seen import AgentNow
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros, iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none, list_or_none


class InstanceView(View):
    """A running process or session of an agent."""

    id: str
    label: str
    host: str | None = None
    pid: int | None = None
    last_seen_at: str
    lost_at: str | None = None
    counts_as_lost_after: str | None = None
    alive: bool
    process: dict[str, Any] | None = None


class AgentView(View):
    """One agent, with what can be derived from its tasks and instances."""

    id: str
    name: str
    kind: str
    description: str | None = None
    status: str
    status_reason: str | None = None
    capabilities: list[dict[str, str]] | None = None
    tags: list[str] | None = None
    running: int
    capacity: int
    instances_alive: int
    launcher: dict[str, Any] | None = None
    scaling: dict[str, Any] | None = None
    desired_instances: int | None = None
    instances_running: int | None = None
    unread: int | None = None
    holds: dict[str, Any] | None = None
    instances: list[InstanceView] | None = None
    metrics: dict[str, float] | None = None
    budget: dict[str, float] | None = None
    score: float | None = None
    reason: str | None = None
    created_at: str
    updated_at: str


def agent_view(row: Row) -> AgentView:
    """An agent in a list."""
    return AgentView(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        description=row["description"] or None,
        status=derive_status(row["lifecycle"], _load(row)),
        status_reason=row["lifecycle_reason"],
        capabilities=list_or_none(row["capabilities"]),
        tags=list_or_none(row["tags"]),
        running=row["running"],
        capacity=row["max_concurrent_tasks"],
        instances_alive=row["instances_alive"],
        launcher=json_or_none(row["launcher"]),
        scaling=json_or_none(row["scaling"]),
        desired_instances=row["desired_instances"] or None,
        instances_running=row["processes_running"] or None,
        unread=row["unread"] or None,
        created_at=iso(row["created_at"]),
        updated_at=iso(row["updated_at"]),
    )


def _load(row: Row) -> Load:
    return Load(
        running=row["running"],
        capacity=row["max_concurrent_tasks"],
        known=row["instances_known"],
        alive=row["instances_alive"],
        launched=row["launcher"] is not None,
        desired=row["desired_instances"],
        settled=row["processes_settled"],
        has_worked=bool(row["has_worked"]),
    )


def instance_view(row: Row, alive_since: Micros) -> InstanceView:
    """One instance of an agent."""
    return InstanceView(
        id=row["id"],
        label=row["label"],
        host=row["host"],
        pid=row["pid"],
        last_seen_at=iso(row["last_seen_at"]),
        lost_at=iso_or_none(row["lost_at"]),
        counts_as_lost_after=None if row["lost_at"] else iso(row["last_seen_at"] + INSTANCE_ALIVE_FOR),
        alive=row["lost_at"] is None and row["last_seen_at"] > alive_since,
        process=None if row["process_status"] is None else _process(row),
    )


def _process(row: Row) -> dict[str, Any]:
    """What the supervisor knows of an instance that it runs."""
    known = {"status": row["process_status"], "reason": row["process_reason"], "last_exit": row["exit"]}
    told = {name: value for name, value in known.items() if value is not None}
    told |= {"adopted": True} if row["adopted"] else {}
    return told | {"starts": row["starts"], "log": f"ops://processes/{row['id']}/log"}


class AgentState(View):
    """Where an agent stands after a write: its caller knows what was said of it. Where that changes who speaks in calls
    of this session that name nobody, whether it is this one."""

    id: str
    name: str
    status: str
    status_reason: str | None = None
    running: int
    capacity: int
    instances_alive: int
    desired_instances: int | None = None
    instances_running: int | None = None
    unread: int | None = None
    budget: dict[str, float] | None = None
    capabilities: list[dict[str, str]] | None = None
    speaks: bool | None = None
    heir: "HeirView | None" = None


_OF_A_CHANGE = ("speaks", "heir")
"""What is told by the change that brings it about."""


class HeirView(View):
    """Who has taken over from an agent: how much it runs, and how many tasks wait for it alone or are run by it."""

    id: str
    name: str
    status: str
    running: int
    capacity: int
    pinned_tasks: int | None = None


def heir_view(now: AgentNow, pinned: int) -> HeirView:
    """Who has taken over, as it stands then."""
    agent = agent_view(now.row)
    told = {name: getattr(agent, name) for name in ("id", "name", "status", "running", "capacity")}
    return HeirView(**told, pinned_tasks=pinned or None)


def agent_state(now: AgentNow) -> AgentState:
    """Where an agent stands."""
    agent = agent_view(now.row).evolved({"budget": budget_used(now.row, now.used)})
    told = {name: getattr(agent, name) for name in AgentState.__annotations__ if name not in _OF_A_CHANGE}
    return AgentState.adopt(told | dict.fromkeys(_OF_A_CHANGE))


class RegisteredAgent(View):
    """The agent as registered, and what may not be meant."""

    agent: AgentState
    instance_id: str | None = None
    created: bool
    warnings: list[str] | None = None


class ControlledAgent(View):
    """The agent after the action, the tasks it had to give back, and by what it is, what it handed over, or keeps while
    it is at rest."""

    agent: AgentState
    requeued: list[str]
    handed_over: dict[str, Any] | None = None
    holds: dict[str, Any] | None = None
    deleted: bool | None = None


_AVAILABILITY = {"idle": 1.0, "active": 0.8, "scaling": 0.7, "initializing": 0.6, "busy": 0.2, "error": 0.1}


def scored(agent: AgentView) -> AgentView:
    """How soon an agent could start: its status first, then its free capacity."""
    free = max(agent.capacity - agent.running, 0) / agent.capacity
    score = round(_AVAILABILITY.get(agent.status, 0.0) * (0.7 + 0.3 * free), 3)
    reason = f"can do it; {agent.status}, {agent.running} of {agent.capacity} running"
    return agent.evolved({"score": score, "reason": reason})
