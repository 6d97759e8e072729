"""Durations as people write them: `30s`, `5 minutes`, `1h30m`."""

import re
from typing import TypeGuard

DURATION_CHARACTERS_MAX = 40
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIT = r"(s|m|h|d|w)(?:ec|ecs|econd|econds|in|ins|inute|inutes|r|rs|our|ours|ay|ays|eek|eeks)?"
_PART = rf"(\d+(?:\.\d+)?)\s*{_UNIT}\s*"
_WHOLE = re.compile(rf"(?:{_PART})+", re.IGNORECASE)
_PARTS = re.compile(_PART, re.IGNORECASE)


def is_duration(value: object) -> TypeGuard[str]:
    """Whether a value is text that says how long, with its units."""
    if not isinstance(value, str) or len(value) > DURATION_CHARACTERS_MAX:
        return False
    return _WHOLE.fullmatch(value.strip()) is not None


def seconds_of(text: str) -> float:
    """How many seconds a duration lasts."""
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PARTS.findall(text))
