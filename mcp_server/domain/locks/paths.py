"""Names of locks as paths: one spelling for each, and whether two names, which may be globs, can mean the same path.

A glob is split at `/`. In a segment `*` stands for any characters, `?` for one, `[...]` for one of a set (`[!...]` for
none of it); a segment `**` stands for any number of segments, at the end for one at least: `src/**` is what lies in
`src`. Nothing is escaped, case counts, and a leading dot is a character like any other.
"""

from __future__ import annotations

from functools import cache, lru_cache
from unicodedata import normalize

TYPE_CHECKING = False  # `typing` takes longer to load than a hook to read the locks
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal

    Ranges = tuple[tuple[int, int], ...]
    Star = Literal["*"]
    Token = Ranges | Star
    """Any characters; or one character out of ranges of code points, which are in order and apart."""

    Segment = tuple[Token, ...] | Literal["**"]

LAST = 0x10FFFF
_SLASH = ord("/")
_ANY = ((0, _SLASH - 1), (_SLASH + 1, LAST))


def normalised(name: str) -> str:
    """A name as it is kept: without `.` segments, doubled slashes and a slash at the end, with slashes where Windows
    has backslashes, and without a segment before `..` where that is plain. Case is kept.

    A letter with its accent is spelled as one character (NFC): some file systems take both spellings for one file.
    """
    name = normalize("NFC", name).replace("\\", "/")
    root = "/" if name.startswith("/") else ""
    parts: list[str] = []
    for part in filter(_leads_on, name.split("/")):
        if part == ".." and _is_plain(parts[-1:]):
            parts.pop()
        else:
            parts.append(part)
    return root + "/".join(parts) or "."


def _leads_on(part: str) -> bool:
    return part not in ("", ".")


def _is_plain(before: list[str]) -> bool:
    """Whether there is a segment before of which it can be told what `..` behind it leads back from."""
    return bool(before) and before != [".."] and not is_glob(before[0])


def why_not_told(name: str) -> str | None:
    """Why it cannot be told what a name means, which is as it is kept; None where it can."""
    if ".." in name.split("/"):
        return "`..` leads out of what is named before it, so that other names would mean the same"
    opened = name.find("{")
    is_several = 0 <= opened < name.find(",", opened) < name.find("}", opened)
    return "braces stand for nothing in globs, so that nobody would be kept from what they name" if is_several else None


def why_several(name: str) -> str | None:
    """Why one name is several; None where it is one. What has blanks within is a phrase that may have a comma."""
    parts = [part.strip() for part in name.strip("[]").split(",")]
    is_list = len(parts) > 1 and all(part and " " not in part for part in parts)
    is_several = is_list and (", " in name or all(map(_is_a_file, parts)))
    return f"those are {len(parts)} names, and as one it would keep nobody from any of them" if is_several else None


def _is_a_file(part: str) -> bool:
    return "/" in part or '"' in part or is_glob(part)


def is_glob(name: str) -> bool:
    """Whether a name stands for several paths."""
    return any(character in name for character in "*?[")


def beginning(name: str) -> str:
    """What every path begins with that a name means: all of it, or of a glob what stands before its first wildcard."""
    return name[: min((place for mark in "*?[" if (place := name.find(mark)) >= 0), default=len(name))]


def _end(name: str) -> str:
    """What the last segment of every path ends with that a name means."""
    last = name[name.rfind("/") + 1 :]
    return last[max(map(last.rfind, "*?]")) + 1 :]


def may_meet(one: str, other: str) -> bool:
    """Whether some path is meant by both names, each of which may be a glob. A name always meets itself.

    The time it takes grows with the product of how many parts of each differ, and else with the sum of the lengths.
    """
    if one == other:
        return True
    if not is_glob(one) and not is_glob(other):
        return False
    # Nearly all names differ where both are plain: that is seen in a hundredth of the time.
    return _fit(one, other) and _meet(segments_of(one), segments_of(other), "**", _segments_meet)


