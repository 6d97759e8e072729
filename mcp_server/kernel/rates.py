"""How often each may do something (the generic cell rate algorithm)."""

from collections.abc import Callable

REMEMBERED = 1024
"""How many callers' rates are remembered before it is looked whose are over."""


class Rate:
    """So many a second for each, and some at once: when the next is due."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        """Nobody has done anything.

        Args:
            per_second: how many, in the long run.
            burst: how many at once, after a rest.
            clock: seconds that only go on.
        """
        self._seconds_each = 1 / per_second
        self._ahead_seconds = burst / per_second
        self._clock = clock
        self._due: dict[str, float] = {}
        self._remembered_max = REMEMBERED

    def wait(self, label: str, amount: int) -> float:
        """How long until so many more may be; where that is now, they are taken."""
        now = self._clock()
        due = max(self._due.get(label, now), now) + amount * self._seconds_each
        wait = max(round(due - now - self._ahead_seconds, 6), 0.0)  # sums of fractions are not exact
        if not wait:
            self._due[label] = due
            self._forget(now)
        return wait

    def _forget(self, now: float) -> None:
        if len(self._due) > self._remembered_max:
            self._due = {label: due for label, due in self._due.items() if due > now}
            self._remembered_max = max(REMEMBERED, 2 * len(self._due))
