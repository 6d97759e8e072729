"""What every use case has: who calls, the store, the clock, ids and randomness."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_server.kernel.authority import SYSTEM, Actor
from mcp_server.kernel.events import NewId, Origin, Random
from mcp_server.kernel.store import Database
from mcp_server.kernel.times import Micros

Clock = Callable[[], Micros]


class Progress(Protocol):
    """Tells a waiting client that the server is still there."""

    async def __call__(self, waited_seconds: float, of_seconds: float) -> None: ...


async def silent(waited_seconds: float, of_seconds: float) -> None:
    """Progress that nobody asked for."""
    del waited_seconds, of_seconds


class Ask(Protocol):
    """Asks the person at the client; the model has no part in it."""

    async def __call__(self, message: str, schema: Mapping[str, Any], state: str) -> Mapping[str, Any] | None:
        """The person's answer, `{action: accept|decline|cancel, content}`; None where the client cannot ask.

        `state` binds the answer to the question: an answer to another one does not count.
        """
        ...


async def nobody(message: str, schema: Mapping[str, Any], state: str) -> None:
    """There is nobody to ask."""
    del message, schema, state


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who makes it, and the correlation id of all that it causes."""

    actor: Actor
    correlation_id: str
    progress: Progress = silent
    ask: Ask = nobody


SYSTEM_CALL = Call(actor=SYSTEM, correlation_id="system")


@dataclass(frozen=True, slots=True)
class Context:
    """The outside, passed in: store, clock, ids, randomness."""

    database: Database
    clock: Clock
    new_id: NewId
    random: Random

    def origin(self, call: Call) -> Origin:
        """Who changes something, and when: now."""
        actor = call.actor
        bound = actor.id if actor.kind == "agent" else None
        return Origin(self.clock(), actor.label, call.correlation_id, None, bound, self.new_id, self.random)
