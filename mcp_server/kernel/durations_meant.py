"""Durations that are not accepted, as they were meant: until a time, in other units."""

import math
from typing import Any

from mcp_server.kernel.durations import durations_like, seconds_of
from mcp_server.kernel.moments import seconds_until
from mcp_server.kernel.shapes import SECONDS, Shape

MILLISECONDS_MIN = 10_000
"""A duration of so many milliseconds may be taken for seconds."""


def lasting_meant(place: Shape, value: Any, name: str) -> tuple[int | str, ...]:
    """How long a text may mean, or how long it is until a time, that stands where a duration does."""
    if not (name.endswith(SECONDS) and isinstance(value, str)):
        return ()
    return _until(value, place.bounds[1] or math.inf)


def _until(value: str, most: float) -> tuple[int | str, ...]:
    seconds = seconds_until(value)
    if seconds is None:
        return tuple(one for one in durations_like(value) if seconds_of(one) <= most)
    return (seconds,) if seconds <= most else ()


def out_of_milliseconds(place: Shape, value: Any, name: str) -> int | None:
    """What a duration that is too long is in seconds, where it plainly was given in milliseconds."""
    if not (name.endswith(SECONDS) and isinstance(value, int)):
        return None
    is_plain = MILLISECONDS_MIN <= value <= (place.bounds[1] or 0) * 1000 and value % 1000 == 0
    return value // 1000 if is_plain else None
