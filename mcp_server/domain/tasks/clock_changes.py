"""When the clocks of a time zone are changed, and by how much: what a schedule's times may fall into."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mcp_server.kernel.times import SECOND, Micros

_WEEK = 7 * 86_400
"""No zone changes its clocks and back within one."""


class ClockChange(NamedTuple):
    """The moment, and what the clocks show then before they are changed and after, without a zone."""

    at: Micros
    before: datetime
    after: datetime

    def is_skip(self) -> bool:
        """Whether local times are left out; else they come twice."""
        return self.before < self.after

    def span(self) -> Micros:
        """How long that is which is left out, or comes twice."""
        return abs(self.after - self.before) // timedelta(microseconds=1)


def changes_of(zone: ZoneInfo, since: Micros, until: Micros) -> Iterator[ClockChange]:
    """The changes of a zone's clocks between two moments, in order, as far as the calendar goes."""
    with contextlib.suppress(OverflowError, ValueError):
        for second in range(since // SECOND, until // SECOND, _WEEK):
            if _offset(zone, second) != _offset(zone, second + _WEEK):
                yield _change(zone, _moment(zone, second, second + _WEEK))


def _moment(zone: ZoneInfo, low: int, high: int) -> int:
    """The first second at which the offset is no more what it was at `low`."""
    was = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == was else (low, middle)
    return high


def _change(zone: ZoneInfo, second: int) -> ClockChange:
    # What clocks show has no zone.
    utc = datetime(1970, 1, 1) + timedelta(seconds=second)
    return ClockChange(second * SECOND, utc + _offset(zone, second - 1), utc + _offset(zone, second))


def _offset(zone: ZoneInfo, second: int) -> timedelta:
    return datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
