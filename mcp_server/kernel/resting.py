"""Rows that could not be settled: they rest, longer each time, while everything else goes on."""

from typing import NamedTuple

from mcp_server.kernel.loops import Loops
from mcp_server.kernel.sweeping import Stuck
from mcp_server.kernel.times import Micros, duration

REST_SECONDS_MAX = 300.0
"""How long a row that could not be settled rests at most."""


class RestingRows:
    """Rows that could not be settled, until they are tried again."""

    def __init__(self, loops: Loops) -> None:
        self._loops = loops
        self._rows: dict[tuple[str, str], _Rest] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def passed_over(self, due: str, now: Micros) -> frozenset[str]:
        """The keys of those that rest still."""
        return frozenset(key for (of, key), rest in self._rows.items() if of == due and rest.until > now)

    def failed(self, due: str, stuck: Stuck, now: Micros) -> None:
        """One could not be settled."""
        before = self._rows.get((due, stuck.key))
        tries = 0 if before is None else before.tries
        seconds = min(REST_SECONDS_MAX, 2.0**tries)
        self._rows[due, stuck.key] = _Rest(tries + 1, now + duration(seconds))
        self._loops.hold(_called(due, stuck.key), stuck.error)

    def has(self, due: str) -> bool:
        """Whether there is one of this kind."""
        return any(of == due for of, _ in self._rows)

    def try_all_again(self) -> None:
        """Until when they rest was computed from another clock: none rests any longer."""
        self._rows = {place: rest._replace(until=0) for place, rest in self._rows.items()}

    def forget(self, due: str, now: Micros) -> None:
        """Those that were tried just now and do not rest again are settled, or are gone."""
        for place in [place for place, rest in self._rows.items() if place[0] == due and rest.until <= now]:
            del self._rows[place]
            self._loops.release(_called(*place))


class _Rest(NamedTuple):
    tries: int
    until: Micros


def _called(due: str, key: str) -> str:
    return f"{due} {key}"
