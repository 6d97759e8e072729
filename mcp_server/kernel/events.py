"""What happened: the event and its origin. An event's data holds the fields that changed, with their new values,
so that a row is the fold of its aggregate's events."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

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
        actor: `kind:id` of the caller.
        correlation_id: one id for all that one call caused.
        causation_seq: sequence number of the event that led to this, if one did.
        bound_agent_id: the agent that the caller's credential belongs to, if it is an agent's.
        new_id: makes an id of a kind.
        chance: a random number in [0, 1), anew each time.
    """

    at: int
    actor: str
    correlation_id: str
    causation_seq: int | None = None
    bound_agent_id: str | None = None
    new_id: NewId = _nothing_new
    chance: Random = float

    def caused_by(self, seq: int) -> Self:
        """The origin of what an event brings about."""
        return self._replace(causation_seq=seq)


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
