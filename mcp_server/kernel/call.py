"""What every use case has: who calls, the store, the clock, ids and randomness."""

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, TypeVarTuple

from mcp_server.kernel.authority import SYSTEM, VIA, Actor, Speaker, principal_of
from mcp_server.kernel.events import NewId, Origin, Random
from mcp_server.kernel.ids import new_secret
from mcp_server.kernel.store import Database, Hook, Transaction
from mcp_server.kernel.times import Micros

Args = TypeVarTuple("Args")
T = TypeVar("T")
Clock = Callable[[], Micros]


class Progress(Protocol):
    """Tells a waiting client that the server is still there."""

    async def __call__(self, waited_seconds: float, of_seconds: float) -> None: ...


async def silent(waited_seconds: float, of_seconds: float) -> None:
    """Progress that nobody asked for."""
    del waited_seconds, of_seconds


class Seal(Protocol):
    """Seals what a client brings back with its user's answer: one not made for this question, this caller and this
    channel does not hold, nor one whose time is over."""

    async def make(self, channel: str) -> str:
        """A new one, which counts once."""
        ...

    async def spend(self, channel: str, text: str) -> bool:
        """Whether it holds, and comes back for the first time."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What the person at a client is asked.

    Attributes:
        form: the whole question; None where it is more than a client's dialog shows.
        schema: the form for the answer.
        page: where the person is shown the question and answers; None where this server has no pages.
        notice: what is said of the page.
        seal: binds the answer to the question.
    """

    form: str | None
    schema: Mapping[str, Any]
    page: str | None
    notice: str
    seal: Seal


class Told(NamedTuple):
    """What a client tells: in which way its user was asked, and what came of it."""

    mode: Literal["form", "url"]
    action: Any
    content: Any


class Ask(Protocol):
    """Asks the person at the client; the model has no part in it."""

    async def __call__(self, question: Question) -> Told | None:
        """The person's answer; None where the client cannot ask in any way that shows the whole question."""
        ...


async def nobody(question: Question) -> None:
    """There is nobody to ask."""
    del question


def at_once() -> None:
    """Nobody stands behind the call."""


class Grant(NamedTuple):
    """What people said yes to: who was asked, how many of them had to, and who did."""

    asked: tuple[str, ...]
    needed: int
    yes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who makes it, and the correlation id of all that it causes.

    Attributes:
        actor: the principal: who is authenticated.
        correlation_id: one id for all that the call causes.
        progress: tells a waiting client that the server is still there.
        ask: asks the person at the client.
        speaker: the agent on whose behalf it is made, if it is an agent's.
        lease_token: the lease under which alone what it writes counts, if one was named.
        toolsets: the parts of the catalogues that are offered to it; None for all.
        tools: the names of the tools that are offered to it; None for all.
        grant: what people said yes to, where just that is done.
        waits: is told once the call only waits for something to happen.
    """

    actor: Actor
    correlation_id: str
    progress: Progress = silent
    ask: Ask = nobody
    speaker: Speaker | None = None
    lease_token: str | None = None
    toolsets: frozenset[str] | None = None
    tools: Set[str] | None = None
    grant: "Grant | None" = None
    waits: Callable[[], None] = at_once

    def spoken_by(self, speaker: Speaker | None, lease_token: str | None) -> "Call":
        """The same call with its speaker, under a lease or none."""
        told = self.actor, self.correlation_id, self.progress, self.ask
        return Call(*told, speaker, lease_token, self.toolsets, self.tools, self.grant, self.waits)

    def is_offered(self, toolset: str) -> bool:
        """Whether what belongs to a toolset exists for the caller."""
        return self.toolsets is None or toolset in self.toolsets

    @property
    def label(self) -> str:
        """Who speaks, with the principal beside it: `agent:scribe via user:local`; `agent:scribe` where it is its own
        principal; `user:local` where no agent speaks."""
        if self.speaker is None:
            return self.actor.label
        if self.actor.kind == "agent":
            return self.speaker.label
        return f"{self.speaker.label}{VIA}{self.actor.label}"

    @property
    def party(self) -> str:
        """Who it is that something belongs to: the agent that speaks by its id, else the principal, `user:local`."""
        return self.actor.label if self.speaker is None else self.speaker.agent_id

    def is_own(self, label: str | None) -> bool:
        """Whether what bears this name of a speaker is the caller's own: its principal's, whoever spoke."""
        return label is not None and principal_of(label) == principal_of(self.label)


Guard = Callable[[Call, Any, Any], Awaitable[None]]
"""Refuses a write of a caller's, given with its command, where the operator wants people asked about it."""


async def nobody_asks(call: Call, write: Any, command: Any) -> None:
    """The operator wants nobody asked about anything."""
    del call, write, command


Standing = Callable[[Call], Awaitable[None]]
"""Refuses a caller that is not let in any more, of whom that was asked when its call began."""


async def everybody_stays(call: Call) -> None:
    """Whoever was let in still is."""
    del call


SYSTEM_CALL = Call(actor=SYSTEM, correlation_id="system")


@dataclass(frozen=True, slots=True)
class Context:
    """The outside, passed in: store, clock, ids, randomness."""

    database: Database
    clock: Clock
    new_id: NewId
    random: Random
    new_secret: NewId = new_secret
    guard: Guard = nobody_asks
    standing: Standing = everybody_stays

    def origin(self, call: Call) -> Origin:
        """Who changes something, and when: now."""
        actor, speaker = call.actor, call.speaker
        return Origin(
            self.clock(),
            call.label,
            call.correlation_id,
            None,
            actor.label,
            actor.permissions,
            None if speaker is None else speaker.agent_id,
            actor.id if actor.kind == "agent" else None,
            call.lease_token,
            self.new_id,
            self.random,
            self.new_secret,
            actor.scope.agent,
        )

    def written(self, call: Call, function: Callable[..., T], /, *args: Any) -> tuple[Any, ...]:
        """What to give to the database's `write`, `write_or` or `post` for a change that a caller makes: the function
        and its arguments. Where the call names a lease, the change is made only while that is held."""
        origin = self.origin(call)
        if call.lease_token is None:
            return function, origin, *args
        return while_allowed, origin, function, *args

    async def write(self, call: Call, function: Callable[[Any, Origin, *Args], T], /, *args: *Args) -> T:
        """Run a transaction function for a caller, with the origin before the arguments given.

        Raises:
            LeaseLost: the call names a lease that is not held any more; nothing was changed.
        """
        return await self.database.write(*self.written(call, function, *args))


WRITING: Hook[[Origin], int | None] = Hook("writing")
"""Told before a change that is bound to a condition, in its transaction: whoever listens refuses it where the condition
does not hold, or names the event that is its cause."""


def while_allowed(tx: Transaction, origin: Origin, function: Callable[..., T], *args: Any) -> T:
    """A change that is made only where every guard allows it, in the same transaction."""
    for cause in tx.tell(WRITING, origin):
        if cause is not None:
            origin = origin.caused_by(cause)
    return function(tx, origin, *args)
