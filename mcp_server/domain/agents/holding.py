"""What an agent has in hand, told alike wherever it is asked for: before it leaves, at rest, when it is silent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mcp_server.kernel.paging import AtLeast, counted
from mcp_server.kernel.times import Micros, iso

HOLDING_SHOWN_MAX = 20
HOLDING_COUNTED_MAX = 1_000
"""How far things are counted that an agent may have any number of, for one who only looks."""


class Holding(NamedTuple):
    """What one area knows an agent to hold, for people and models: what it is, such as `locks`, and which, up to 20; of
    locks that were handed over, under which fencing tokens, where the caller may know them; and of what ends by itself,
    when each does, and of what ends with an instance that is not heard of, when that would be."""

    what: str
    which: list[str]
    total: int
    fencing_tokens: Mapping[str, int] | None = None
    until: Mapping[str, str] | None = None
    free_if_silent_until: Mapping[str, str] | None = None

    @staticmethod
    def of(what: str, which: Sequence[str], counted_max: int | None = None) -> "Holding | None":
        """So many things, by their ids or names, each once; None where there are none. Counted up to a number, they are
        at least as many."""
        names = list(dict.fromkeys(which))
        total = len(names) if counted_max is None else counted(len(names), counted_max)
        return Holding(what, names[:HOLDING_SHOWN_MAX], total) if names else None

    @staticmethod
    def ending(what: str, which: Iterable[tuple[str, Micros]], counted_max: int | None = None) -> "Holding | None":
        """Things that end by themselves, each with when it does."""
        ends = {name: iso(at) for name, at in which}
        held = Holding.of(what, list(ends), counted_max)
        return held and held._replace(until={name: ends[name] for name in held.which})

    def told(self) -> dict[str, Any]:
        """It as data, without what it is."""
        told = {
            "total": self.total,
            "which": self.which,
            "at_least": isinstance(self.total, AtLeast),
            "fencing_tokens": self.fencing_tokens,
            "until": self.until,
            "free_if_silent_until": self.free_if_silent_until,
        }
        return {name: said for name, said in told.items() if said}
