"""Agents: who can take up work, and the running instances that do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.commands import (
    AgentAction,
    AgentSpec,
    AgentStatus,
    BudgetSpec,
    InstanceSpec,
    LauncherUse,
    Lifecycle,
    ScalingSpec,
)
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import (
    AtCapacity,
    Conflict,
    InvalidTransition,
    LimitExceeded,
    NotFound,
    PermissionDenied,
)
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, dump_json, json_list
from mcp_server.kernel.merging import merged
from mcp_server.kernel.near import did_you_mean
from mcp_server.kernel.quoting import named
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import SECOND, Micros

HEARTBEAT_SECONDS = 20
"""How often a running instance is expected to be heard of; three missed intervals mean it is gone."""

INSTANCE_ALIVE_FOR: Micros = 3 * HEARTBEAT_SECONDS * SECOND
_MOVES: dict[str, dict[str, str]] = {
    "active": {"pause": "paused", "drain": "draining", "terminate": "terminated"},
    "paused": {"resume": "active", "drain": "draining", "terminate": "terminated"},
    "draining": {"resume": "active", "pause": "paused", "terminate": "terminated"},
    "terminated": {"resume": "active", "delete": "deleted"},
}


OPERATORS_FIELDS = ("budget", "capabilities", "max_concurrent_tasks")
"""What decides which work an agent gets, and how much."""


class Registrar(NamedTuple):
    """Who says something of an agent: the principal, and whether it may control agents."""

    principal: str
    is_operator: bool


class Agent(Record):
    """The aggregate. JSON columns stay text here: no rule looks inside them."""

    id: str
    name: str
    kind: str
    description: str
    capabilities: str
    skills: str
    max_concurrent_tasks: int
    tags: str
    lifecycle: Lifecycle
    lifecycle_reason: str | None
    created_at: Micros
    updated_at: Micros
    version: int
    budget: str | None
    registered_by: str | None
    operator_set: str
    launcher: str | None
    scaling: str | None
    desired_instances: int
    decision: str | None

    @staticmethod
    def registered(agent_id: str, spec: AgentSpec, by: "Registrar", now: Micros) -> tuple["Agent", Event]:
        """A new agent, active at once, which remembers the principal that registered it."""
        data = spec.columns() | {
            "registered_by": by.principal,
            "operator_set": json_list(sorted(spec.said()) if by.is_operator else []),
            "lifecycle": "active",
            "lifecycle_reason": None,
            "desired_instances": 0,
            "decision": None,
            "created_at": now,
            "updated_at": now,
        }
        agent = Agent.adopt({"id": agent_id, "version": 1} | data)
        return agent, Event("agent.registered", "agent", agent_id, 1, data, creates=True)

    def speaker(self) -> Speaker:
        """The agent as one who speaks."""
        return Speaker(self.id, self.name)

    def described(self, spec: AgentSpec, by: "Registrar", now: Micros) -> tuple["Agent", Event | None]:
        """The agent with what is now said of it, and nothing else changed; no event when that is what is known.

        Raises:
            PermissionDenied: an operator set what would be changed, and this is none.
        """
        spec = self._with_what_stays(spec)
        columns, said = spec.columns(), spec.said()
        changed = {field for field in said if columns[field] != getattr(self, field)}
        changes = {field: columns[field] for field in sorted(changed)} | self._kept(said, changed, by)
        if "capabilities" in changes:
            changes["skills"] = columns["skills"]
        return self._evolved("agent.described", changes, now) if changes else (self, None)

    def _with_what_stays(self, spec: AgentSpec) -> AgentSpec:
        """What is said of it, with what stays of each object of which only a part is said."""
        whole = {
            "budget": merged(self.budget_spec(), spec.budget),
            "scaling": merged(self.scaling_spec(), spec.scaling),
            "launcher": self._launched(spec.launcher),
        }
        return spec.model_copy(update={name: whole[name] for name in whole.keys() & spec.said()})

    def _launched(self, said: LauncherUse | None) -> LauncherUse | None:
        """A launcher with the arguments that it has, where it is the same and none are said."""
        was = None if self.launcher is None else LauncherUse.model_validate_json(self.launcher)
        return merged(was, said) if was is not None and said is not None and was.name == said.name else said

    def _kept(self, said: set[str], changed: set[str], by: "Registrar") -> dict[str, Any]:
        """What an operator says is an operator's from now on."""
        kept = set(json.loads(self.operator_set))
        if changed & kept and not by.is_operator:
            raise operators_alone(self, sorted(changed & kept))
        return {"operator_set": json_list(sorted(said | kept))} if by.is_operator and not said <= kept else {}

    def moved(self, action: AgentAction, reason: str | None, now: Micros) -> tuple["Agent", Event]:
        """The agent after a lifecycle action.

        Raises:
            InvalidTransition: naming the actions that are legal now.
        """
        legal = _MOVES[self.lifecycle]
        if action not in legal:
            raise InvalidTransition(
                f"Agent {self.name} is {in_words(self.lifecycle)}, so {action} is not possible.",
                next=f"{_INSTEAD[action].format(id=self.id)} Legal now: {', '.join(legal)}.",
                details={"agent_id": self.id, "lifecycle": self.lifecycle, "legal": list(legal)},
            )
        if action == "delete":
            return self, Event("agent.deleted", "agent", self.id, self.version + 1, {"name": self.name}).because(reason)
        changes = {"lifecycle": legal[action], "lifecycle_reason": reason}
        return self._evolved(f"agent.{_PAST[action]}", changes, now)

    def require_work_allowed(self, running: int) -> None:
        """Refuse a claim when the agent may not take work now.

        Raises:
            InvalidTransition: paused, draining or terminated.
            AtCapacity: already running as many tasks as it said it can.
        """
        if self.lifecycle != "active":
            raise InvalidTransition(
                f"Agent {self.id} is {in_words(self.lifecycle)} and takes no new work.",
                next=f"Resume it: agents_control(agent_id='{self.id}', action='resume').",
                details={"agent_id": self.id, "lifecycle": self.lifecycle, "reason": self.lifecycle_reason},
            )
        if running >= self.max_concurrent_tasks:
            raise AtCapacity(
                f"Agent {self.id} already runs {running} of {self.max_concurrent_tasks} tasks.",
                next="Finish one with tasks_finish; tasks_claim(resume=true) gives fresh tokens for what it holds. "
                f"More at once: agents_register(name='{self.name}', max_concurrent_tasks=...) by who may set that.",
                details={"agent_id": self.id, "running": running, "capacity": self.max_concurrent_tasks},
            )

    def scaling_spec(self) -> ScalingSpec | None:
        """The rules by which its instances come and go, if there are any."""
        return None if self.scaling is None else ScalingSpec.model_validate_json(self.scaling)

    def scaled(
        self, desired: int, policy: ScalingSpec | None, decision: Mapping[str, Any], now: Micros
    ) -> tuple["Agent", Event]:
        """With another number of instances, by these rules or by none, and why."""
        scaling = None if policy is None else RawJson(policy.model_dump_json())
        changes = {"desired_instances": desired, "scaling": scaling, "decision": RawJson(dump_json(dict(decision)))}
        return self._evolved("agent.scaled", changes, now)

    def budget_spec(self) -> BudgetSpec | None:
        """The agent's budget, if it has one."""
        return None if self.budget is None else BudgetSpec.model_validate_json(self.budget)

    def require_budget(self, month: str, tokens: int, cost_usd: float) -> None:
        """Refuse a claim when the month's budget is used up.

        Raises:
            LimitExceeded: naming what was used.
        """
        budget = self.budget_spec()
        if budget is not None and budget.used_share(tokens, cost_usd) >= 1:
            raise LimitExceeded(
                f"Agent {self.id} has used up its budget for {month}: {tokens} tokens, {cost_usd:.2f} USD.",
                next=f"An operator may raise it with agents_register(name='{self.name}', budget=...); or wait for the "
                "next month.",
                details={"agent_id": self.id, "month": month, "tokens": tokens, "cost_usd": cost_usd}
                | budget.model_dump(exclude_none=True),
            )

    def budget_events(self, month: str, before: tuple[int, float], after: tuple[int, float]) -> list[Event]:
        """What is said when a month's use crosses the warning or the limit."""
        budget = self.budget_spec()
        if budget is None:
            return []
        was, now = budget.used_share(*before), budget.used_share(*after)
        facts = {"month": month, "tokens_used": after[0], "cost_usd_used": after[1], "share": round(now, 4)}
        crossed = [("budget_warning", budget.warn_at), ("budget_exhausted", 1.0)]
        return [
            Event(f"agent.{name}", "agent", self.id, self.version, facts) for name, at in crossed if was < at <= now
        ]

    def _evolved(self, kind: str, changes: dict[str, Any], now: Micros) -> tuple["Agent", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(kind, "agent", self.id, version, data)


class Instance(Record):
    """A running process or session of an agent: the stored columns. `last_seen_at` moves without events."""

    id: str
    agent_id: str
    label: str
    host: str | None
    pid: int | None
    started_at: Micros
    last_seen_at: Micros
    lost_at: Micros | None
    version: int

    @staticmethod
    def introduced(instance_id: str, agent_id: str, spec: InstanceSpec, now: Micros) -> Event:
        """A new instance."""
        data = {"agent_id": agent_id, "label": spec.label, "host": spec.host, "pid": spec.pid}
        times = {"started_at": now, "last_seen_at": now, "lost_at": None}
        return Event("instance.introduced", "instance", instance_id, 1, data | times, creates=True)

    def returned(self, now: Micros, spec: InstanceSpec | None = None) -> Event:
        """Heard of again under its old identity, perhaps from another process."""
        data: dict[str, Any] = {"last_seen_at": now, "lost_at": None}
        if spec is not None:
            data |= {"host": spec.host, "pid": spec.pid}
        return Event("instance.returned", "instance", self.id, self.version + 1, data)

    def lost(self, now: Micros) -> Event:
        """Not heard of for three heartbeat intervals."""
        return Event("instance.lost", "instance", self.id, self.version + 1, {"lost_at": now})


_PAST = {"pause": "paused", "resume": "resumed", "drain": "draining", "terminate": "terminated"}


def operators_alone(agent: Agent, fields: Sequence[str]) -> PermissionDenied:
    """The refusal to change what an operator set."""
    return PermissionDenied(
        f"An operator set {', '.join(fields)} of agent {agent.name}, so only an operator changes that. Nothing was "
        "changed.",
        next=f"Register again without {', '.join(fields)}.",
        details={"agent_id": agent.id, "fields": list(fields)},
    )


def gone(agent_id: str, name: str) -> InvalidTransition:
    """The refusal to give something to an agent that has left."""
    return InvalidTransition(
        f"Agent {name} ({agent_id}) is terminated, so nobody would take it up.",
        next=f"Name another agent (agents_find), or agents_control(agent_id='{agent_id}', action='resume').",
        details={"agent_id": agent_id, "lifecycle": "terminated"},
    )


def _counted(total: int, things: str) -> str:
    """So many of what `things` names in the plural."""
    return f"{total} {things.removesuffix('s') if total == 1 else things}"


def still_holds(agent: Agent, action: str, holds: Mapping[str, Any]) -> Conflict:
    """The refusal to let an agent go that holds what would stay behind."""
    said = ", ".join(_counted(held["total"], what.replace("_", " ")) for what, held in holds.items())
    return Conflict(
        f"Agent {agent.name} holds {said}, which would stay behind; nothing was changed.",
        next=f"Name who takes over: agents_control(agent_id='{agent.id}', action='{action}', to_agent=...).",
        details={"agent_id": agent.id, "holds": dict(holds)},
    )


_ONESELF = ("me", "myself", "self", "i")


_NOBODY = ("any", "anybody", "anyone", "all", "none", "null", "nobody", "*")
_OF_NOBODY = "Leave it out, or give null, where nobody in particular is meant"
_OF_ONESELF = "Write your own name: the one of yours at agents_register"


def no_agent(agent_id: str, near: Sequence[str] = ()) -> NotFound:
    """The refusal for an id or name of no agent, with names that look like it."""
    own = _OF_NOBODY if agent_id.casefold() in _NOBODY else _OF_ONESELF if agent_id.casefold() in _ONESELF else ""
    return NotFound(
        f"There is no agent {named(agent_id)}.",
        next=f"{own or f'{did_you_mean(near)}Register it with agents_register'}, or list agents with agents_find.",
        details={"agent_id": agent_id} | ({"near": list(near)} if near else {}),
    )


class Load(NamedTuple):
    """What an agent's status follows from, beside its lifecycle.

    Attributes:
        running: tasks the agent holds a lease on.
        capacity: its max_concurrent_tasks.
        known: instances ever introduced and not retired.
        alive: those heard of within three heartbeat intervals.
        launched: whether its instances are started for it.
        desired: how many of them there are to be.
        settled: how many of those are as they will be: they run, or have failed too often.
        has_worked: whether it has ended tasks.
    """

    running: int
    capacity: int
    known: int
    alive: int
    launched: bool = False
    desired: int = 0
    settled: int = 0
    has_worked: bool = False

    @property
    def is_scaling(self) -> bool:
        """Whether other instances run than there are to be."""
        return self.launched and self.desired != self.settled

    @property
    def is_at_hand(self) -> bool:
        """Whether nothing is missing: one is alive, or none is wanted."""
        return self.alive > 0 or (self.launched and self.desired == 0)


_INSTEAD = {
    "resume": "It works already, so nothing has to be done.",
    "delete": "What is deleted is terminated before; to_agent then names who takes over what it holds: "
    "agents_control(agent_id='{id}', action='terminate').",
    "terminate": "It has left already; this removes it: agents_control(agent_id='{id}', action='delete').",
    "pause": "It claims nothing as it is; this has it work again: agents_control(agent_id='{id}', action='resume').",
    "drain": "It claims nothing as it is; this has it work again: agents_control(agent_id='{id}', action='resume').",
}
"""What leads on from an action that is not possible: each is refused for one reason alone."""

_NOT_AT_WORK: dict[str, AgentStatus] = {
    "terminated": "terminated",
    "paused": "maintenance",
    "draining": "maintenance",
}


def in_words(lifecycle: str) -> str:
    """A lifecycle by the status that it comes to: of maintenance, which of both ways it is."""
    status = _NOT_AT_WORK.get(lifecycle, lifecycle)
    return f"in maintenance ({lifecycle})" if status == "maintenance" else status


def derive_status(lifecycle: str, load: Load) -> AgentStatus:
    """The status from facts that are stored once: lifecycle, leases and instances."""
    if lifecycle in _NOT_AT_WORK:
        return _NOT_AT_WORK[lifecycle]
    if load.is_scaling:
        return "scaling"
    if load.running:
        return "busy" if load.running >= load.capacity else "active"
    if load.known == 0:
        return "idle" if load.has_worked else "initializing"
    return "idle" if load.is_at_hand else "error"
