"""The time of the database's server, for every process that uses the database, however wrong its machine's clock is."""

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mcp_server.kernel.clocks import JUMP_MIN
from mcp_server.kernel.times import SECOND, Micros, steady_clock, system_clock

NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS now"
LOOKS_MAX = 5
"""How often the server is asked in a row: the answer that came fastest counts."""
LOOK_AGAIN_AFTER: Micros = 30 * SECOND
OFF_MIN: Micros = SECOND
"""By how much a machine's clock is off before anybody is told: less changes nothing that people see."""

log = logging.getLogger("datamcp.time")


class Answer(NamedTuple):
    """What the server said, and between which moments of the steady clock."""

    at: Micros
    asked: Micros
    answered: Micros

    @property
    def began(self) -> Micros:
        """The server's time when the steady clock stood at nothing, had the server read its own half-way."""
        return self.at - (self.asked + self.answered) // 2

    @property
    def within(self) -> Micros:
        """By how much that may be wrong."""
        return (self.answered - self.asked + 1) // 2


class ServerClock:
    """Called, it tells the server's time: what it was when it was asked last, and what has passed since by a clock that
    nobody sets. That this machine's clock is set changes nothing.

    It never goes back by a measurement, but stands still until it is caught up with; only where the server's own clock
    was set back by more than clocks may differ does it follow.
    """

    def __init__(self, wall: Callable[[], Micros] = system_clock, steady: Callable[[], Micros] = steady_clock) -> None:
        self._wall, self._steady = wall, steady
        self._began = wall() - steady()
        self._latest: Micros = 0
        self._looked_at: Micros | None = None
        self._looked_by = 0, 0
        self._told: Micros = 0
        self.off: Micros = 0
        """By how much this machine's clock is ahead of the server's; behind is negative."""

    def __call__(self) -> Micros:
        """Now, in microseconds UTC."""
        now = self._began + self._steady()
        if 0 < self._latest - now <= JUMP_MIN:
            return self._latest
        self._latest = now
        return now

    def is_due(self, connections: int) -> bool:
        """Whether the server is to be asked: from time to time, when this machine's clock was set or slept, and after a
        connection was made, which may be to another server."""
        steady = self._steady()
        set_by = abs(self._wall() - steady - self._looked_by[0])
        is_old = self._looked_at is None or steady - self._looked_at >= LOOK_AGAIN_AFTER
        return is_old or set_by > OFF_MIN or connections != self._looked_by[1]

    def answer(self, at: Micros, asked: Micros) -> Answer:
        """What was answered just now."""
        return Answer(at, asked, self._steady())

    def steady(self) -> Micros:
        """The clock that nobody sets."""
        return self._steady()

    def agrees(self, answer: Answer) -> bool:
        """Whether an answer says nothing new."""
        return self._looked_at is not None and abs(answer.began - self._began) <= answer.within

    def take(self, answers: Iterable[Answer], connections: int) -> None:
        """Go by the best of some answers, unless it says nothing new; tell once of a machine whose clock is off."""
        best = min(answers, key=lambda answer: answer.within)
        if not self.agrees(best):
            self._began = best.began
        steady = self._steady()
        self._looked_at, self._looked_by = steady, (self._wall() - steady, connections)
        self.off = self._looked_by[0] - self._began
        if abs(self.off - self._told) > OFF_MIN:
            self._told = self.off
            log.warning("this machine's clock is %s the database server's, which counts", off_by(self.off))


def off_by(off: Micros) -> str:
    """By how much a clock is off, in words."""
    return f"{abs(off) / SECOND:.1f} s {'ahead of' if off > 0 else 'behind'}"
