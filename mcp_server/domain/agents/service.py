"""Use cases of the agent registry."""

import json
from collections.abc import Sequence
from functools import partial

from mcp_server.domain.agents import transactions
from mcp_server.domain.agents.commands import FindAgents, Register
from mcp_server.domain.agents.metrics import read_budget, read_metrics
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.domain.agents.predecessors import deleted_before, terminated_before
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.agents.views import (
    AgentState,
    AgentView,
    ControlledAgent,
    RegisteredAgent,
    agent_state,
    agent_view,
    heir_view,
    instance_view,
    scored,
)
from mcp_server.domain.agents.workers import Left, Worker, worker
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.paging import LIMIT_MAX, Listed, Query, decode_cursor, fetch_page, like
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.writes import Write, as_said

_ATTEMPTS_IN_LISTS = 100


class AgentService:
    """Register, find and control agents.

    `register` brings an agent up to date if its name is known; `introduce` leaves such a one as it is. `control` moves
    an agent through its lifecycle; terminating requeues what it had leased.
    """

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._speaking = services.get(Speaking)
        self._services = services
        may = Permission.AGENTS_REGISTER
        self.register = Write(context, may, self._own_name, transactions.register, self._registered)
        self.introduce = Write(context, may, self._own_name, transactions.introduce, self._registered)
        self.control = Write(context, Permission.AGENTS_CONTROL, as_said, transactions.control, _controlled)

    async def get(self, call: Call, agent_id: str) -> AgentView:
        """One agent, by id or name, with its instances and metrics.

        Raises:
            NotFound: no such agent.
        """
        row = await self._agent(call, agent_id)
        agent_id, alive_since = row["id"], self._alive_since()
        instances = await self._database.fetch_all("instances_of", agent_id=agent_id)
        now = self._context.clock()
        return agent_view(row).evolved(
            {
                "instances": [instance_view(instance, alive_since) for instance in instances] or None,
                "metrics": await read_metrics(self._database, agent_id, now),
                "budget": await read_budget(self._database, row, now),
            }
        )

    async def find(self, call: Call, command: FindAgents) -> Listed[AgentView]:
        """Agents by name."""
        call.actor.require(Permission.AGENTS_READ)
        query = (
            Query("agents_find", parameters=(("alive_since", self._alive_since()),))
            .where("agent_name", agent_name=command.name)
            .where("agent_capability", agent_capability=like(command.capability, '%"{}"%'))
            .where("agent_tag", agent_tag=like(command.tag, '%"{}"%'))
        )
        if command.status is not None:
            query = query.where(f"agent_{command.status}")
        if command.cursor is not None:
            (name,) = decode_cursor(query.listed, command.cursor, (str,))
            query = query.where("agent_after", agent_after=name)
        page = await fetch_page(self._database, query, command.limit, ("name",))
        return Listed([await self._with_metrics(agent_view(row)) for row in page.rows], page.next_cursor, page.omitted)

    async def candidates(self, call: Call, agent_id: str | None, needed: Sequence[str]) -> list[AgentView]:
        """Agents that could take a task up, best first, each with its score and the reason.

        Args:
            call: who asks.
            agent_id: the only one who may, where one is named.
            needed: capabilities, as tasks ask for them.
        """
        call.actor.require(Permission.AGENTS_READ)
        query = Query("agents_find").where("agent_id", agent_id=agent_id)
        rows = await self._database.fetch_all(
            query.statement,
            filters=query.filters,
            limit=10 * LIMIT_MAX,
            alive_since=self._alive_since(),
            **dict(query.parameters),
        )
        staying = [row for row in rows if row["lifecycle"] != "terminated"]
        able = [agent_view(row) for row in staying if set(needed) <= set(json.loads(row["skills"]))]
        return sorted((scored(agent) for agent in able), key=lambda agent: (-(agent.score or 0), agent.name))

    async def skills(self, agent_id: str) -> set[str]:
        """What tasks may ask of an agent; nothing of one that does not exist."""
        row = await self._row("agent_id", agent_id=agent_id)
        return set() if row is None else set(json.loads(row["skills"]))

    async def able(self) -> list[Worker]:
        """Whoever has not left: what each can do, how much room it has, and whether its budget is used up."""
        month = iso(self._context.clock())[:7]
        rows = await self._database.fetch_all("agents_able", alive_since=self._alive_since(), month=month)
        return [worker(row) for row in rows]

    async def left(self) -> list[Left]:
        """Who was terminated and is not deleted, the last first."""
        rows = await self._database.fetch_all("agents_left")
        return [Left(row["name"], frozenset(json.loads(row["skills"]))) for row in rows]

    async def scaled(self) -> Sequence[Row]:
        """Agents at work whose instances come and go by rules: `id`, `skills`, `scaling`, `desired_instances`, and how
        many tasks each has `running`."""
        return await self._database.fetch_all("agents_scaled")

    async def _own_name(self, call: Call, command: Register) -> Register:
        """Whoever brings an agent up to date may speak as it; with an agent's key, only that agent is registered."""
        self._require_launching(call, command)
        row = await self._speaking.named(command.name)
        if row is not None:
            self._speaking.allowed(call.actor, row)
        elif call.actor.kind == "agent" and call.actor.id != command.name:
            raise PermissionDenied(
                f"This key is that of agent {call.actor.id}, so it cannot register {command.name}.",
                next="Register the agent whose key it is, by its own name.",
                details={"actor": call.actor.label, "name": command.name},
            )
        return command

    def _require_launching(self, call: Call, command: Register) -> None:
        """What runs, and how often, is for those to say who control agents."""
        if command.launcher is not None or command.scaling is not None:
            call.actor.require(Permission.AGENTS_CONTROL)
        if command.launcher is not None:
            from mcp_server.domain.agents.launchers import Launchers  # most agents are started by somebody else

            launchers = self._services.option(Launchers)
            most = 0 if command.scaling is None else command.scaling.max
            check_all(
                partial(launchers.check, command.launcher),
                partial(launchers.require_number, command.launcher.name, most),
            )

    async def _registered(self, call: Call, done: transactions.Registered) -> RegisteredAgent:
        speaks = self._speaking.registered(call, done.agent_id, done.instance_id)
        agent = agent_state(done.now).evolved({"speaks": speaks})
        warnings = await self._warnings(call, agent.name) if done.created else await self._left(agent)
        return RegisteredAgent(
            agent=agent, instance_id=done.instance_id, created=done.created, warnings=warnings or None
        )

    async def _left(self, agent: AgentState) -> list[str]:
        """That an agent which is brought up to date has left."""
        has_left = agent.status == "terminated"
        return await terminated_before(self._database, self._speaking, agent.id) if has_left else []

    async def _warnings(self, call: Call, name: str) -> list[str]:
        """That another was called so, or is but for the case of letters; the key of an agent is told of no others."""
        if call.actor.kind == "agent":
            return []
        alike = [one for one in await self._speaking.names() if one != name and one.casefold() == name.casefold()]
        before = await deleted_before(self._database, self._speaking, name)
        return [*before, *(f"{one} is another agent: names tell small and large letters apart." for one in alike)]

    async def _agent(self, call: Call, reference: str) -> Row:
        call.actor.require(Permission.AGENTS_READ)
        row = await self._row("agent_id", agent_id=reference) or await self._row("agent_name", agent_name=reference)
        if row is None:
            raise await self._speaking.unknown(reference)
        return row

    async def _row(self, narrowed: str, **parameters: str) -> Row | None:
        alive_since = self._alive_since()
        return await self._database.fetch_one(
            "agents_find", filters=(narrowed,), limit=1, alive_since=alive_since, **parameters
        )

    async def _with_metrics(self, agent: AgentView) -> AgentView:
        metrics = await read_metrics(self._database, agent.id, self._context.clock(), _ATTEMPTS_IN_LISTS)
        return agent.evolved({"metrics": metrics})

    def _alive_since(self) -> int:
        return self._context.clock() - INSTANCE_ALIVE_FOR


async def _controlled(call: Call, moved: transactions.Moved) -> ControlledAgent:
    """The agent as it is now; as it was, when it has been deleted."""
    del call
    heir = None if moved.heir is None else heir_view(*moved.heir)
    return ControlledAgent(
        agent=agent_state(moved.now).evolved({"heir": heir}),
        requeued=moved.requeued,
        handed_over=moved.handed_over or None,
        holds=moved.holds or None,
        deleted=moved.deleted or None,
    )