def _fit(one: str, other: str) -> bool:
    """Whether what all paths of one begin and end with is the other's, too, as far as that goes."""
    first, second = beginning(one), beginning(other)
    last, other_last = _end(one), _end(other)
    return _alike(first, second, str.startswith) and _alike(last, other_last, str.endswith)


def _alike(one: str, other: str, has: Callable[[str, str], bool]) -> bool:
    return has(one, other) or has(other, one)


def _segments_meet(one: Segment, other: Segment) -> bool:
    if not one or not other:  # the root, which no wildcard stands for
        return one == other
    return _meet(one, other, "*", _overlap)


def _overlap(one: Ranges, other: Ranges) -> bool:
    return any(low <= last and first <= high for low, high in one for first, last in other)


def _meet(one: Any, other: Any, star: str, both: Callable[[Any, Any], bool]) -> bool:
    """Whether two sequences have something in common that both mean, where `star` stands for any number of members.

    The places in `other` that can be reached while `one` is gone through are the bits of a number.
    """
    places: dict[Any, int] = {}
    for place, member in enumerate(other):
        places[member] = places.get(member, 0) | 1 << place
    stars, end = places.pop(star, 0), 1 << len(other)

    @cache
    def alike(member: Any) -> int:
        return sum(bits for there, bits in places.items() if both(member, there))

    reached = _past(stars, 1)
    for member in one:
        if member == star:  # takes in all that follows, or nothing
            reached = 2 * end - (reached & -reached)
        else:
            reached = _past(stars, reached & stars | (reached & alike(member)) << 1)
        if not reached:
            return False
    return bool(reached & end)


def _past(stars: int, reached: int) -> int:
    """Beside the places reached those behind stars that stand there, each of which may be nothing."""
    while beyond := (reached & stars) << 1 & ~reached:
        reached |= beyond
    return reached


@lru_cache(maxsize=4096)
def segments_of(name: str) -> tuple[Segment, ...]:
    """A name as what its segments mean."""
    segments: list[Segment] = ["**" if part == "**" else tuple(_tokens(part)) for part in name.split("/")]
    if segments[-1] == "**":
        segments.append(("*",))
    return tuple(segments)


def _tokens(segment: str) -> Iterator[Token]:
    place = 0
    while place < len(segment):
        character = segment[place]
        end = _end_of_set(segment, place) if character == "[" else None
        if end is not None:
            yield _set(segment[place + 1 : end])
            place = end + 1
            continue
        yield "*" if character == "*" else _ANY if character == "?" else ((ord(character), ord(character)),)
        place += 1


def _end_of_set(segment: str, start: int) -> int | None:
    """Where the set that begins at `start` ends; None where nothing ends it, and the bracket is a character. One that
    stands first in a set ends nothing."""
    first = start + 1
    if segment[first : first + 1] in ("!", "^"):
        first += 1
    end = segment.find("]", first + 1)
    return None if end < 0 else end


def _set(inside: str) -> Ranges:
    none_of = inside[0] in "!^"
    members = sorted(_members(inside[1:] if none_of else inside))
    return _without(_ANY, members) if none_of else tuple(_cut(members))


def _members(inside: str) -> Iterator[tuple[int, int]]:
    place = 0
    while place < len(inside):
        low = high = ord(inside[place])
        if inside[place + 1 : place + 2] == "-" and place + 2 < len(inside):
            high = ord(inside[place + 2])
            place += 2
        place += 1
        if low <= high:
            yield low, high


def _cut(members: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges without the slash, which is in no segment."""
    for low, high in members:
        if low < _SLASH <= high:
            yield low, _SLASH - 1
        if low <= _SLASH < high:
            yield _SLASH + 1, high
        elif low > _SLASH or high < _SLASH:
            yield low, high


def _without(ranges: Ranges, members: list[tuple[int, int]]) -> Ranges:
    left: list[tuple[int, int]] = []
    for first, last in ranges:
        for low, high in members:
            if high < first or low > last:
                continue
            if first < low:
                left.append((first, low - 1))
            first = high + 1
        if first <= last:
            left.append((first, last))
    return tuple(left)
