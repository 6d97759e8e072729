"""Numbers in the place of times. Of our age they count seconds, milliseconds or microseconds since 1970. A small one
was meant as something else, such as how long until then: read as a time it has passed long ago, and what should wait
would be done at once."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

_AGE_FROM_SECONDS = 978_307_200
"""The beginning of 2001."""
_AGE_UNTIL_SECONDS = 4_102_444_800
"""The beginning of 2100."""
_PER_SECOND = (1, 1000, 1_000_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number_in(value: Any) -> int | float | None:
    """The number that a value is, or holds as text; None where it is none."""
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        return None
    for read in (int, float):
        with suppress(ValueError):
            return read(value)
    return None


def time_counted(number: float) -> datetime | None:
    """The time that a number counts up to; None where that is not of our age."""
    per_second = next((one for one in _PER_SECOND if _of_our_age(number, one)), None)
    return None if per_second is None else _EPOCH + timedelta(microseconds=round(number * (1_000_000 // per_second)))


def _of_our_age(number: float, per_second: int) -> bool:
    return _AGE_FROM_SECONDS * per_second <= number < _AGE_UNTIL_SECONDS * per_second


def time_meant_by(number: float) -> datetime | None:
    """The time that a number is as seconds since 1970; None beyond the calendar."""
    with suppress(OverflowError, ValueError):
        return _EPOCH + timedelta(seconds=number)
    return None
