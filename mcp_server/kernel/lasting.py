"""Durations among arguments: in other units, as what is to come, or as the time at which they end."""

import re
from collections.abc import Mapping
from typing import Any

from mcp_server.kernel.durations import is_duration, seconds_of
from mcp_server.kernel.moments import seconds_until
from mcp_server.kernel.near import folded
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.relative import SecondsLeft
from mcp_server.kernel.shapes import SECONDS, Shape

_UNITS = {"ms": 0.001, "millis": 0.001, "min": 60, "mins": 60, "minutes": 60, "hours": 3600, "days": 86_400}
_FROM_NOW = re.compile(r"^\s*(?:in|for|within|after)\s+", re.IGNORECASE)


def as_lasting(member: Shape, name: str, value: Any) -> Any:
    """How many seconds a value of a duration means; None where it is none, or says so itself."""
    if name.endswith(SECONDS) and is_duration(lasting := _lasting(value)):
        return seconds_of(lasting)
    return _left(member, name, value)


def in_seconds(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members with durations whose names say another unit in the one that is meant: `ttl_minutes`."""

    def meant(name: str, value: Any) -> tuple[str, Any]:
        stem, _, unit = folded(name).rpartition("_")
        alike = ("wait",) if stem == "timeout" else ()
        lasting = next((one for word in (stem, *alike) if (one := f"{word}{SECONDS}") in shape.members), "")
        if lasting and unit in _UNITS and is_number(value):
            return lasting, value * _UNITS[unit]
        return name, value

    strange = {name: meant(name, value) for name, value in given.items() if name not in shape.members}
    free = {name: one for name, one in strange.items() if one[0] not in given}
    return dict(free.get(name, (name, value)) for name, value in given.items())


def _left(member: Shape, name: str, value: Any) -> int | None:
    """How long it is until the time that stands in place of a duration which begins now."""
    return _within(member, value) if name in FROM_NOW_ON and isinstance(value, str) else None


def _within(member: Shape, words: str) -> int | None:
    left = seconds_until(words)
    return None if left is None or left > (member.bounds[1] or left) else SecondsLeft.read(left, words)


# A timeout, which counts from when a task is claimed, is none of these, nor is the delay of a retry.
FROM_NOW_ON = frozenset(
    f"{one}{SECONDS}" for one in ("ttl", "renew", "extend", "lease", "expires_in", "ack_within", "retry_after", "wait")
)
"""Durations that begin with the call, so that a time to come says how long they are."""


def _lasting(value: Any) -> Any:
    """How long, where it is said as what is to come: `in 2 hours`, `for a day`."""
    return _FROM_NOW.sub("", value) if isinstance(value, str) else value
