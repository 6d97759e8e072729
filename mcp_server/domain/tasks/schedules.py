"""Schedules: at which moments a cron expression fires in its time zone.

The calendar arithmetic is cronsim's: five fields as in Debian's cron, daylight saving handled as it does. A fixed local
time that a clock change skips fires right after the gap; one that a clock change repeats fires once.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from mcp_server.domain.tasks.clock_changes import ClockChange, changes_of
from mcp_server.domain.tasks.otherwise import refuse_an_interval
from mcp_server.domain.tasks.zones import zone_named
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.meaning import Meant
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


_STEP = re.compile(r"/(\d{1,9})(?=,|$)")
_SIZES = {"minute": 60, "hour": 24, "day of the month": 31, "month": 12, "day of the week": 7}
"""How many values the fields of a cron expression have."""


def _require_steps_within(cron: str) -> None:
    """Refuse a step over the end of its field, which is none: `*/90` fires once an hour."""
    for part, (field, size) in zip(cron.split(), _SIZES.items(), strict=False):
        wide = [step for step in map(int, _STEP.findall(part)) if step > size]
        if wide:
            raise ValidationFailed(
                f"{quoted(cron)} does not fire as written: a step of {wide[0]} is over the {size} of its {field}.",
                next="A step counts within its field: */30 is every 30 minutes, '0 */2 * * *' every 2 hours; for 90 "
                "minutes give two schedules, '0 0-21/3 * * *' and '30 1-22/3 * * *'.",
            )


def _fires(cron: str, info: ValidationInfo) -> str:
    from cronsim import CronSimError

    if info.mode == "python":  # what is stored is read as JSON, and stays as it was taken
        _require_steps_within(cron)
    try:
        next(_times(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        if _is_of_no_day(cron):
            raise _never(cron) from None
        raise ValidationFailed(
            f"{quoted(cron)} is not a cron expression: {error}.",
            next="Give minute, hour, day of month, month, day of week, such as '0 9 * * mon-fri'.",
        ) from None
    except StopIteration:
        raise _never(cron) from None
    return cron


def _is_of_no_day(cron: str) -> bool:
    """Whether an expression is one but for its day, which its months do not have."""
    from cronsim import CronSimError

    minute, hour, day, _, weekday = cron.split() if len(cron.split()) == 5 else ["?"] * 5
    with contextlib.suppress(CronSimError, StopIteration):
        next(_times(f"{minute} {hour} {day} * {weekday}", datetime(2024, 1, 1, tzinfo=UTC)))
        return True
    return False


def _never(cron: str) -> ValidationFailed:
    return ValidationFailed(
        f"The cron expression {quoted(cron)} never fires: its months have no such day.",
        next="Name a day that comes.",
    )


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
        str, Field(min_length=1, max_length=64), AfterValidator(zone_named), Meant("an IANA time zone", "Europe/Berlin")
    ] = "UTC"
    catch_up: Annotated[Literal["skip", "once"], Meant(also={"true": "once", "false": "skip"})] = "skip"
    overlap: Annotated[Literal["skip", "allow"], Meant(also={"true": "allow", "false": "skip"})] = "skip"

    @model_validator(mode="before")
    @classmethod
    def _says_when(cls, given: Any) -> Any:
        refuse_an_interval(given)
        return given

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
