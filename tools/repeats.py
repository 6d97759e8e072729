"""What there is to say of calls that were made before: what they did then stands, and was not done again."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast

_MARKS = ("replayed", "repeated")


def say_repeats(results: Sequence[Mapping[str, Any]], argument: str) -> list[str]:
    """Which of several calls were repeats, in whole or in part.

    Args:
        results: what each answered.
        argument: where they stood.
    """
    where = [f"{argument}[{number}]" for number, result in enumerate(results) if _is_repeat(result)]
    said = "What is `replayed` or `repeated` was done before, and was not done again"
    return [f"{said}: {', '.join(where)}."] if where else []


def is_whole_repeat(result: Mapping[str, Any]) -> bool:
    """Whether all that a call answered was done before."""
    return any(_all_before(value) for value in (result, *result.values()))


def _all_before(value: Any) -> bool:
    # An empty list tells of nothing, and so of nothing that was done before.
    each = _listed(value)
    return bool(each) and all(isinstance(one, dict) and _is_before(cast("dict[str, Any]", one)) for one in each)


def _is_before(one: Mapping[str, Any]) -> bool:
    return any(one.get(mark) is True for mark in _MARKS)


def _is_repeat(result: Mapping[str, Any]) -> bool:
    return any(map(_is_before, (result, *_members(result))))


def _members(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The things that an answer tells of, one or several of a kind."""
    return [one for one in chain.from_iterable(map(_listed, result.values())) if isinstance(one, dict)]


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
