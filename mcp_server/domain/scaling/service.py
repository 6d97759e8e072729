"""Use cases of scaling."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from mcp_server.domain.agents.commands import ScalingSpec
from mcp_server.domain.agents.launchers import Launchers
from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.agents.views import AgentState, agent_state
from mcp_server.domain.scaling import transactions
from mcp_server.domain.scaling.model import Decision, Seen
from mcp_server.domain.tasks.demand import ready_for
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.services import Services
from mcp_server.kernel.views import View
from mcp_server.kernel.writes import Write, as_said

COUNTED_MAX = 10_000
"""No more tasks than that are counted: no agent has more instances by having more to do."""


class ScaledAgent(View):
    """The agent after a decision about its instances, and the decision."""

    agent: AgentState
    decision: dict[str, Any]


class ScaledNow(NamedTuple):
    """An agent with rules: how many instances it is to have, and what there is to do for it."""

    agent_id: str
    policy: ScalingSpec
    desired: int
    seen: Seen


class ScalingService:
    """`scale` asks for instances; the autoscaler looks and decides."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._agents = services.get(AgentService)
        apply = partial(transactions.scale, services.option(Launchers))
        self.scale = Write(context, Permission.AGENTS_CONTROL, as_said, apply, _scaled)

    async def look(self) -> Sequence[ScaledNow]:
        """Every agent with rules that works."""
        rows = await self._agents.scaled()
        if not rows:
            return ()
        able = {row["id"]: frozenset(json.loads(row["skills"])) for row in rows}
        ready = await ready_for(self._context.database, able, COUNTED_MAX)
        now = self._context.clock()
        return [
            ScaledNow(
                row["id"],
                ScalingSpec.model_validate_json(row["scaling"]),
                row["desired_instances"],
                Seen(now, ready[row["id"]], row["running"]),
            )
            for row in rows
        ]

    async def decided(self, agent_id: str, policy: ScalingSpec, decision: Decision) -> bool:
        """Do what was decided, unless the agent is another by now."""
        return await self._context.write(SYSTEM_CALL, transactions.autoscale, agent_id, policy, decision)


async def _scaled(call: Call, done: transactions.Scaled) -> ScaledAgent:
    del call
    return ScaledAgent(agent=agent_state(done.now), decision=done.decision)
