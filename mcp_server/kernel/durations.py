"""Durations as people write them: `30s`, `5 minutes`, `1h30m`, `1h30`, `an hour`, `two days`, `1 hour and 30 minutes`;
and as ISO 8601 has them: `PT90M`, `P1D`."""

import re
from typing import TypeGuard

DURATION_CHARACTERS_MAX = 40
_SECONDS = {"ms": 0.001, "millis": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIT = r"(ms|millis|s|m|h|d|w)(?:ec|ecs|econd|econds|in|ins|inute|inutes|r|rs|our|ours|ay|ays|eek|eeks)?"
_PART = rf"(\d+(?:\.\d+)?)\s*{_UNIT}\s*"
_WHOLE = re.compile(rf"(?:{_PART})+", re.IGNORECASE)
_PARTS = re.compile(_PART, re.IGNORECASE)
_ISO = re.compile(r"P(?=[\dT])(?:\d+W)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?")
_NUMBERS = {
    **dict.fromkeys(("half an", "half a"), "0.5"),
    **dict.fromkeys(("a", "an", "one"), "1"),
    **{
        word: str(n)
        for n, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2)
    },
}
_WORD = re.compile(rf"\b({'|'.join(_NUMBERS)})\s+", re.IGNORECASE)
_AND = re.compile(r"(?<=[a-z])(?:\s+and\s+|,\s*)(?=\d)", re.IGNORECASE)
_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}\s*[a-z])", re.IGNORECASE)  # before three figures it may divide thousands
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)", re.ASCII)
_CLOCK_TO_THE_SECOND = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)", re.ASCII)
_CALENDAR = re.compile(r"(\d{1,3})\s*(month|year)s?", re.IGNORECASE | re.ASCII)
_DAYS = {"month": 30, "year": 365}
_MINUTES_LEFT = re.compile(r"(\d\s*h)\s*(\d{1,2})", re.IGNORECASE)


def is_duration(value: object) -> TypeGuard[str]:
    """Whether a value is text that says how long, with its units."""
    if not isinstance(value, str) or len(value) > DURATION_CHARACTERS_MAX:
        return False
    return _WHOLE.fullmatch(_in_figures(value)) is not None


def is_iso(text: str) -> bool:
    """Whether a duration is written as ISO 8601 has it."""
    return len(text) <= DURATION_CHARACTERS_MAX and _ISO.fullmatch(text.strip()) is not None


def seconds_of(text: str) -> float:
    """How many seconds a duration lasts."""
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PARTS.findall(_in_figures(text)))


def durations_like(text: str) -> tuple[str, ...]:
    """What a text may mean that is no duration for sure: `1:30` is hours and minutes, or minutes and seconds; a month
    has no length of its own."""
    plain = _WORD.sub(_in_figure, text.strip()[:DURATION_CHARACTERS_MAX])
    clock = _CLOCK.fullmatch(plain)
    if clock is not None:
        sixtieths = int(clock[1]) * 60 + int(clock[2])
        return (f"{sixtieths} minutes", f"{sixtieths} seconds")
    whole = _CLOCK_TO_THE_SECOND.fullmatch(plain)
    if whole is not None:
        return (f"{(int(whole[1]) * 60 + int(whole[2])) * 60 + int(whole[3])} seconds",)
    found = _CALENDAR.fullmatch(plain)
    return () if found is None else (f"{int(found[1]) * _DAYS[found[2].lower()]} days",)


def _in_figure(found: re.Match[str]) -> str:
    return f"{_NUMBERS[' '.join(found[1].lower().split())]} "


def _in_figures(text: str) -> str:
    """A duration of numbers and units alone."""
    plain = text.strip()
    if is_iso(plain):
        return plain[1:].replace("T", "")
    plain = _AND.sub(" ", _WORD.sub(_in_figure, _COMMA.sub(".", plain)))
    minutes = _MINUTES_LEFT.fullmatch(plain)
    return plain if minutes is None else f"{minutes[1]} {minutes[2]}m"
