"""Which agent speaks, who may speak as one, and which agents this process itself brought into being."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR, no_agent
from mcp_server.domain.agents.transactions import see_agent
from mcp_server.kernel.authority import Actor, Permission, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.near import near
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Memory, Row, Transaction
from mcp_server.kernel.times import Micros

_SEEN_EVERY: Micros = INSTANCE_ALIVE_FOR // 12
_KNOWN_MAX = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Who speaks where a call does not say so.

    Attributes:
        agent: name or id of the agent that the operator named for this process.
        remembers: whether the only agent that this process registered speaks; so it is on stdio, where a process is one
            client's.
        registered: the agents that it did register, by id, each with its instances.
    """

    agent: str | None = None
    remembers: bool = False
    registered: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def usual(self, *, guessed: bool = True) -> str | None:
        """The agent that speaks for the local user where nobody says so: the operator's, else, where it may be guessed,
        the only one there is."""
        only = next(iter(self.registered)) if guessed and self.remembers and len(self.registered) == 1 else None
        return self.agent or only


class Voice(NamedTuple):
    """What decides as whom a principal may speak: how it is called, the agent whose own key it has or the only one that
    its key lets it speak as, and whether it controls agents."""

    principal: str
    key_agent: str | None
    only_agent: str | None
    controls: bool

    @staticmethod
    def of(actor: Actor) -> "Voice":
        """A caller's."""
        own = actor.id if actor.kind == "agent" else None
        return Voice(actor.label, own, actor.scope.agent, actor.may(Permission.AGENTS_CONTROL))

    def may_speak_as(self, agent: Row) -> bool:
        """Whether it may: with that agent's own key; else as who registered it, or with the right to control agents.
        The key of another agent never may."""
        names = agent["id"], agent["name"]
        if self.only_agent is not None and self.only_agent not in names:
            return False
        if self.key_agent is not None:
            return self.key_agent in names
        return self.controls or agent["registered_by"] in (None, self.principal)


class Speaking:
    """Finds the agent that speaks, and takes its calls as signs of life."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self.session = services.option(Session)
        self._known: dict[str, tuple[Row, Micros]] = {}
        self._seen: dict[str, Micros] = {}

    async def named(self, reference: str) -> Row | None:
        """The agent of that id, name or instance's id: `id`, `name`, `registered_by`; None where there is none."""
        row = await self._database.fetch_one("agent_by_reference", reference=reference)
        if row is not None:
            self._keep(row)
        return row

    async def by_id(self, agent_id: str) -> Row | None:
        """The same, where it is likely to be asked for again and again: an id's is read once in a while, since all but
        its being there never changes."""
        known = self._known.get(agent_id)
        if known is not None and abs(self._context.clock() - known[1]) < _SEEN_EVERY:
            return known[0]
        return await self.named(agent_id)

    async def required(self, reference: str) -> Row:
        """`named`, of one that there is.

        Raises:
            NotFound: there is no such agent; it names those that look alike.
        """
        row = await self.named(reference)
        if row is None:
            raise await self.unknown(reference)
        return row

    async def missing(self, actor: Actor, reference: str) -> OpsError:
        """What a caller is told who would speak as an agent that there is not. To another agent's key that is the same
        as one that is not its own."""
        if actor.kind == "agent" and reference != actor.id:
            return not_yours(actor.label, {"id": reference, "name": reference})
        return await self.unknown(reference)

    async def asked_for(self, actor: Actor, reference: str) -> Speaker:
        """The agent that a call names as its speaker.

        Raises:
            NotFound: there is no such agent.
            PermissionDenied: the principal may not speak as it.
        """
        row = await self.named(reference)
        if row is None:
            raise await self.missing(actor, reference)
        return self.allowed(actor, row)

    def allowed(self, actor: Actor, agent: Row) -> Speaker:
        """The agent as speaker.

        Raises:
            PermissionDenied: the principal may not speak as it.
        """
        if not Voice.of(actor).may_speak_as(agent):
            raise not_yours(actor.label, agent)
        return Speaker(agent["id"], agent["name"])

    async def may_speak_as(self, actor: Actor, reference: str) -> bool:
        """Whether a principal may speak as the agent of that id or name. As one that does not exist nobody may."""
        row = await self.by_id(reference)
        return row is not None and Voice.of(actor).may_speak_as(row)

    async def unsaid(
        self, actor: Actor, *, local: bool, hint: str | None = None, guessed: bool = True
    ) -> Speaker | None:
        """Who speaks where a call names nobody: the agent of an agent's key, or the only one that a key speaks as; the
        one that the client's `_meta` or the operator named; the only one that this process registered; else nobody.

        Args:
            actor: the principal.
            local: whether it is the local user of this process, whom the operator's agent and the process's own speak
                for.
            hint: an agent that the client itself is set up to be.
            guessed: whether the only agent that this process registered is taken to speak.
        """
        if actor.kind == "agent":
            row = await self.by_id(actor.id)
            return None if row is None else Speaker(row["id"], row["name"])
        reference = actor.scope.agent or hint or (self.session.usual(guessed=guessed) if local else None)
        row = None if reference is None else await self.by_id(reference)
        return None if row is None else self.allowed(actor, row)

    def registered(self, call: Call, agent_id: str, instance_id: str | None) -> bool | None:
        """Remember an agent that this process registered; where that changes who speaks in a call that names nobody,
        whether it is this agent, or, of several, none any more."""
        if call.actor.kind != "user" or not self.session.remembers:
            return None
        before = self.session.usual()
        instances = self.session.registered.setdefault(agent_id, set())
        instances |= set() if instance_id is None else {instance_id}
        now = self.session.usual()
        return None if now == before else now == agent_id

    def see(self, call: Call) -> None:
        """Take a call for a sign of life of the agent that speaks. It is written now and then, by itself."""
        speaker = call.speaker
        if speaker is None or not call.actor.may(Permission.TASKS_WORK):
            return
        now = self._context.clock()
        if abs(now - self._seen.get(speaker.agent_id, 0)) >= _SEEN_EVERY:
            if len(self._seen) >= _KNOWN_MAX:
                self._seen.clear()
            self._seen[speaker.agent_id] = now
            instances = tuple(self.session.registered.get(speaker.agent_id, ()))
            self._database.post(see_agent, self._context.origin(call), speaker.agent_id, instances)

    async def unknown(self, reference: str) -> NotFound:
        """What a caller is told of an agent that there is not, with those that look alike."""
        return no_agent(reference, near(reference, await self.names()))

    async def away(self, agent_ids: Sequence[str]) -> list[Row]:
        """Those of some agents of which no instance lives: `name`, and `last_seen_at`, None where there never was one,
        so that nobody knows whether it is here."""
        alive_since = self._context.clock() - INSTANCE_ALIVE_FOR
        return await self._database.fetch_all("agents_away", ids=dump_json(list(agent_ids)), alive_since=alive_since)

    async def names(self) -> list[str]:
        """What the agents that have not left are called."""
        return [one["name"] for one in await self._database.fetch_all("agent_names")]

    def _keep(self, row: Row) -> None:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[row["id"]] = row, self._context.clock()


