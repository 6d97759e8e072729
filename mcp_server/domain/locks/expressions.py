"""Globs as regular expressions: one glob is compared with thousands of names that are none, while everybody waits."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from mcp_server.domain.locks.paths import LAST, is_glob, may_meet, segments_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Pattern

    from mcp_server.domain.locks.paths import Ranges, Segment, Token

WORTHWHILE_FROM = 200
"""For so many names may_meet takes about as long as to make an expression."""

SET_MAX = 1_000


def meets(name: str) -> Callable[[str], bool]:
    """`may_meet` of a name, to be asked of many: from some hundreds on a glob is compared with what is none by one
    regular expression, in a twentieth of the time. For fewer that is not worth its making."""
    plain = count()

    def with_one(other: str) -> bool:
        pays = is_glob(name) and not is_glob(other) and next(plain) >= WORTHWHILE_FROM
        found = expression(name) if pays else None
        return may_meet(name, other) if found is None else found.fullmatch(f"{other}/") is not None

    return with_one


@lru_cache(maxsize=64)
def expression(glob: str) -> Pattern[str] | None:
    """What a glob means, as a regular expression for paths with a slash at the end. It looks no way twice: whatever
    stands between two wildcards is taken where it comes first, and nothing of that is ever given back. None where it
    has a set of so many characters that it would take long to make."""
    segments = segments_of(glob)
    if any(_size(one) > SET_MAX for segment in segments for one in segment if isinstance(one, tuple)):
        return None
    first, *more = _blocks(segments)
    *between, last = more or [[]]
    ahead = "(?:[^/]*/)*?"
    return re.compile(
        "".join(("".join(first), *(f"(?>{ahead}{''.join(one)})" for one in between), ahead if more else "", *last))
    )


def _blocks(segments: tuple[Segment, ...]) -> list[list[str]]:
    """The expressions of segments, parted where any number of others may stand."""
    blocks: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            blocks.append([])
        else:
            blocks[-1].append(f"(?>{_segment_expression(segment)}/)")
    return blocks


def _segment_expression(segment: tuple[Token, ...]) -> str:
    first, *others = _runs(segment)
    if not others:
        return first
    *between, last = others
    return f"(?=[^/]){first}{''.join(map('(?>[^/]*?{})'.format, between))}[^/]*{last}"


def _runs(segment: tuple[Token, ...]) -> list[str]:
    """What stands between the stars."""
    runs = [""]
    for member in segment:
        if member == "*":
            runs.append("")
        else:
            runs[-1] += _set_expression(member)
    return runs


def _set_expression(ranges: Ranges) -> str:
    is_most = _is_most(ranges)
    members = "".join(rf"\U{low:08x}-\U{high:08x}" for low, high in (_others(ranges) if is_most else ranges))
    return f"[{'^' if is_most else ''}{members}]" if members else "(?!)"


def _is_most(ranges: Ranges) -> bool:
    """Whether a set is said more shortly by what is not in it: `?` is all but the slash."""
    return bool(ranges) and ranges[-1][1] == LAST


def _others(ranges: Ranges) -> list[tuple[int, int]]:
    """What lies before and between ranges that reach to the end."""
    begins = [0, *(high + 1 for _, high in ranges[:-1])]
    return [(low, first - 1) for low, (first, _) in zip(begins, ranges, strict=True) if low < first]


def _size(ranges: Ranges) -> int:
    """How many characters its expression names: Python goes through each when it makes one."""
    return sum(high - low + 1 for low, high in (_others(ranges) if _is_most(ranges) else ranges))
