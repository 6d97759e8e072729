"""What a value that is not accepted may mean: a choice by another word, a number with its sign or unit, a length of
time in another unit. It is named in a refusal, and taken for nothing."""

import math
import re
from collections.abc import Callable, Mapping

from mcp_server.kernel.durations import durations_like, seconds_of
from mcp_server.kernel.likenesses import HINTS
from mcp_server.kernel.moments import seconds_until
from mcp_server.kernel.near import folded, near
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.shapes import SECONDS, Shape

_SLUG_FROM_MAX = 100
_BETWEEN = re.compile(r"[^A-Za-z0-9._/]+")
_CHANGE = re.compile(r"\s*([+-])\s?(\d{1,15}(?:\.\d{1,9})?)\s*", re.ASCII)
_AMOUNT = re.compile(
    r"\s*[$€£]?\s*(?P<number>\d{1,3}(?:[,_]\d{3})+(?:\.\d{1,9})?|\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[a-z%$€£]{0,9})\s*",
    re.IGNORECASE | re.ASCII,
)
_CURRENCIES = ("$", "€", "£", "usd", "dollar", "dollars")
_PER_MEBIBYTE = {
    **dict.fromkeys(("k", "kb", "ki", "kib"), 1 / 1024),
    **dict.fromkeys(("m", "mb", "mi", "mib"), 1),
    **dict.fromkeys(("g", "gb", "gi", "gib"), 1024),
    **dict.fromkeys(("t", "tb", "ti", "tib"), 1024 * 1024),
}
_THOUSANDS = {"k": 1000, "m": 1_000_000, "million": 1_000_000}


def likely(place: Shape, value: object, name: str) -> tuple[int | float | str, ...]:
    """Values that are accepted in a place and could be meant by one that is not, the likeliest first.

    Args:
        place: what is accepted.
        value: what was given.
        name: of the argument.
    """
    return _close(place, value) or _lasting(place, value, name) or _numbers(place, value, name)


def is_change(value: object) -> bool:
    """Whether a text says by how much something is to change: `+1`."""
    return isinstance(value, str) and _CHANGE.fullmatch(value) is not None


def _lasting(place: Shape, value: object, name: str) -> tuple[int | float | str, ...]:
    """How long a text may mean, or how long it is until a time, that stands where a duration does; of a number that is
    too much, as many milliseconds."""
    if not name.endswith(SECONDS):
        return ()
    most = place.bounds[1] or math.inf
    if is_number(value):
        return _fitting(place, (value / 1000,)) if value > most else ()
    return _until(value, most) if isinstance(value, str) else ()


def _until(value: str, most: float) -> tuple[int | float | str, ...]:
    seconds = seconds_until(value)
    if seconds is not None:
        return (seconds,) if seconds <= most else ()
    found = tuple(one for one in durations_like(value) if seconds_of(one) <= most)
    return tuple(map(_whole, map(seconds_of, found))) if len(found) == 1 else found


def _close(place: Shape, value: object) -> tuple[str, ...]:
    """The choices that a word could stand for; or the text itself as a name is written there."""
    if place.pattern is not None:
        return _slug(place.pattern, value) if isinstance(value, str) else ()
    return _chosen([str(one) for one in place.options if not isinstance(one, Shape)], value)


def _chosen(options: list[str], value: object) -> tuple[str, ...]:
    if not isinstance(value, (str, int)) or isinstance(value, bool) or not options:
        return ()
    word = folded(value) if isinstance(value, str) else f"p{value}"
    hints = [hint for hint in HINTS.get(word, ()) if hint in options]
    return tuple(hints or near(word, options))


def _slug(pattern: str, text: str) -> tuple[str, ...]:
    """The text with what stands between its words as the pattern has that, where one does: `Code review` is
    `code-review`. What is no ASCII would lose letters."""
    is_name = text.isascii() and len(text) <= _SLUG_FROM_MAX and not re.search("[;=]", text)
    words = _BETWEEN.sub(" ", text).split() if is_name else []
    slugs = ("-".join(words).lower(), "_".join(words))
    return next(((slug,) for slug in slugs if re.search(pattern, slug)), ())


def _numbers(place: Shape, value: object, name: str) -> tuple[int | float, ...]:
    """The number that a text says with a sign or a unit; of a share that is too much, as many per cent."""
    if place.kind not in ("integer", "number"):
        return ()
    if is_number(value):
        return (value / 100,) if place.bounds[1] == 1 and 1 < value <= 100 else ()
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return ()
    number, unit = float(re.sub("[,_]", "", found["number"])), found["unit"].lower()
    counts = (count for last, count in _UNITS.items() if name.rpartition("_")[2] == last)
    factor = next(counts, _plainly)(unit)
    return () if factor is None else _fitting(place, (number * factor,))


def _plainly(unit: str) -> float | None:
    return 1 if unit in ("", *_CURRENCIES) else _THOUSANDS.get(unit)


_UNITS: Mapping[str, Callable[[str], float | None]] = {
    "cpu": lambda unit: 0.001 if unit == "m" else None,
    "mb": _PER_MEBIBYTE.get,
    "at": lambda unit: 0.01 if unit == "%" else None,
}
"""What one of a unit comes to, where the last word of a name says of what."""


def _fitting(place: Shape, numbers: tuple[float, ...]) -> tuple[int | float, ...]:
    """Those of some numbers that are accepted in a place."""
    low, high = place.bounds
    within = (one for one in numbers if (low is None or one >= low) and (high is None or one <= high))
    return tuple(_whole(one) for one in within if place.kind != "integer" or one.is_integer())


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number
