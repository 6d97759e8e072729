"""Moments as people write them: `now`, a day, a time without its zone. The first two are taken; a zone is not guessed.

What they mean hangs on what time it is for whoever wrote them, so the computer's own clock is asked.
"""

import re
from datetime import UTC, datetime, timedelta

from mcp_server.kernel.times import system_clock

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MIDNIGHT = "T00:00:00Z"
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_PAST = ("since", "until")


def moment_of(text: str) -> str | None:
    """The time that a word or a day stands for: a day begins at midnight UTC. None where it is neither."""
    plain = text.strip()
    if plain.lower() == "now":
        return present_time()
    return f"{plain}{_MIDNIGHT}" if _DAY.fullmatch(plain) else None


def moment_like(name: str, given: object) -> str:
    """A time that would do instead of what was given at an argument of this name."""
    text = given.strip() if isinstance(given, str) else ""
    for meant in (text.replace(" ", "T", 1), f"{text.replace(' ', 'T', 1)}Z"):
        if _has_zone(meant):
            return meant
    if text.lower() in _DAYS:
        return _shown(_now() + timedelta(days=_DAYS[text.lower()]))[:10] + _MIDNIGHT
    return _shown(_now() + (timedelta(days=-1) if name in _PAST else timedelta(hours=1)))


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
