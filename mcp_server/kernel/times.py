"""Times: integers inside the house, microseconds since 1970-01-01T00:00:00Z (`Micros`)."""

import time
from datetime import UTC, datetime
from functools import lru_cache

Micros = int
SECOND: Micros = 1_000_000


def micros(at: datetime) -> Micros:
    """An aware datetime as microseconds UTC."""
    delta = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


@lru_cache(maxsize=1024)
def iso(at: Micros) -> str:
    """Microseconds UTC as ISO 8601 with `Z`."""
    return f"{_iso_second(at // 1_000_000)}.{at // 1000 % 1000:03}Z"


@lru_cache(maxsize=1024)
def _iso_second(seconds: int) -> str:
    at = time.gmtime(seconds)
    return f"{at.tm_year:04}-{time.strftime('%m-%dT%H:%M:%S', at)}"  # of %Y some systems print no leading zeros


def iso_or_none(at: Micros | None) -> str | None:
    """`iso`, where there may be no time at all."""
    return None if at is None else iso(at)


def duration(seconds: float) -> Micros:
    """Seconds as microseconds."""
    return round(seconds * SECOND)


def system_clock() -> Micros:
    """Now, in microseconds UTC."""
    return time.time_ns() // 1000


_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def steady_clock() -> Micros:
    """Microseconds that have passed since some moment, whatever the clock is set to. A machine's sleep counts."""
    return (time.monotonic_ns() if _STEADY is None else time.clock_gettime_ns(_STEADY)) // 1000
