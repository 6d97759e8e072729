"""Schedules: at which moments a cron expression fires in its time zone.

The calendar arithmetic is cronsim's: five fields as in Debian's cron, daylight saving handled as it does. A fixed local
time that a clock change skips fires right after the gap; one that a clock change repeats fires once.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from mcp_server.domain.tasks.clock_changes import ClockChange, changes_of
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.near import folded, near
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.times import SECOND, Micros, iso, micros
from mcp_server.kernel.values import Frozen

GRACE: Micros = 60 * SECOND
"""An occurrence that is noticed later than this counts as missed."""
_YEAR: Micros = 366 * 86_400 * SECOND
_NAMED_MAX = 4


_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Names that cron itself has for expressions."""


_WEEKS = {"1-7": 1, "8-14": 2, "15-21": 3, "22-28": 4}
"""Days of the month in which each day of the week stands once."""


def _spelt_out(cron: Any) -> Any:
    return _NICKNAMES.get(cron.strip().lower(), cron) if isinstance(cron, str) else cron


def _times(cron: str, at: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """The occurrences after a moment in order, or backwards those before."""
    from cronsim import CronSim  # with the calendar 0.2 MB, and most servers see no schedule

    return CronSim(cron, at, reverse=reverse)


def _fires(cron: str) -> str:
    from cronsim import CronSimError

    try:
        next(_times(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValidationFailed(
            f"{quoted(cron)} is not a cron expression: {error}.",
            next="Give minute, hour, day of month, month, day of week, such as '0 9 * * mon-fri'.",
        ) from None
    except StopIteration:
        raise ValidationFailed(
            f"The cron expression {quoted(cron)} never fires.", next="Name a day that exists."
        ) from None
    return cron


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


def _zone(name: str) -> str:
    """A zone by its name.

    Raises:
        ValidationFailed: there is none.
    """
    known = name if name == "UTC" else _known(name)  # most schedules are in it, and the list takes a while
    if known is not None:
        return known
    like = _zones_by_word().get(folded(name)) or _like(name)
    meant = f"Did you mean {' or '.join(like[:3])}? " if like else ""
    raise ValidationFailed(
        f"There is no time zone {quoted(name)}.", next=f"{meant}Give an IANA name, such as Europe/Berlin or UTC."
    )


def _city(zone: str) -> str:
    """What a zone is called within its region."""
    return zone.rpartition("/")[2]


def _several(times: Sequence[str]) -> str:
    """Times: each of a few, else the first and the last."""
    return ", ".join(times) if len(times) <= _NAMED_MAX else f"{times[0]} to {times[-1]}"


class ScheduleSpec(Frozen):
    """When a task is created again and again.

    Attributes:
        cron: minute, hour, day of month, month, day of week.
        timezone: an IANA name.
        catch_up: what becomes of occurrences that no server was alive for: none of them, or one for all.
        overlap: whether an occurrence fires while the previous firing is unfinished.
    """

    INSTEAD: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("every", "interval"),
        "cron says how often, such as 0 * * * * for every hour, */10 * * * * for every 10 minutes",
    )

    cron: Annotated[str, BeforeValidator(_spelt_out), Field(min_length=1, max_length=200), AfterValidator(_fires)] = (
        Field(examples=["0 9 * * mon-fri"])
    )
    timezone: Annotated[
        str, Field(min_length=1, max_length=64), AfterValidator(_zone), Meant("an IANA time zone", "Europe/Berlin")
    ] = "UTC"
    catch_up: Literal["skip", "once"] = "skip"
    overlap: Literal["skip", "allow"] = "skip"

    def next_after(self, at: Micros) -> Micros:
        """The first occurrence after a moment.

        Raises:
            ValidationFailed: there is none before the calendar ends.
        """
        found = self.firings(at, 1)
        if not found:
            raise ValidationFailed(
                f"{quoted(self.cron)} does not fire between {iso(at)} and the end of the calendar, the year 9999.",
                next="Begin earlier (run_at).",
            )
        return found[0]

    def first_from(self, begins: Micros | None, now: Micros) -> Micros:
        """The first occurrence after now and not before a moment, which may be one itself.

        Raises:
            ValidationFailed: there is none before the calendar ends.
        """
        return self.next_after(now if begins is None or begins <= now else begins - 1)

    def between(self, first: Micros, until: Micros, count_max: int) -> int:
        """How many occurrences there are from one on and before a moment, counted up to a number."""
        count, at = 0, first
        with contextlib.suppress(StopIteration, OverflowError, ValueError):
            times = _times(self.cron, self._local(first))
            while at < until and count < count_max:
                count, at = count + 1, micros(next(times))
        return count

    def firings(self, at: Micros, count: int) -> list[Micros]:
        """The next occurrences after a moment, in order: so many, or those that there are before the calendar ends."""
        found: list[Micros] = []
        with contextlib.suppress(StopIteration, OverflowError, ValueError):
            times = _times(self.cron, self._local(at))
            while len(found) < count:
                found.append(micros(next(times)))
        return found

    def latest_until(self, at: Micros) -> Micros:
        """The last occurrence at or before a moment."""
        times = _times(self.cron, self._local(at + 60 * SECOND), reverse=True)
        while (latest := micros(next(times))) > at:
            pass
        return latest

    def local(self, at: Micros) -> str:
        """A moment by the clocks of its zone, with their offset."""
        return self._local(at).isoformat(timespec="minutes")

    def said_of_days(self, first: Micros) -> str | None:
        """What may not be meant where days both of the month and of the week are named: cron fires on each of either.

        Args:
            first: when it fires next.
        """
        *before, day, month, weekday = self.cron.split()
        if day.startswith("*") or weekday.startswith("*"):
            return None
        times = ", ".join(self.local(at) for at in (first, *self.firings(first, 2)))
        nth = _WEEKS.get(day)
        how = "a day of the week within days of the month is said as its n-th of a month alone, such as MON#1"
        if nth is not None and weekday.isalnum() and not weekday.upper().endswith("L"):
            only = " ".join((*before, "*", month, f"{weekday}#{nth}"))
            how = f"cron={quoted(only)} is the {weekday} of these days alone"
        return f"cron fires on day {day} of the month and on {weekday} as well, on each of either: {times}; {how}"

    def said_of_times(self, first: Micros) -> list[str]:
        """All that may not be meant by its times, which fire from `first` on."""
        return list(filter(None, (self.said_of_days(first), self.said_of_clock_changes(first))))

    def said_of_clock_changes(self, first: Micros) -> str | None:
        """What it does where the clocks of its zone skip a time of its own, or show it twice, within a year; None where
        that concerns none. What fires in every hour goes on evenly.

        Args:
            first: when it fires next.
        """
        if self.timezone == "UTC" or self.cron.split()[1] == "*":
            return None
        said = map(self._at_change, changes_of(ZoneInfo(self.timezone), first, first + _YEAR))
        return "; ".join(filter(None, said)) or None

    def _at_change(self, change: ClockChange) -> str | None:
        """What becomes of its times that a change of the clocks concerns."""
        begins, ends = sorted((change.before, change.after))
        times = _times(self.cron, begins - timedelta(seconds=1))
        odd = list(takewhile(lambda at: at < ends, times))
        if not odd:
            return None
        shown = f"on {odd[0]:%Y-%m-%d} the clocks show {_several([f'{at:%H:%M}' for at in odd])}"
        if change.is_skip():
            after = self.firings(change.at - SECOND, 1)
            return f"{shown} not at all: it fires next at {_several(list(map(self.local, after)))}"
        since = change.at - change.span()
        fires = takewhile(lambda at: at < change.at + change.span(), self.firings(since - SECOND, 2 * len(odd)))
        return f"{shown} twice: it fires at {_several(list(map(self.local, fires)))}"

    def _local(self, at: Micros) -> datetime:
        return datetime.fromtimestamp(at // SECOND, ZoneInfo(self.timezone))


class ScheduleChanges(ScheduleSpec):
    """What is to be different about a schedule: what is said, and nothing else."""

    BARE: ClassVar[tuple[str, ...]] = ("cron",)

    cron: Annotated[str, BeforeValidator(_spelt_out), Field(min_length=1, max_length=200), AfterValidator(_fires)] = (
        "as it was"
    )
