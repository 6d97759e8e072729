"""Moments as people write them: `now`, a day in several spellings, `2 hours ago`, `in 5 min`, `last hour`, a time
without its zone. All but the last are taken; a zone is not guessed, and one that is named may stand behind a blank:
`2027-01-15 10:30 +01:00`, `tomorrow 9am Europe/Berlin`.

What they mean hangs on what time it is for whoever wrote them, so the computer's own clock is asked.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from mcp_server.kernel.clock_words import DAYS, SPELT, at_a_clock, shown_oddly
from mcp_server.kernel.durations import is_duration, is_iso, seconds_of
from mcp_server.kernel.relative import MomentText
from mcp_server.kernel.times import system_clock

_MIDNIGHT = "T00:00:00Z"
_BEGINNING = "since"
"""Where something begins that lasts until now: there a length of time says since when, and a day by its name, too."""
_PAST = (_BEGINNING, "until")
"""Arguments that mostly mean what has been."""
_AHEAD = ("run_at", "send_at")
"""Arguments that mean what is to come."""
_LENGTH = re.compile(r"(?:(?:the )?(?:last|past) |-)?(?P<length>.{1,40})", re.IGNORECASE)
_ZONE = re.compile(r"\s*(?:UTC|GMT|Z)", re.IGNORECASE)
_APART = re.compile(r"(?P<ago>.{1,40}?)\s+ago|in\s+(?P<ahead>.{1,40})|(?P<from>.{1,40}?)\s+from\s+now", re.IGNORECASE)
_AT_ONCE = ("asap", "immediately", "right now", "right away", "at once")
_NO_DAY = re.compile(
    r"(?P<clock>\d?\d:\d\d(?::\d\d)?(?:\s*[ap]m)?|\d?\d\s*[ap]m|noon)(?P<zone>\s*\S.*)?", re.IGNORECASE
)
_ZONES_UNSAID = ("", " UTC", " 00:00 UTC")
_WHICH = re.compile(r"(?:next|last|this|coming|on)\s+", re.IGNORECASE)
_POINT = re.compile(r"[T ]\d\d(?::?\d\d)?[.,]")
_COMPACT_DAY = re.compile(r"(?:19|20)\d{6}", re.ASCII)
_YEAR = re.compile(r"(?<![+-])\b\d{4}\b")
_UNITS = ("second", "minute", "hour", "day", "week")


def moment_of(text: str, name: str = "") -> str | None:
    """The time that a word, a day or a distance from now stands for at an argument of that name: a day begins at
    midnight UTC. None where it is none of them."""
    plain = text.strip()
    return _of_any_clock(plain, name) or MomentText.read(_of_this_clock(plain, name), plain)


def _of_any_clock(plain: str, name: str) -> str | None:
    """A moment that is the same whenever it is read."""
    fixed = None if _APART.fullmatch(plain) else _day_of(plain) or _in_utc(plain) or _as_iso(plain)
    return fixed or (_at_a_clock(plain, name) if _YEAR.search(plain) else None)


def _of_this_clock(plain: str, name: str) -> str | None:
    """A moment that hangs on what time it is."""
    found = _APART.fullmatch(plain)
    if found is not None:
        return _apart(found["ago"], found["ahead"] or found["from"])
    return present_time() if plain.lower() == "now" else _at_a_clock(plain, name) or _by_name(plain, name)


def _by_name(plain: str, name: str) -> str | None:
    """A length of time, where the argument says that it lies ahead or behind. Ahead it has a sign, since `18h` may be
    an hour of the day, or is as ISO 8601 has it."""
    if name == _BEGINNING:
        return _since(plain)
    if name not in _AHEAD:
        return None
    if plain.lower() in _AT_ONCE:
        return present_time()
    return _from_now(plain.removeprefix("+").strip(), 1) if plain.startswith("+") or is_iso(plain) else None


def _apart(back: str | None, ahead: str) -> str | None:
    return _from_now(ahead, 1) if back is None else _from_now(back, -1)


def _day_of(plain: str) -> str | None:
    """The beginning of a day."""
    if _COMPACT_DAY.fullmatch(plain) is not None:
        plain = f"{plain[:4]}-{plain[4:6]}-{plain[6:]}"
    for spelling in SPELT:
        with suppress(ValueError):
            return f"{datetime.strptime(plain, spelling).date().isoformat()}{_MIDNIGHT}"  # a day alone has no zone
    return None


def _in_utc(plain: str) -> str | None:
    """A time whose zone is said in a word."""
    zone = _ZONE.search(plain)
    if zone is None or zone.end() != len(plain):
        return None
    meant = f"{plain[: zone.start()].replace(' ', 'T', 1)}Z"
    return _as_iso(meant)


def _as_iso(plain: str) -> str | None:
    """A time with its zone in a spelling of ISO 8601 that is seldom used: `20270101T120000Z`. What stands behind a
    point is a part of an hour there, and to everybody else minutes."""
    return _with_zone(plain) if _has_zone(plain) and _POINT.search(plain) is None else None


def _at_a_clock(plain: str, name: str) -> str | None:
    """A time at a place. A day of the week lies where the argument looks."""
    at = at_a_clock(plain, _now(), (name in _AHEAD) - (name in _PAST))
    return None if at is None else shown_time(at)


def _since(plain: str) -> str | None:
    """When that began which lasts until now: `last 2 hours`, `24h`, `yesterday`."""
    if plain.lower() in ("yesterday", "today"):
        return _named_day(plain.lower())
    found = _LENGTH.fullmatch(plain)
    return None if found is None else _from_now(found["length"], -1)


def _named_day(word: str) -> str:
    return shown_time(_now() + timedelta(days=DAYS[word]))[:10] + _MIDNIGHT


def moment_like(name: str, given: object) -> str:
    """A time that would do instead of what was given at an argument of this name."""
    text = given.strip() if isinstance(given, str) else ""
    meant = (
        moment_of(text, name)
        or _with_zone(text.replace("/", "-"))
        or _length_like(name, text.lower())
        or _clock_like(name, text)
    )
    return meant or shown_time(_now() + (timedelta(days=-1) if name in _PAST else timedelta(hours=1)))


def _with_zone(text: str) -> str | None:
    """A time of which the zone was not said, as that of UTC."""
    spelt = text.replace(" ", "T", 1)
    meant = next(filter(_has_zone, (spelt, f"{spelt}Z")), None)
    with suppress(OverflowError):
        at = None if meant is None else datetime.fromisoformat(meant).astimezone(UTC)
        return None if at is None else f"{at.replace(tzinfo=None).isoformat()}Z"
    return None


def _length_like(name: str, text: str) -> str | None:
    """A length of time, or a day, of which nothing says where it lies."""
    apart = _from_now(text.removeprefix("last ").removeprefix("past "), -1 if name in _PAST else 1)
    return _named_day(text) if apart is None and text in DAYS else apart


def _clock_like(name: str, text: str) -> str | None:
    """The time at a clock of which the zone or the day was not said, or not for sure: that of UTC, and the next or the
    last that there is."""
    found = (_at_a_clock(f"{day}{zone}", name) for day in _days_like(name, text) for zone in _ZONES_UNSAID)
    return next((one for one in found if one is not None and _lies_there(one, name)), None)


def _days_like(name: str, text: str) -> list[str]:
    """What was written, with a day where it was a time alone, and without what does not say which week."""
    if _NO_DAY.fullmatch(text) is None:
        return [_WHICH.sub("", text)]
    return [f"{day} {text}" for day in ("today", "yesterday" if name in _PAST else "tomorrow")]


def _lies_there(moment: str, name: str) -> bool:
    """Whether a moment lies where the argument looks."""
    return (moment <= present_time()) == (name in _PAST)


def distance_of(name: str, length: str = "2 hours") -> str:
    """A length of time as a distance from now, where an argument of this name looks."""
    return f"{length} ago" if name in _PAST else f"in {length}"


def clock_doubt(text: str) -> tuple[str, tuple[str, str]] | None:
    """How clocks at a place show a time that they do not show once, and the times nearest to it."""
    return shown_oddly(text, _now())


def _from_now(distance: str, sign: int) -> str | None:
    """The time that is so far from now; None where that is no distance, or leads out of the calendar."""
    length = f"1 {distance}" if distance.lower() in _UNITS else distance
    if not is_duration(length):
        return None
    try:
        return shown_time(_now() + timedelta(seconds=sign * seconds_of(length)))
    except OverflowError:
        return None


def seconds_until(text: str) -> int | None:
    """How long it is until a time; None where it is none, or has passed."""
    meant = moment_of(text, _AHEAD[0]) or text.strip()
    if not _has_zone(meant):
        return None
    seconds = round((datetime.fromisoformat(meant) - _now()).total_seconds())
    return seconds if seconds > 0 else None


def present_time() -> str:
    """What time it is, to the second."""
    return shown_time(_now())


def _now() -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=system_clock())


def shown_time(at: datetime) -> str:
    """A time to the second, which is in UTC."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"  # the year in four figures


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
