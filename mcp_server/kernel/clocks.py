"""A clock that is set: noticed by a steady one beside it, and what was computed from a wrong now."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from mcp_server.kernel.times import SECOND, Micros, iso

JUMP_MIN: Micros = 5 * SECOND
"""Clocks that differ by less agree: machines are not in step to the second."""


def is_ahead(at: Micros, now: Micros) -> bool:
    """Whether a moment at which something was done has not come yet: the clock of that time was wrong."""
    return at - now > JUMP_MIN


class Jump(NamedTuple):
    """The clock was set: by how much (back is negative), and what it said when that was noticed."""

    by: Micros
    noticed_at: Micros

    @property
    def way(self) -> Literal["ahead", "back"]:
        """Which way it was set."""
        return "ahead" if self.by > 0 else "back"

    @property
    def seconds(self) -> float:
        """By how many seconds; back is negative."""
        return round(self.by / SECOND, 3)

    def told(self) -> dict[str, Any]:
        """The same, JSON-ready."""
        return {"set_by_seconds": self.seconds, "noticed_at": iso(self.noticed_at)}


class ClockWatch:
    """The wall clock, with a steady one beside it by which it is noticed that it was set. Called, it tells the time."""

    def __init__(self, wall: Callable[[], Micros], steady: Callable[[], Micros]) -> None:
        self._wall = wall
        self.steady = steady
        self._seen = wall(), steady()
        self._latest = self._seen[0]

    def __call__(self) -> Micros:
        """Now, in microseconds UTC."""
        now = self._wall()
        if now > self._latest:
            self._latest = now
        return now

    def look(self) -> Jump | None:
        """Whether the clock was set since the last look, by more than clocks may differ. Set ahead and back between two
        looks, it was set back, if anybody has asked it meanwhile."""
        (wall, steady), self._seen = self._seen, (self._wall(), self.steady())
        now, latest = self._seen[0], self._latest
        self._latest = now
        # Time that passes is no jump; where even the steady clock went back, the wall clock did so without reason.
        by = now - wall - max(0, self._seen[1] - steady)
        if is_ahead(latest, now):
            by = min(by, now - latest)
        return Jump(by, now) if abs(by) > JUMP_MIN else None
