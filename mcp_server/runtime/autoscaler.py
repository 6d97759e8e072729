"""The autoscaler: looks at the work of agents with rules of scaling, and changes how many instances there are to be.

It runs beside the supervisor, in the server that supervises. What it has seen it keeps in memory: a server that takes
over sees a whole delay for itself before it decides.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog

from mcp_server.domain.desk import Desk
from mcp_server.domain.scaling.model import Seen, decide, kept
from mcp_server.domain.scaling.service import ScaledNow, ScalingService

LOOK_EVERY_SECONDS = 1.0
log = structlog.stdlib.get_logger("datamcp.autoscaler")


class Autoscaler:
    """Looks once a second."""

    def __init__(self, desk: Desk, is_in_charge: Callable[[], bool]) -> None:
        """Begin with nothing seen.

        Args:
            desk: whose agents.
            is_in_charge: whether this server is the one that decides.
        """
        self._desk = desk
        self._scaling = desk.get(ScalingService)
        self._is_in_charge = is_in_charge
        self._seen: dict[str, tuple[ScaledNow, list[Seen]]] = {}

    async def run(self) -> None:
        """Look and decide until cancelled."""
        await self._desk.loops.keep("autoscaler", self._look_always)

    async def _look_always(self) -> NoReturn:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look at every agent with rules, and decide."""
        agents: Sequence[ScaledNow] = await self._scaling.look() if self._is_in_charge() else ()
        self._seen = {agent.agent_id: (agent, self._with(agent)) for agent in agents}
        for agent, seen in self._seen.values():
            decision = decide(agent.policy, seen, agent.desired)
            if decision is not None and await self._scaling.decided(agent.agent_id, agent.policy, decision):
                log.info("scaled", agent_id=agent.agent_id, to=decision.after, reason=decision.reason)

    def _with(self, agent: ScaledNow) -> list[Seen]:
        """What was seen of an agent under its rules of now, with the present."""
        before, seen = self._seen.get(agent.agent_id, (agent, list[Seen]()))
        return kept(agent.policy, [*(seen if before.policy == agent.policy else ()), agent.seen])
