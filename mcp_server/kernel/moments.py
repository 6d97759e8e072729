"""Moments as people write them: `now`, a day, `2 hours ago`, `in 5 min`, a time without its zone. All but the last are
taken; a zone is not guessed.

What they mean hangs on what time it is for whoever wrote them, so the computer's own clock is asked.
"""

import re
from datetime import UTC, datetime, timedelta

from mcp_server.kernel.durations import is_duration, seconds_of
from mcp_server.kernel.times import system_clock

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MIDNIGHT = "T00:00:00Z"
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_PAST = ("since", "until")
_APART = re.compile(r"(?P<ago>.{1,40}?)\s+ago|in\s+(?P<ahead>.{1,40})", re.IGNORECASE)
_ONE = re.compile(r"^(?:an?|one)\s+", re.IGNORECASE)
_UNITS = ("second", "minute", "hour", "day", "week")


def moment_of(text: str) -> str | None:
    """The time that a word, a day or a distance from now stands for: a day begins at midnight UTC. None where it is
    none of them."""
    plain = text.strip()
    if plain.lower() == "now":
        return present_time()
    found = _APART.fullmatch(plain)
    if found is not None:
        back, ahead = found["ago"], found["ahead"]
        return _from_now(back or ahead, -1 if back else 1)
    return f"{plain}{_MIDNIGHT}" if _DAY.fullmatch(plain) else None


def moment_like(name: str, given: object) -> str:
    """A time that would do instead of what was given at an argument of this name."""
    text = given.strip() if isinstance(given, str) else ""
    for meant in (text.replace(" ", "T", 1), f"{text.replace(' ', 'T', 1)}Z"):
        if _has_zone(meant):
            return meant
    apart = _from_now(text.lower().removeprefix("last ").removeprefix("past "), -1 if name in _PAST else 1)
    if apart is not None:
        return apart
    if text.lower() in _DAYS:
        return _shown(_now() + timedelta(days=_DAYS[text.lower()]))[:10] + _MIDNIGHT
    return _shown(_now() + (timedelta(days=-1) if name in _PAST else timedelta(hours=1)))


def _from_now(distance: str, sign: int) -> str | None:
    """The time that is so far from now; None where that is no distance, or leads out of the calendar."""
    length = _ONE.sub("1 ", f"1 {distance}" if distance in _UNITS else distance)
    if not is_duration(length):
        return None
    try:
        return _shown(_now() + timedelta(seconds=sign * seconds_of(length)))
    except OverflowError:
        return None


def present_time() -> str:
    """What time it is, to the second."""
    return _shown(_now())


def _now() -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=system_clock())


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
