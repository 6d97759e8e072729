"""Agents: who can take up work, and the running instances that do."""

from typing import Any, Literal

from pydantic import Field

from mcp_server.domain.errors import AtCapacity, InvalidTransition
from mcp_server.domain.events import Event
from mcp_server.domain.values import SECOND, Frozen, Line, Micros, RawJson, Text, Word, dump_json

HEARTBEAT_SECONDS = 20
"""How often a running instance is expected to be heard of; three missed intervals mean it is gone."""

INSTANCE_ALIVE_FOR: Micros = 3 * HEARTBEAT_SECONDS * SECOND
Lifecycle = Literal["active", "paused", "draining", "terminated"]
AgentStatus = Literal["initializing", "active", "idle", "busy", "scaling", "maintenance", "error", "terminated"]
AgentAction = Literal["pause", "resume", "drain", "terminate", "delete"]

_MOVES: dict[str, dict[str, str]] = {
    "active": {"pause": "paused", "drain": "draining", "terminate": "terminated"},
    "paused": {"resume": "active", "drain": "draining", "terminate": "terminated"},
    "draining": {"resume": "active", "pause": "paused", "terminate": "terminated"},
    "terminated": {"resume": "active", "delete": "deleted"},
}


class Capability(Frozen):
    """Something an agent can do. A task may ask for `name` or for `name@version`."""

    name: Word
    version: Word | None = None


class InstanceSpec(Frozen):
    """A running process or LLM session of an agent, as it introduces itself."""

    label: Line
    host: Line | None = None
    pid: int | None = Field(default=None, ge=1)


class AgentSpec(Frozen):
    """What an agent says of itself when it registers."""

    name: Word
    kind: Word = "llm"
    description: Text = ""
    capabilities: tuple[Capability, ...] = Field(default=(), max_length=64)
    max_concurrent_tasks: int = Field(default=1, ge=1, le=1000)
    tags: tuple[Word, ...] = Field(default=(), max_length=32)

    def columns(self) -> dict[str, Any]:
        """The spec as stored columns."""
        offered = [c.model_dump(exclude_none=True) for c in self.capabilities]
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "capabilities": RawJson(dump_json(offered)),
            "skills": RawJson(dump_json(skills(self.capabilities))),
            "max_concurrent_tasks": self.max_concurrent_tasks,
            "tags": RawJson(dump_json(list(self.tags))),
        }


def skills(capabilities: tuple[Capability, ...]) -> list[str]:
    """Every way a task may ask for these capabilities: `name`, and `name@version` where there is one."""
    names = {c.name for c in capabilities}
    return sorted(names | {f"{c.name}@{c.version}" for c in capabilities if c.version})


class Agent(Frozen):
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

    @staticmethod
    def registered(agent_id: str, spec: AgentSpec, now: Micros) -> tuple["Agent", Event]:
        """A new agent, active at once."""
        data = spec.columns() | {
            "lifecycle": "active",
            "lifecycle_reason": None,
            "created_at": now,
            "updated_at": now,
        }
        agent = Agent.trusted({"id": agent_id, "version": 1} | data)
        return agent, Event("agent.registered", "agent", agent_id, 1, data, creates=True)

    def described(self, spec: AgentSpec, now: Micros) -> tuple["Agent", Event | None]:
        """The agent with what it now says of itself; no event when nothing changed."""
        changes = {name: value for name, value in spec.columns().items() if getattr(self, name) != value}
        if not changes:
            return self, None
        return self._evolved("agent.described", changes, now)

    def moved(self, action: AgentAction, reason: str | None, now: Micros) -> tuple["Agent", Event]:
        """The agent after a lifecycle action.

        Raises:
            InvalidTransition: naming the actions that are legal now.
        """
        legal = _MOVES[self.lifecycle]
        if action not in legal:
            raise InvalidTransition(
                f"Agent {self.id} is {self.lifecycle}, so it cannot {action}.",
                next=f"Legal now: {', '.join(legal)}.",
                details={"agent_id": self.id, "lifecycle": self.lifecycle, "legal": list(legal)},
            )
        if action == "delete":
            return self, Event("agent.deleted", "agent", self.id, self.version + 1, {})
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
                f"Agent {self.id} is {self.lifecycle} and takes no new work.",
                next=f"Resume it: agents_control(agent_id='{self.id}', action='resume').",
                details={"agent_id": self.id, "lifecycle": self.lifecycle, "reason": self.lifecycle_reason},
            )
        if running >= self.max_concurrent_tasks:
            raise AtCapacity(
                f"Agent {self.id} already runs {running} of {self.max_concurrent_tasks} tasks.",
                next="Finish one with tasks_finish, or register again with a higher max_concurrent_tasks.",
                details={"agent_id": self.id, "running": running, "capacity": self.max_concurrent_tasks},
            )

    def _evolved(self, kind: str, changes: dict[str, Any], now: Micros) -> tuple["Agent", Event]:
        data = changes | {"updated_at": now}
        version = self.version + 1
        return self.evolved(data | {"version": version}), Event(kind, "agent", self.id, version, data)


_PAST = {"pause": "paused", "resume": "resumed", "drain": "draining", "terminate": "terminated"}


def derive_status(lifecycle: str, running: int, capacity: int, known: int, alive: int) -> AgentStatus:
    """The status from facts that are stored once: lifecycle, leases and instances.

    Args:
        lifecycle: the stored lifecycle.
        running: tasks the agent holds a lease on.
        capacity: its max_concurrent_tasks.
        known: instances ever introduced and not retired.
        alive: those heard of within three heartbeat intervals.
    """
    if lifecycle == "terminated":
        return "terminated"
    if lifecycle in ("paused", "draining"):
        return "maintenance"
    if running:
        return "busy" if running >= capacity else "active"
    if known == 0:
        return "initializing"
    return "idle" if alive else "error"
