"""Time zones by their names, by their cities, and what is said of names that are none."""

import contextlib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationInfo

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.near import folded, near
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.zone_words import ZONE_WORDS

_HOSTS_OWN = frozenset(("localtime", "posixrules", "factory"))
"""Names under which each machine has another zone."""
_OFFSET = re.compile(
    r"(?:(?:UTC|GMT)\s*)?(?P<sign>[+-])\s*(?P<hours>\d{1,2})(?::?(?P<minutes>[0-5]\d))?", re.IGNORECASE
)
_CITIES: Mapping[int, str] = {
    -600: "Pacific/Honolulu",
    -540: "America/Anchorage",
    -480: "America/Los_Angeles",
    -420: "America/Denver",
    -360: "America/Chicago",
    -300: "America/New_York",
    -240: "America/Halifax",
    -210: "America/St_Johns",
    -180: "America/Sao_Paulo",
    60: "Europe/Berlin",
    120: "Europe/Athens",
    180: "Europe/Istanbul",
    210: "Asia/Tehran",
    240: "Asia/Dubai",
    300: "Asia/Karachi",
    330: "Asia/Kolkata",
    345: "Asia/Kathmandu",
    360: "Asia/Dhaka",
    420: "Asia/Bangkok",
    480: "Asia/Shanghai",
    540: "Asia/Tokyo",
    570: "Australia/Adelaide",
    600: "Australia/Sydney",
    660: "Pacific/Noumea",
    720: "Pacific/Auckland",
    780: "Pacific/Tongatapu",
    840: "Pacific/Kiritimati",
}
"""Places by how many minutes their clocks are ahead of UTC, at least in winter."""


def zone_named(name: str, info: ValidationInfo) -> str:
    """A zone by its name. What is stored, which is read as JSON, stays as it was taken.

    Raises:
        ValidationFailed: there is none.
    """
    if info.mode == "python":
        _require_plain(name)
    known = name if name == "UTC" else _known(name)  # most schedules are in it, and the list takes a while
    if known is not None:
        return known
    places = [zone for _, zone in ZONE_WORDS.get(name.strip().upper(), ())]
    like = places or _zones_by_word().get(folded(name)) or _like(name)
    meant = f"Did you mean {' or '.join(like[:3])}? " if like else ""
    raise ValidationFailed(
        f"There is no time zone {quoted(name)}.", next=f"{meant}Give an IANA name, such as Europe/Berlin or UTC."
    )


def _require_plain(name: str) -> None:
    """Refuse a name that means another zone than it says, or another one on each machine."""
    if name.strip().casefold() in _HOSTS_OWN:
        raise ValidationFailed(
            f"{quoted(name)} is another time zone on each machine.", next="Name the zone, such as Europe/Berlin or UTC."
        )
    found = _OFFSET.fullmatch(name.strip())
    if found is not None and (ahead := _minutes_ahead(found)):
        raise _offset_alone(name, ahead)


def _minutes_ahead(found: re.Match[str]) -> int:
    minutes = int(found["hours"]) * 60 + int(found["minutes"] or 0)
    return minutes if found["sign"] == "+" else -minutes


def _offset_alone(name: str, ahead: int) -> ValidationFailed:
    """The refusal of an offset: the names of fixed zones have the other sign, so that it would be taken for the wrong
    one."""
    fixed = f"Etc/GMT{-ahead // 60:+d}"
    is_there = ahead % 60 == 0 and folded(fixed) in map(folded, _zones().values())
    city = _CITIES.get(ahead)
    says = f"The fixed zone of that is {fixed}, whose sign is the other way round. " if is_there else ""
    return ValidationFailed(
        f"{quoted(name)} is an offset, and no time zone.",
        next=f"{says}Name a place, whose clocks may change in summer, such as {city or 'Europe/Berlin'}.",
    )


@cache
def _zones() -> dict[str, str]:
    """Every zone that is known here, by its name in small letters."""
    return {name.casefold(): name for name in sorted(available_timezones())}


@cache
def _zones_by_word() -> Mapping[str, list[str]]:
    """Zones by their names and their cities, whatever the spelling."""
    found: dict[str, list[str]] = {}
    for zone in _zones().values():
        for word in {folded(zone), folded(_city(zone))}:
            found.setdefault(word, []).append(zone)
    return found


@cache
def _by_city() -> Mapping[str, str]:
    return {_city(zone): zone for zone in _zones().values()}


def _like(name: str) -> list[str]:
    """Zones that were perhaps meant."""
    return [_by_city()[city] for city in near(_city(name), _by_city())]


@lru_cache(maxsize=256)
def _known(name: str) -> str | None:
    """A zone as it is written, since some file systems would find it in any spelling, and others would not; or the one
    zone that is called by a city. None is kept, too: to look for a file takes a while, and a call is checked twice."""
    known = _zones().get(name.casefold())
    if known is not None:
        return known
    cities = _zones_by_word().get(folded(name), [])
    if len(cities) == 1:
        return cities[0]
    with contextlib.suppress(KeyError, ValueError, OSError):
        return ZoneInfo(name).key  # a name of this host's own, such as posix/Europe/Berlin
    return None


def _city(zone: str) -> str:
    """What a zone is called within its region."""
    return zone.rpartition("/")[2]
