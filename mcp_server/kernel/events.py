"""What happened: the event and its origin. An event's data holds the fields that changed, with their new values,
so that a row is the fold of its aggregate's events."""

from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple, Self

from mcp_server.kernel.authority import Permission

NewId = Callable[[str], str]
Random = Callable[[], float]
SNAPSHOT = ".snapshot"
"""How the types of events end that hold a whole row."""


def _nothing_new(kind: str) -> str:
    raise AssertionError(f"this change makes no new {kind}")


class Origin(NamedTuple):
    """Who makes a change, when, under which correlation id; and where its ids and its chance come from.

    Attributes:
        at: microseconds UTC.
        actor: who speaks, with the principal beside it: `agent:scribe via user:local`, or `user:local` alone.
        correlation_id: one id for all that one call caused.
        causation_seq: sequence number of the event that led to this, if one did.
        principal: who is authenticated, as `kind:id`.
        permissions: what the principal may do.
        agent_id: the agent that speaks, if one does.
        key_agent_id: the agent whose own key the call came with, if it is one's.
        lease_token: the lease under which alone the change counts, if one was named.
        new_id: makes an id of a kind.
        chance: a random number in [0, 1), anew each time.
        new_secret: makes what nobody guesses, of a kind.
        only_agent: the only agent, by its id or name, as which the principal may speak, where its key says so.
    """

    at: int
    actor: str
    correlation_id: str
    causation_seq: int | None = None
    principal: str = "system:server"
    permissions: frozenset[Permission] = frozenset()
    agent_id: str | None = None
    key_agent_id: str | None = None
    lease_token: str | None = None
    new_id: NewId = _nothing_new
    chance: Random = float
    new_secret: NewId = _nothing_new
    only_agent: str | None = None

    @property
    def party(self) -> str:
        """Who it is that something belongs to: the agent that speaks by its id, else the principal, `user:local`."""
        return self.agent_id or self.principal

    def may(self, permission: Permission) -> bool:
        """Whether the principal has a right."""
        return permission in self.permissions

    def caused_by(self, seq: int) -> Self:
        """The origin of what an event brings about."""
        return type(self)(*self[:3], seq, *self[4:])  # half of what `_replace` takes: one for each event that has any


class Event(NamedTuple):
    """One fact about one aggregate.

    Attributes:
        type: `aggregate.what_happened`.
        aggregate_type: which kind of thing.
        aggregate_id: which one.
        version: the aggregate's after the change.
        data: the fields that changed, with their new values.
        creates: whether the aggregate did not exist before; then `data` holds every field, and the log those that are
            not null.
    """

    type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    data: Mapping[str, Any]
    creates: bool = False

    def because(self, reason: str | None) -> Self:
        """The same with why somebody had it happen, where that was said."""
        return self if reason is None else self._replace(data={**self.data, "reason": reason})

    def without(self, names: Container[str]) -> Self:
        """The same without what it tells under these names."""
        return self._replace(data={name: value for name, value in self.data.items() if name not in names})
