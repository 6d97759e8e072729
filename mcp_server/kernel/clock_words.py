"""A time of a day at a place, as people write it: `2027-01-15 10:30 +01:00`, `tomorrow 9am Europe/Berlin`,
`Tue, 1 Dec 2026 09:00 GMT`, `monday noon UTC`. Without a zone it is nobody's time."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SPELT = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y")
"""Days that are spelt so that no number can be taken for another."""

_DAY = rf"(?P<day>\d{{4}}-\d\d-\d\d|{'|'.join((*DAYS, *_WEEKDAYS))}|[a-z0-9][a-z0-9 ,/.]{{7,17}}\d)"
_TIME = r"(?P<time>\d?\d:\d\d(?::\d\d)?(?:\s*[ap]m\b)?|\d?\d\s*[ap]m\b|noon)"
_ZONE = r"\[?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?|[A-Z_]{1,20}(?:/[A-Z0-9_+-]{1,20}){1,2})\]?"
_AT = r"(?:T|,?\s+(?:at\s+)?)"
_CLOCKS = (
    re.compile(rf"{_DAY}{_AT}{_TIME}\s*{_ZONE}", re.IGNORECASE),
    re.compile(rf"{_TIME}\s+(?:on\s+)?{_DAY}\s+{_ZONE}", re.IGNORECASE),
)
_WEEKDAY = re.compile(r"(?P<weekday>(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}),\s+(?P<rest>.+)", re.IGNORECASE)
_TWICE_SAID = re.compile(r"(?<=\d)(Z|[+-]\d\d:?\d\d)\[[A-Za-z0-9_/+-]{1,60}\]$")
"""A time with its offset, behind which its zone is named once more, as JavaScript writes it."""


def at_a_clock(text: str, now: datetime, ahead: int = 0) -> datetime | None:
    """The time that is meant, in UTC. None where clocks there show it twice or never, or where it is none of these.

    Args:
        text: how it is written.
        now: what time it is.
        ahead: where a day of the week lies: 1 in the week to come, -1 in the last one, 0 nobody knows.
    """
    weekday = _WEEKDAY.fullmatch(text)
    at = _at(text if weekday is None else weekday["rest"], now, ahead)
    if at is None or (weekday is not None and not _is_on(at, weekday["weekday"])):
        return None
    with suppress(ValueError, OverflowError):
        return None if at.utcoffset() != at.replace(fold=1).utcoffset() else at.astimezone(UTC)
    return None


def shown_oddly(text: str, now: datetime) -> tuple[str, tuple[str, str]] | None:
    """How clocks at a place show a time that they show never or twice, as what follows it in a sentence, and the two
    times that are nearest to it; None where they show it once, or where it is none of a place."""
    at = _at(text, now, 0)
    with suppress(ValueError, OverflowError):
        if at is None or at.utcoffset() == at.replace(fold=1).utcoffset():
            return None
        nearest = sorted(at.replace(fold=fold).astimezone(UTC).astimezone(at.tzinfo) for fold in (0, 1))
        how = "show it twice" if nearest[0].replace(tzinfo=None, fold=0) == at.replace(tzinfo=None) else "skip it"
        return f": clocks in {at.tzinfo} {how}", (nearest[0].isoformat(), nearest[1].isoformat())
    return None


def _at(text: str, now: datetime, ahead: int) -> datetime | None:
    found = _parts(_TWICE_SAID.sub(r"\1", text))
    zone = None if found is None else _zone_of(found["zone"])
    if found is None or zone is None:
        return None
    with suppress(ValueError, OverflowError):
        day = _day_of(found["day"].lower(), now.astimezone(zone), ahead)
        return None if day is None else _with_clock(day, found["time"].lower().replace(" ", "")).replace(tzinfo=zone)
    return None


def _parts(text: str) -> re.Match[str] | None:
    return next(filter(None, (one.fullmatch(text) for one in _CLOCKS)), None)


def _is_on(at: datetime, weekday: str) -> bool:
    return _WEEKDAYS[at.weekday()].startswith(weekday.lower())


def _day_of(word: str, today: datetime, ahead: int) -> datetime | None:
    """The beginning of a day at a place, as clocks there show it."""
    if word in DAYS:
        return _midnight(today + timedelta(days=DAYS[word]))
    if word in _WEEKDAYS:
        apart = (_WEEKDAYS.index(word) - today.weekday()) % 7
        return _midnight(today + timedelta(days=apart if ahead > 0 else apart - 7)) if apart and ahead else None
    for spelling in SPELT:
        with suppress(ValueError):
            return datetime.strptime(word, spelling)
    return None


def _midnight(at: datetime) -> datetime:
    return datetime(at.year, at.month, at.day)


def _with_clock(day: datetime, clock: str) -> datetime:
    """A day with the time that clocks show. Half a day is told by am and pm alone where the hour is one of twelve."""
    if clock == "noon":
        return day.replace(hour=12)
    hour, minute, second = map(int, [*clock.rstrip("apm").split(":"), "0", "0"][:3])
    return day.replace(hour=_hour(hour, clock[-2:]), minute=minute, second=second)


def _hour(told: int, half: str) -> int:
    if half not in _HALVES:
        return told
    if not 1 <= told <= 12:
        raise ValueError(told)
    return told % 12 + _HALVES[half]


_HALVES: Mapping[str, int] = {"am": 0, "pm": 12}


def _zone_of(text: str) -> tzinfo | None:
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # read where one is named: no start waits for it

    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        offset = text if len(text) > 3 else f"{text}00"
        return datetime.strptime(offset, "%z").tzinfo if text[0] in "+-" else ZoneInfo(text)
    return None
