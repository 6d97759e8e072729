"""Moments as people write them: `now`, a day in several spellings, `2 hours ago`, `in 5 min`, `last hour`, a time
without its zone. All but the last are taken; a zone is not guessed, and one that is named may stand behind a blank:
`2027-01-15 10:30 +01:00`, `tomorrow 09:00 Europe/Berlin`.

What they mean hangs on what time it is for whoever wrote them, so the computer's own clock is asked.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from mcp_server.kernel.durations import is_duration, seconds_of
from mcp_server.kernel.times import system_clock

_MIDNIGHT = "T00:00:00Z"
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_BEGINNING = "since"
"""Where something begins that lasts until now: there a length of time says since when, and a day by its name, too."""
_PAST = (_BEGINNING, "until")
"""Arguments that mostly mean what has been."""
_AHEAD = ("run_at", "send_at")
"""Arguments that mean what is to come."""
_LENGTH = re.compile(r"(?:(?:the )?(?:last|past) |-)?(?P<length>.{1,40})", re.IGNORECASE)
_SPELT = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y")
"""Days that are spelt so that no number can be taken for another."""
_ZONE = re.compile(r"\s*(?:UTC|GMT|Z)", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d|yesterday|today|tomorrow)(?:T|,?\s+(?:at\s+)?)(?P<time>\d?\d:\d\d(?::\d\d)?)\s*"
    r"(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d|[A-Z_]{1,20}(?:/[A-Z0-9_+-]{1,20}){1,2})",
    re.IGNORECASE,
)
"""A day, a time and a zone, which may be named; the day may be, too, since the zone says whose day it is."""
_APART = re.compile(r"(?P<ago>.{1,40}?)\s+ago|in\s+(?P<ahead>.{1,40})", re.IGNORECASE)
_ONE = re.compile(r"^(?:an?|one)\s+", re.IGNORECASE)
_UNITS = ("second", "minute", "hour", "day", "week")


def moment_of(text: str, name: str = "") -> str | None:
    """The time that a word, a day or a distance from now stands for at an argument of that name: a day begins at
    midnight UTC. None where it is none of them."""
    plain = text.strip()
    if plain.lower() == "now":
        return present_time()
    found = _APART.fullmatch(plain)
    if found is not None:
        return _apart(found["ago"], found["ahead"])
    return _day_of(plain) or _in_utc(plain) or _at_a_clock(plain) or _by_name(plain, name)


def _by_name(plain: str, name: str) -> str | None:
    """A length of time, where the argument says that it lies ahead or behind. Ahead it has a sign, since `18h` may be
    an hour of the day."""
    if name in _AHEAD:
        return _from_now(plain[1:].strip().lower(), 1) if plain.startswith("+") else None
    return _since(plain) if name == _BEGINNING else None


def _apart(back: str | None, ahead: str) -> str | None:
    return _from_now(ahead, 1) if back is None else _from_now(back, -1)


def _day_of(plain: str) -> str | None:
    """The beginning of a day."""
    for spelling in _SPELT:
        with suppress(ValueError):
            return f"{datetime.strptime(plain, spelling):%Y-%m-%d}{_MIDNIGHT}"  # a day alone has no zone
    return None


def _in_utc(plain: str) -> str | None:
    """A time whose zone is said in a word."""
    zone = _ZONE.search(plain)
    if zone is None or zone.end() != len(plain):
        return None
    meant = f"{plain[: zone.start()].replace(' ', 'T', 1)}Z"
    return meant if _has_zone(meant) else None


def _at_a_clock(plain: str) -> str | None:
    """A time at a place: `2027-01-15 10:30 +01:00`, `tomorrow 09:00 Europe/Berlin`. None where clocks there show it
    twice or never."""
    found = _CLOCK.fullmatch(plain)
    zone = None if found is None else _zone_of(found["zone"])
    if found is None or zone is None:
        return None
    named = _DAYS.get(found["day"].lower())
    clock = found["time"] if found["time"][2] == ":" else f"0{found['time']}"
    try:
        day = found["day"] if named is None else f"{_now().astimezone(zone) + timedelta(days=named):%Y-%m-%d}"
        at = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)
        return None if at.utcoffset() != at.replace(fold=1).utcoffset() else _shown(at.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _zone_of(text: str) -> tzinfo | None:
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # read where one is named: no start waits for it

    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.strptime(text, "%z").tzinfo if text[0] in "+-" else ZoneInfo(text)
    return None


def _since(plain: str) -> str | None:
    """When that began which lasts until now: `last 2 hours`, `24h`, `yesterday`."""
    if plain.lower() in ("yesterday", "today"):
        return _named_day(plain.lower())
    found = _LENGTH.fullmatch(plain)
    return None if found is None else _from_now(found["length"].lower(), -1)


def _named_day(word: str) -> str:
    return _shown(_now() + timedelta(days=_DAYS[word]))[:10] + _MIDNIGHT


def moment_like(name: str, given: object) -> str:
    """A time that would do instead of what was given at an argument of this name."""
    text = given.strip().replace("/", "-") if isinstance(given, str) else ""
    for meant in (text.replace(" ", "T", 1), f"{text.replace(' ', 'T', 1)}Z"):
        if _has_zone(meant):
            return meant
    apart = _from_now(text.lower().removeprefix("last ").removeprefix("past "), -1 if name in _PAST else 1)
    if apart is not None:
        return apart
    if text.lower() in _DAYS:
        return _named_day(text.lower())
    return _shown(_now() + (timedelta(days=-1) if name in _PAST else timedelta(hours=1)))


def distance_like(name: str) -> str:
    """A distance from now that would do at an argument of this name."""
    return "2 hours ago" if name in _PAST else "in 2 hours"


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