def not_yours(principal: str, agent: Row) -> PermissionDenied:
    """The refusal to let a principal speak as an agent."""
    return PermissionDenied(
        f"{principal} cannot speak as {agent['name']} ({agent['id']}): that agent is another's.",
        next="Leave it out to speak for yourself, or name an agent that you registered.",
        details={"agent_id": agent["id"], "actor": principal},
    )


class KnownAgents(Memory):
    """Agents by id, as transaction functions met them: neither their name nor who registered them ever changes."""

    shared = True

    def __init__(self) -> None:
        self._rows: dict[str, Row | None] = {}

    def find(self, tx: Transaction, agent_id: str) -> Row | None:
        """`id`, `name` and `registered_by` of an agent; None of one that there is not."""
        row = self._rows.get(agent_id)
        if row is None:
            row = tx.one("agent_by_reference", reference=agent_id)
            if row is not None and len(self._rows) < _KNOWN_MAX:
                self._rows[agent_id] = row
        return row

    def forget(self) -> None:
        """Forget them all."""
        self._rows.clear()


def known_agent(tx: Transaction, agent_id: str) -> Any:
    """`id`, `name` and `registered_by` of an agent; None of one that there is not."""
    return tx.memory(KnownAgents).find(tx, agent_id)


def agent_of(tx: Transaction, reference: str) -> Row | None:
    """`id`, `name` and `registered_by` of the agent of that id, name, or instance's id; None where there is none."""
    return tx.one("agent_by_reference", reference=reference)


def require_voice(tx: Transaction, origin: Origin, agent_id: str) -> None:
    """Refuse a caller that may not speak as an agent. One that does not exist is not refused here.

    Raises:
        PermissionDenied: it may not.
    """
    controls = origin.may(Permission.AGENTS_CONTROL)
    if agent_id == origin.agent_id or (controls and origin.key_agent_id is None and origin.only_agent is None):
        return
    agent = known_agent(tx, agent_id)
    voice = Voice(origin.principal, origin.key_agent_id, origin.only_agent, controls)
    if agent is not None and not voice.may_speak_as(agent):
        raise not_yours(origin.principal, agent)
