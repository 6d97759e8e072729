"""Why something is no time, and the nearest that are some: a number that counts to another age, a day or a second that
the calendar does not have, a time that clocks skip or show twice."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from mcp_server.kernel.counted_times import number_in, time_meant_by
from mcp_server.kernel.moments import clock_doubt, distance_of, moment_like, shown_time
from mcp_server.kernel.zone_words import ZONE_WORDS

_DISTANCE_SECONDS_MAX = 10 * 365 * 86_400
"""A number up to so many is perhaps how long until then."""
_COMPACT = {4: "%Y", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Dates without anything between their figures, by how many these are."""
_DAY = re.compile(r"(?P<month>\d{4}-(?:0[1-9]|1[0-2]))-(?P<day>\d\d)(?P<rest>\D.*)?")
_SECOND_60 = re.compile(r"(?P<minute>(?:\d{4}-\d\d-\d\d.)?\d\d:\d\d):60(?P<rest>\D.*)?")
_HOUR_24 = re.compile(r"(?P<day>\d{4}-\d\d-\d\d).24:00(?::00)?(?P<rest>\D.*)?")

_LETTERS = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:T|\s+)(?P<clock>\d\d:\d\d(?::\d\d)?)\s*(?P<zone>[A-Za-z]{2,4})", re.ASCII
)
_POINT = re.compile(r"(?P<hour>\d{4}-\d\d-\d\d.\d\d)[.,](?P<rest>\d\d\D.*|\d\d)")


class Amiss(NamedTuple):
    """Why a value is no time, as what follows it in a sentence; times that would do, and such a distance from now; and
    whether these stand as their writer has them, with the day and the hour that clocks there show."""

    why: str
    near: tuple[str, ...]
    distance: str | None = None
    is_whole: bool = False

    def takes(self, name: str) -> str:
        """What is accepted instead at an argument of this name, in words."""
        distance = self.distance or distance_of(name)
        return f"a time with its zone, such as {' or '.join(self.near)}, a day, now, or such as {distance}"


def amiss(name: str, given: object) -> Amiss:
    """What is wrong with a value at an argument of this name that takes a time; no word where that is not known."""
    number = number_in(given)
    if number is not None:
        return _number_amiss(name, number)
    found = _text_amiss(given) if isinstance(given, str) else Amiss("", ("",))
    return Amiss(found.why, found.near if found.is_whole else tuple(moment_like(name, text) for text in found.near))


def _number_amiss(name: str, number: float) -> Amiss:
    distance = _distance(name, number)
    near = _in_figures(number) or moment_like(name, distance or number)
    return Amiss(_counts_to(number), (near,), distance)


def _text_amiss(text: str) -> Amiss:
    found = (why(text.strip()) for why in _WHYS)
    return next(filter(None, found), Amiss("", (text,)))


def _counts_to(number: float) -> str:
    at = time_meant_by(number)
    return "" if at is None else f": as seconds since 1970 that is {shown_time(at)}"


def _distance(name: str, number: float) -> str | None:
    """How long a number may say that it is from now."""
    return distance_of(name, f"{number:.12g} seconds") if 0 < number <= _DISTANCE_SECONDS_MAX else None


def _in_figures(number: float) -> str | None:
    """The time that a number is where it is a date in figures."""
    with suppress(ValueError):
        at = datetime.strptime(f"{number}", _COMPACT.get(len(f"{number}"), "-"))
        return shown_time(at) if 1970 <= at.year < 2100 else None
    return None


def _no_such_day(text: str) -> Amiss | None:
    found = _DAY.fullmatch(text)
    return found and _not_in_its_month(found)


def _not_in_its_month(found: re.Match[str]) -> Amiss | None:
    with suppress(ValueError, OverflowError):
        first = datetime.fromisoformat(f"{found['month']}-01")
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        if not 1 <= int(found["day"]) <= last.day:
            near = (last, last + timedelta(days=1))
            return Amiss(f": {first:%B %Y} has {last.day} days", tuple(_on(day, found["rest"]) for day in near))
    return None


def _no_such_second(text: str) -> Amiss | None:
    found = _SECOND_60.fullmatch(text)
    return found and Amiss(": seconds go up to 59 here", (f"{found['minute']}:59{found['rest'] or ''}",))


def _no_such_hour(text: str) -> Amiss | None:
    found = _HOUR_24.fullmatch(text)
    return found and _next_day(found)


def _next_day(found: re.Match[str]) -> Amiss | None:
    with suppress(ValueError, OverflowError):
        day = datetime.fromisoformat(found["day"]) + timedelta(days=1)
        return Amiss(": hours go up to 23", (_on(day, f"T00:00{found['rest'] or ''}"),))
    return None


def _point_for_colon(text: str) -> Amiss | None:
    found = _POINT.fullmatch(text)
    return found and Amiss(": a point may only stand before parts of a second", (f"{found['hour']}:{found['rest']}",))


def _on(day: datetime, rest: str | None) -> str:
    return f"{day.date().isoformat()}{rest or ''}"


def _clocks(text: str) -> Amiss | None:
    found = clock_doubt(text)
    return found and Amiss(*found)


def _in_letters(text: str) -> Amiss | None:
    """A time whose zone is said in letters that are nobody's for sure: by the clocks that may be meant."""
    found = _LETTERS.fullmatch(text)
    meant = () if found is None else ZONE_WORDS.get(found["zone"].upper(), ())
    if found is None or not meant:
        return None
    near = tuple(f"{found['day']}T{found['clock']}{offset}" for offset, _ in meant)
    return Amiss(f": {found['zone']} alone is no zone here", near, is_whole=True)


_WHYS: tuple[Callable[[str], Amiss | None], ...] = (
    _no_such_day,
    _no_such_second,
    _no_such_hour,
    _point_for_colon,
    _clocks,
    _in_letters,
)
