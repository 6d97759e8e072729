"""Use cases of the agent registry."""

import json
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.agents import INSTANCE_ALIVE_FOR, AgentAction, AgentSpec, AgentStatus, InstanceSpec
from mcp_server.domain.errors import NotFound
from mcp_server.domain.users import Permission
from mcp_server.services.agent_metrics import read_budget, read_metrics
from mcp_server.services.context import LIMIT_MAX, Call, Context, Query, decode_cursor, fetch_page, like
from mcp_server.services.ports import AgentTransactions, TaskTransactions
from mcp_server.services.views import AgentView, agent_view, instance_view

_ATTEMPTS_IN_LISTS = 100


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """What a list of agents is narrowed by; None means not at all."""

    name: str | None = None
    status: AgentStatus | None = None
    capability: str | None = None
    tag: str | None = None


class AgentService:
    """Register, find and control agents."""

    def __init__(self, context: Context, agents: AgentTransactions, tasks: TaskTransactions) -> None:
        self._context = context
        self._store = context.store
        self._agents = agents
        self._tasks = tasks

    async def register(
        self, call: Call, spec: AgentSpec, instance: InstanceSpec | None, *, keep: bool = False
    ) -> tuple[AgentView, str | None, bool]:
        """Register an agent by its unique name, or bring it up to date; with `keep`, one that exists stays as it is.

        Returns:
            The agent, its instance's id if one was introduced, and whether the agent is new.
        """
        call.actor.require(Permission.AGENTS_REGISTER)
        await self._require_own_name(call, spec.name)
        agent_id, instance_id, created = await self._store.write(
            self._agents.register,
            self._context.origin(call),
            self._context.new_id("agent"),
            spec,
            self._context.new_id("instance"),
            instance,
            keep,
        )
        return await self.get(call, agent_id), instance_id, created

    async def control(
        self, call: Call, agent_id: str, action: AgentAction, reason: str | None
    ) -> tuple[AgentView, list[str]]:
        """Move an agent through its lifecycle; terminating requeues what it had leased.

        Returns:
            The agent (as it was, when deleted), and the ids of the tasks handed back.
        """
        call.actor.require(Permission.AGENTS_CONTROL)
        before = await self.get(call, agent_id)
        origin = self._context.origin(call)
        agents, tasks = self._agents, self._tasks

        def move(tx: Any) -> list[str]:
            cause = agents.control(tx, origin, agent_id, action, reason)
            if action != "terminate":
                return []
            return tasks.hand_back(tx, origin.caused_by(cause), agent_id, "its agent was terminated")

        requeued = await self._store.write(move)
        return (before if action == "delete" else await self.get(call, agent_id)), requeued

    async def get(self, call: Call, agent_id: str) -> AgentView:
        """One agent with its instances and metrics.

        Raises:
            NotFound: no such agent.
        """
        call.actor.require(Permission.AGENTS_READ)
        alive_since = self._alive_since()
        row = await self._store.fetch_one(
            "agents_find", filters=("agent_id",), limit=1, alive_since=alive_since, agent_id=agent_id
        )
        if row is None:
            raise NotFound(
                f"There is no agent {agent_id}.",
                next="Register it with agents_register, or list agents with agents_find.",
            )
        instances = await self._store.fetch_all("instances_of", agent_id=agent_id)
        now = self._context.clock()
        return agent_view(row).model_copy(
            update={
                "instances": [instance_view(instance, alive_since) for instance in instances] or None,
                "metrics": await read_metrics(self._store, agent_id, now),
                "budget": await read_budget(self._store, row, now),
            }
        )

    async def find(
        self, call: Call, narrowed: AgentFilter, *, limit: int, cursor: str | None
    ) -> tuple[list[AgentView], str | None, int | None]:
        """Agents by name; the next cursor and how many were left out."""
        call.actor.require(Permission.AGENTS_READ)
        query = (
            Query("agents_find", parameters=(("alive_since", self._alive_since()),))
            .where("agent_name", agent_name=narrowed.name)
            .where("agent_capability", agent_capability=like(narrowed.capability, '%"{}"%'))
            .where("agent_tag", agent_tag=like(narrowed.tag, '%"{}"%'))
        )
        if narrowed.status is not None:
            query = query.where(f"agent_{narrowed.status}")
        if cursor is not None:
            (name,) = decode_cursor(cursor, (str,))
            query = query.where("agent_after", agent_after=name)
        page = await fetch_page(self._store, query, limit, ("name",))
        found = [await self._with_metrics(agent_view(row)) for row in page.rows]
        return found, page.next_cursor, page.omitted

    async def candidates(self, call: Call, task_id: str) -> list[AgentView]:
        """Agents that could take a task up, best first, each with its score and the reason.

        Raises:
            NotFound: no such task.
        """
        call.actor.require(Permission.AGENTS_READ)
        task = await self._store.fetch_one("task_by_id", id=task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id}.", next="List tasks with tasks_find.")
        query = Query("agents_find").where("agent_id", agent_id=task["agent_id"])
        rows = await self._store.fetch_all(
            query.statement,
            filters=query.filters,
            limit=10 * LIMIT_MAX,
            alive_since=self._alive_since(),
            **dict(query.parameters),
        )
        needed = set(json.loads(task["required_capabilities"]))
        able = [agent_view(row) for row in rows if needed <= set(json.loads(row["skills"]))]
        return sorted((_scored(agent) for agent in able), key=lambda agent: (-(agent.score or 0), agent.name))

    async def _with_metrics(self, agent: AgentView) -> AgentView:
        metrics = await read_metrics(self._store, agent.id, self._context.clock(), _ATTEMPTS_IN_LISTS)
        return agent.model_copy(update={"metrics": metrics})

    async def _require_own_name(self, call: Call, name: str) -> None:
        if call.actor.kind == "agent":
            row = await self._store.fetch_one(
                "agents_find", filters=("agent_name",), limit=1, alive_since=0, agent_name=name
            )
            call.actor.require_self("another agent" if row is None else row["id"])

    def _alive_since(self) -> int:
        return self._context.clock() - INSTANCE_ALIVE_FOR


_AVAILABILITY = {"idle": 1.0, "active": 0.8, "initializing": 0.6, "busy": 0.2, "error": 0.1}


def _scored(agent: AgentView) -> AgentView:
    """How soon the agent could start: its status first, then its free capacity."""
    free = max(agent.capacity - agent.running, 0) / agent.capacity
    score = round(_AVAILABILITY.get(agent.status, 0.0) * (0.7 + 0.3 * free), 3)
    reason = f"can do it; {agent.status}, {agent.running} of {agent.capacity} running"
    return agent.model_copy(update={"score": score, "reason": reason})
