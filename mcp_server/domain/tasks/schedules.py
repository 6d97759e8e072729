"""Schedules: at which moments a cron expression fires in its time zone.

The calendar arithmetic is cronsim's: five fields as in Debian's cron, daylight saving handled as it does. A fixed local
time that a clock change skips fires right after the gap; one that a clock change repeats fires once.
"""

import contextlib
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.times import SECOND, Micros, iso, micros
from mcp_server.kernel.values import Frozen

GRACE: Micros = 60 * SECOND
"""An occurrence that is noticed later than this counts as missed."""


class ScheduleSpec(Frozen):
    """When a task is created again and again.

    Attributes:
        cron: minute, hour, day of month, month, day of week.
        timezone: an IANA name.
        catch_up: what becomes of occurrences that no server was alive for: none of them, or one for all.
        overlap: whether an occurrence fires while the previous firing is unfinished.
    """

    cron: str = Field(min_length=1, max_length=200, examples=["0 9 * * mon-fri"])
    timezone: str = Field(default="UTC", min_length=1, max_length=64)
    catch_up: Literal["skip", "once"] = "skip"
    overlap: Literal["skip", "allow"] = "skip"

    @field_validator("timezone")
    @classmethod
    def _must_be_known(cls, name: str) -> str:
        return _zone(name)

    @model_validator(mode="after")
    def _must_fire(self) -> Self:
        try:
            next(CronSim(self.cron, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ValidationFailed(
                f"{self.cron!r} is not a cron expression: {error}.",
                next="Give minute, hour, day of month, month, day of week, such as '0 9 * * mon-fri'.",
            ) from None
        except StopIteration:
            raise ValidationFailed(
                f"The cron expression {self.cron!r} never fires.", next="Name a day that exists."
            ) from None
        return self

    def next_after(self, at: Micros) -> Micros:
        """The first occurrence after a moment.

        Raises:
            ValidationFailed: there is none before the calendar ends.
        """
        found = self.firings(at, 1)
        if not found:
            raise ValidationFailed(
                f"{self.cron!r} does not fire between {iso(at)} and the end of the calendar, the year 9999.",
                next="Begin earlier (run_at).",
            )
        return found[0]

    def firings(self, at: Micros, count: int) -> list[Micros]:
        """The next occurrences after a moment, in order: so many, or those that there are before the calendar ends."""
        found: list[Micros] = []
        with contextlib.suppress(StopIteration, OverflowError, ValueError):
            times = CronSim(self.cron, self._local(at))
            while len(found) < count:
                found.append(micros(next(times)))
        return found

    def latest_until(self, at: Micros) -> Micros:
        """The last occurrence at or before a moment."""
        times = CronSim(self.cron, self._local(at + 60 * SECOND), reverse=True)
        while (latest := micros(next(times))) > at:
            pass
        return latest

    def _local(self, at: Micros) -> datetime:
        return datetime.fromtimestamp(at // SECOND, ZoneInfo(self.timezone))


@cache
def _zones() -> dict[str, str]:
    """Every zone that is known here, by its name in small letters."""
    return {name.casefold(): name for name in available_timezones()}


@lru_cache(maxsize=256)
def _zone(name: str) -> str:
    """A zone as it is written: some file systems would find it in any spelling, and others would not."""
    if name == "UTC":
        return name  # most schedules are in it, and the list takes a while
    known = _zones().get(name.casefold())
    if known is not None:
        return known
    try:
        ZoneInfo(name)  # names of this host's own, such as posix/Europe/Berlin
    except (KeyError, ValueError, OSError):
        raise ValidationFailed(
            f"There is no time zone {name!r}.", next="Give an IANA name, such as Europe/Berlin or UTC."
        ) from None
    return name
