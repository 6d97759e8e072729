"""Who speaks in a call: resolved once, before a service is asked."""

from contextlib import suppress
from dataclasses import dataclass

from mcp_server.domain.agents.commands import Register
from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.tasks.service import TaskService
from mcp_server.kernel.authority import Actor, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError, PermissionDenied
from mcp_server.kernel.services import Services

_ITSELF = ("me", "user")
"""What a principal calls itself, where no agent is called so."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a call says about who speaks.

    Attributes:
        as_agent: the agent on whose behalf it is made, by id or name; or the principal's own label, or `me`: then no
            agent speaks.
        named: an agent that it names as itself elsewhere, such as the `agent_id` for whom tasks are claimed; or
            anything else.
        lease_token: the lease under which it is made.
        binds: whether what it writes counts only while that lease is held.
        set_up_as: the agent that its client is set up to be.
        guessed: whether the only agent that this process registered is taken to speak where nobody is named.
        begins: whether the agent that the operator named for this process is registered by it, where it is not yet.
        introduces: the agent that it registers; until that is there, its principal speaks.
    """

    as_agent: str | None = None
    named: str | None = None
    lease_token: str | None = None
    binds: bool = True
    set_up_as: str | None = None
    guessed: bool = True
    begins: bool = False
    introduces: str | None = None

    def says_anything(self) -> bool:
        """Whether it names an agent or a lease at all."""
        return any(one is not None for one in (self.as_agent, self.named, self.lease_token))


class Voices:
    """Finds the speaker of each call, in this order: the agent of an agent's key; the one that the call names; the
    holder of its lease; the one that the client or the operator named; the only one that this process registered;
    nobody."""

    def __init__(self, services: Services) -> None:
        self._speaking = services.get(Speaking)
        self._agents = services.get(AgentService)
        self._tasks = services.get(TaskService)

    async def of(self, call: Call, said: Said, *, local: bool) -> Call:
        """The call with its speaker and its lease. It counts as a sign of life.

        Args:
            call: with its principal.
            said: what it says about who speaks.
            local: whether the principal is the local user of this process.

        Raises:
            NotFound: there is no agent as named.
            PermissionDenied: the principal may not speak as it.
        """
        speaker = await self._speaker(call, said, local=local)
        call = call.spoken_by(speaker, said.lease_token if said.binds else None)
        self._speaking.see(call)
        return call

    async def _speaker(self, call: Call, said: Said, *, local: bool) -> Speaker | None:
        if call.actor.kind == "agent":
            return await self._own(call, said)
        if said.as_agent is not None:
            return await self._asked_for(call.actor, said.as_agent, said.introduces)
        named = None if said.named is None else await self._speaking.by_id(said.named)
        if named is not None:
            return self._speaking.allowed(call.actor, named)
        holder = None if said.lease_token is None else await self._tasks.holder(said.lease_token)
        if holder is not None:
            return await self._holder(call, holder)
        speaker = await self._speaking.unsaid(call.actor, local=local, hint=said.set_up_as, guessed=said.guessed)
        return speaker or await self._begun(call, said, local=local)

    async def _asked_for(self, actor: Actor, reference: str, introduced: str | None) -> Speaker | None:
        """The agent of that name; nobody but the principal where it names itself, or whom it is about to register. A
        key that speaks as one agent only stays that one."""
        itself = (actor.label, *_ITSELF, introduced)
        is_itself = reference in itself and await self._speaking.named(reference) is None
        return None if is_itself and actor.scope.agent is None else await self._speaking.asked_for(actor, reference)

    async def _begun(self, call: Call, said: Said, *, local: bool) -> Speaker | None:
        """The agent that the operator named for this process, registered now; None where this call does not do that, or
        its principal may not: nobody is refused for lacking an agent."""
        name = self._speaking.session.agent
        if name is None or not (local and said.begins and said.set_up_as is None):
            return None
        with suppress(OpsError, ValueError):
            agent = (await self._agents.register(call, Register(name=name))).agent
            return Speaker(agent.id, agent.name)
        return None

    async def _own(self, call: Call, said: Said) -> Speaker | None:
        """With an agent's key that agent speaks, whatever a call says; one that says otherwise is refused."""
        if said.as_agent is not None:
            return await self._speaking.asked_for(call.actor, said.as_agent)
        return await self._speaking.unsaid(call.actor, local=False)

    async def _holder(self, call: Call, agent_id: str) -> Speaker:
        row = await self._speaking.by_id(agent_id)
        if row is None:
            raise PermissionDenied("This lease is the server's own.", next="Leave lease_token out.")
        return self._speaking.allowed(call.actor, row)
