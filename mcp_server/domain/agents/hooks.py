"""The moments of agents at which other areas do their part."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.domain.agents.model import Agent
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.events import Origin
from mcp_server.kernel.paging import AtLeast, counted
from mcp_server.kernel.store import Hook

HOLDING_SHOWN_MAX = 20
HOLDING_COUNTED_MAX = 1_000
"""How far things are counted that an agent may have any number of, for one who only looks."""


class Holding(NamedTuple):
    """What one area knows an agent to hold, for people and models: what it is, such as `locks`, and which, up to 20; of
    locks that were handed over, under which fencing tokens, where the caller may know them."""

    what: str
    which: list[str]
    total: int
    fencing_tokens: Mapping[str, int] | None = None

    @staticmethod
    def of(what: str, which: Sequence[str], counted_max: int | None = None) -> "Holding | None":
        """So many things, by their ids or names, each once; None where there are none. Counted up to a number, they are
        at least as many."""
        names = list(dict.fromkeys(which))
        total = len(names) if counted_max is None else counted(len(names), counted_max)
        return Holding(what, names[:HOLDING_SHOWN_MAX], total) if names else None

    def told(self) -> dict[str, Any]:
        """It as data, without what it is."""
        tokens = {"fencing_tokens": dict(self.fencing_tokens)} if self.fencing_tokens else {}
        least = {"at_least": True} if isinstance(self.total, AtLeast) else {}
        return {"total": self.total, "which": self.which} | least | tokens


AGENT_ENDED: Hook[[Origin, str, str], list[str]] = Hook("agent ended")
"""Told with the agent's id and why; answered with the ids of the tasks that went back to the queue."""

AGENT_HOLDS: Hook[[Origin, str], Holding | None] = Hook("agent holds")
"""Told with the id of an agent that is about to leave; answered with what would stay behind: pinned tasks, locks,
unread messages, open questions. Leases are not: those go back to the queue."""

AGENT_HANDED_OVER: Hook[[Origin, Speaker, Speaker, str | None], Holding | None] = Hook("agent handed over")
"""Told with the agent that leaves, the one that takes over, and why, which each thing keeps for that one; answered with
what was handed over. What `AGENT_HOLDS` answered is the other's afterwards."""

INSTANCE_LOST: Hook[[Origin, str], None] = Hook("instance lost")
"""Told with the instance's id."""

INSTANCE_ENDED: Hook[[Origin, str, str, bool], None] = Hook("instance ended")
"""Told with the agent's id, the instance's, and whether it was in order, as when it was asked to end: its process is
known to be gone. `INSTANCE_LOST` is told as well."""

AGENT_CHANGED: Hook[[Origin, Agent], None] = Hook("agent changed")
"""Told with an agent as it is after it was given a launcher, rules of scaling or another lifecycle. Of one that leaves,
`AGENT_ENDED` is told instead."""
