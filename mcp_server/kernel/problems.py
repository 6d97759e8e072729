"""What is wrong with arguments that cannot be understood: where, what, and what was perhaps meant. The words are for
whoever sent JSON; what checks them has no part in it."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from pydantic import ValidationError

from mcp_server.kernel.amiss_times import amiss
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.likely import is_change, likely
from mcp_server.kernel.likenesses import ALIKE, ELSEWHERE, SAFETIES, WORDS
from mcp_server.kernel.moments import present_time
from mcp_server.kernel.near import folded, near
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.shapes import SECONDS, Shape
from mcp_server.kernel.synonyms import SAME
from mcp_server.kernel.taking import as_percent
from mcp_server.kernel.together import CHANGE, SURE, UNCLEAR
from mcp_server.kernel.wording import UNSAID, accepted, example_of

WHOLE = "arguments"
NO_SUCH = "there is no such argument"
EXAMPLE_CHARACTERS_MAX = 160
EXAMINED_MAX = 100
"""So many faults are looked at for what was meant: each takes as long as a small call, and all others wait."""
FAULTS_MAX = 20_000
"""Of more, each is only counted: to be told where they are takes pydantic a second for 100,000."""
MEMBERS_TOLD_MAX = 5000
"""Of an object that has so many more members than there are names, their number is told alone."""
ECHOED_CHARACTERS_MAX = 60
_OURS = "value_error"
_UNKNOWN = "extra_forbidden"
_SPEAKER = "as_agent"
_READS = "reads need no as_agent; leave it out"
"""Every write takes it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        loc: where.
        message: what.
        kind: a name that there is not, something that is missing, or a value that is not accepted.
        near: names, or values, that could have been meant.
        inside: the argument into which a name belongs that stands beside it.
        is_too_much: whether a number is over the most that is accepted.
        is_empty: whether it is an empty text where something may be left out.
        is_whole: whether it is how the members of an object go together, each of which is accepted.
        change: of such, what to leave out (None) or to add.
        is_meant: whether that is known to be what was meant.
        is_unclear: whether no example may stand in its place.
    """

    loc: tuple[str | int, ...]
    message: str
    kind: Literal["unknown", "missing", "wrong"] = "wrong"
    near: tuple[Any, ...] = ()
    inside: str | None = None
    is_too_much: bool = False
    is_empty: bool = False
    is_whole: bool = False
    change: Mapping[str, Any] | None = None
    is_meant: bool = False
    is_unclear: bool = False

    @property
    def path(self) -> str:
        """`tasks[0].title`."""
        return path_of(self.loc) or WHOLE

    def said(self) -> str:
        """As a sentence."""
        return sentence(f"{self.path}: {self.message}")

    def details(self) -> dict[str, Any]:
        """As data."""
        said = {"path": self.path, "message": self.message}
        return said | ({"did_you_mean": list(self.near)} if self.near else {})


def sentence(text: str) -> str:
    """The text with what ends a sentence."""
    return text if text.endswith((".", "?", "!", '."')) else f"{text}."


def _found(error: ValidationError) -> list[Any]:
    return cast("list[Any]", error.errors(include_url=False, include_input=False))


def problems_of(shape: Shape, given: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    """What a check of arguments found.

    Args:
        shape: what is accepted.
        given: what was given, as it was checked.
        error: what the check found.
    """
    if error.error_count() > FAULTS_MAX:
        return [Problem((), f"{error.error_count():,} names and values in it are not accepted; send a smaller call")]
    found = _found(error)
    # Only the members that are right are counted, so a list of one wrong member also has too few.
    inside = {item["loc"][:length] for item in found for length in range(1, len(item["loc"]))}
    kept = [item for item in found if item["type"] != "too_short" or item["loc"] not in inside]
    problems: dict[tuple[str | int, ...], Problem] = {}
    for item in sorted(kept, key=lambda item: item["type"] != _UNKNOWN):
        if len(problems) >= EXAMINED_MAX:
            problems.setdefault(item["loc"], Problem(item["loc"], "is not accepted"))
            continue
        problem = _problem(shape, given, item)
        if not _is_told(problem, item["type"], problems.values()):
            problems.setdefault(problem.loc, problem)
    return list(problems.values())


def crowds(shape: Shape, value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    """Lists and objects with more in them than is taken. What they hold is not looked at: there may be any number of
    it."""
    crowd = _crowd(shape, value, loc)
    if crowd is not None:
        yield crowd
        return
    for part, member, inner in _inside(shape, value):
        if isinstance(inner, (dict, list)):
            yield from crowds(member, cast("Any", inner), (*loc, part))


def _crowd(shape: Shape, value: Any, loc: tuple[str | int, ...]) -> Problem | None:
    """That a list, or an object, holds more than is taken there."""
    if isinstance(value, list) and _is_crowd(shape, cast("list[Any]", value)):
        return _wrong(loc, shape, cast("Any", value), str(loc[-1]) if loc else "", Shape("any"))
    if isinstance(value, dict) and (count := len(cast("dict[str, Any]", value))) > members_max(shape):
        most = members_max(shape)
        return Problem(loc, f"{count:,} names and values in it are not accepted; it takes at most {most:g}")
    return None


def members_max(shape: Shape) -> float:
    """How many members an object may have before it is refused by their number: of one with names of its own, or in
    place of a list, those that mean nothing are told a while longer."""
    if shape.kind in ("object", "list"):
        return len(shape.members) + MEMBERS_TOLD_MAX
    return math.inf if shape.kind != "map" else shape.bounds[1] or math.inf


def _is_crowd(shape: Shape, listed: Sequence[Any]) -> bool:
    """Whether a list holds more than is taken there."""
    most = shape.bounds[1]
    return shape.kind == "list" and most is not None and len(listed) > most


def _inside(shape: Shape, value: Any) -> Iterator[tuple[str | int, Shape, Any]]:
    """What a value holds of which it is known what is accepted there."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        yield from ((name, shape.members[name], inner) for name, inner in members.items() if name in shape.members)
    elif isinstance(value, list) and shape.item is not None:
        yield from ((number, shape.item, one) for number, one in enumerate(cast("list[Any]", value)))


def _is_told(problem: Problem, kind: str, before: Iterable[Problem]) -> bool:
    """Whether what is missing there was named already, as what a strange name may mean."""
    place = problem.loc[:-1]
    return kind == "missing" and any(one.loc[:-1] == place and str(problem.loc[-1]) in one.near for one in before)


_KEY = "[key]"
"""How pydantic marks that it is a member's name that is wrong, not what it holds."""


def _problem(shape: Shape, given: Mapping[str, Any], item: Any) -> Problem:
    loc = _told(shape, item["loc"])
    kind, name = item["type"], str(loc[-1]) if loc else ""
    if kind == _UNKNOWN:
        return _unknown(loc, name, place_of(shape, loc[:-1]), value_at(given, loc[:-1]))
    if kind == _OURS:
        return _of_ours(loc, item, value_at(given, loc))
    if item["loc"][-1:] == (_KEY,):
        around = place_of(shape, loc[:-1])
        return Problem(
            loc, f"{quoted(name, 60)} is not accepted as a name: it takes {_takes(around.key or around, '')}"
        )
    place = place_of(shape, loc)
    if kind == "missing":
        return Problem(loc, f"is missing: {_takes(place, name)}", "missing")
    if kind == "string_too_long":
        return Problem(
            loc, f"{len(value_at(given, loc))} characters are too many; it takes at most {place.bounds[1]:g}"
        )
    wrong = _wrong(loc, place, value_at(given, loc), name, place_of(shape, loc[:-1]))
    return replace(wrong, is_too_much=kind == "less_than_equal")


def _of_ours(loc: tuple[str | int, ...], item: Any, value: Any) -> Problem:
    """What a check of this house found, with what it knows of what was meant."""
    said = item["msg"].removeprefix("Value error, ").rstrip(".")
    details = getattr(item["ctx"]["error"], "details", {})
    told = Problem(loc, said, is_whole=isinstance(value, dict), change=details.get(CHANGE) or None)
    return replace(told, is_meant=SURE in details, is_unclear=UNCLEAR in details)


def _unknown(loc: tuple[str | int, ...], name: str, place: Shape, held: Any) -> Problem:
    """A name that there is not; what is said there already was not meant by it."""
    inner = _holder(place, folded(name))
    names = [] if inner else [one for one in _like(name, place) if one not in held]
    instead = _READS if loc == (_SPEAKER,) else _instead(folded(name), place)
    if instead is not None:
        return Problem(loc, f"{NO_SUCH}; {instead}", "unknown")
    if not names:
        belongs = f" here; it belongs into {inner}" if inner else ""
        return Problem(loc, f"{NO_SUCH}{belongs}", "unknown", inside=inner)
    takes = f" It takes {_takes(place.members[names[0]], names[0])}" if len(names) == 1 else ""
    said = f"{NO_SUCH}. Did you mean {' or '.join(names)}?{takes}"
    return Problem(loc, said, "unknown", tuple(names))


def _holder(place: Shape, plain: str) -> str | None:
    """The argument into which a name belongs that stands beside it."""
    return next((one for one, member in place.members.items() if plain in (member.item or member).members), None)


def _instead(plain: str, place: Shape) -> str | None:
    return place.instead.get(plain) or (None if _same(plain, place) else ELSEWHERE.get(plain))


def _same(plain: str, place: Shape) -> list[str]:
    return [one for one in (*SAME.get(plain, ()), *ALIKE.get(plain, ())) if one in place.members]


def _like(name: str, place: Shape) -> list[str]:
    """Names that could have been meant: those that mean the same, look alike, or hold the word."""
    plain = folded(name)
    same = _same(plain, place)
    if plain in SAFETIES:
        return same
    longer = [one for one in place.members if plain in one.split("_") or one in plain.split("_")]
    alike = [] if plain in WORDS or plain in ALIKE or plain in SAME else near(plain, place.members)
    return list(dict.fromkeys([*same, *alike, *longer]))[:3]


def _wrong(loc: tuple[str | int, ...], place: Shape, value: Any, name: str, around: Shape) -> Problem:
    if place.kind == "time":
        no = amiss(name, value)
        said = f"{_got(value)} is not accepted{no.why}; it takes {no.takes(name)}. It is {present_time()}."
        return Problem(loc, said, near=no.near)
    percent = next(filter(None, (as_percent(place.members[one], value) for one in place.bare)), None)
    if percent is not None:
        said = f"{_got(value)} is not accepted, which could be a fraction; {name} is in per cent: {percent:g}"
        return Problem(loc, said, near=(percent,))
    close = likely(place, value, name)
    several = f" {around.instead.get(f'{name}s', '')}".rstrip() if isinstance(value, list) else ""
    meant = f" Did you mean {' or '.join(map(str, close))}?" if close else ""
    said = f"{_got(value)} is not accepted; it takes {_takes(place, name)}.{meant}{_not_so(place, value)}{several}"
    is_empty = isinstance(value, str) and not value.strip() and name in around.members.keys() - around.required
    return Problem(loc, said, near=close, is_empty=is_empty)


_HOW_MANY = " A sign would say by how much it is to change; write the number that it is to be."


def _not_so(place: Shape, value: Any) -> str:
    """What does what a value says that is said otherwise."""
    if place.kind in ("integer", "number"):
        return _HOW_MANY if is_change(value) else ""
    instead = place.meant.instead.get(folded(value)) if isinstance(value, str) else None
    if isinstance(value, str) and not value.strip():
        return " Leave it out where none is meant."
    return "" if instead is None else f" {sentence(instead)}"


def _takes(place: Shape, name: str) -> str:
    words = accepted(place)
    if name.endswith(SECONDS):
        words = words.replace("a number", "seconds, a number", 1)
    if place.kind in ("choice", "boolean", "time", "any"):
        return words
    example = dump_json(example_of(place))
    return (
        words
        if len(example) > EXAMPLE_CHARACTERS_MAX or example == dump_json(UNSAID)
        else f"{words}, such as {example}"
    )


def _got(value: Any) -> str:
    """What was given, as JSON has it."""
    if isinstance(value, str):
        return (
            quoted(f"+{value[2:]}" if is_change(value) and value[0] == "+" else value, 60) if value else "an empty text"
        )
    if isinstance(value, list):
        return f"a list of {len(cast('list[Any]', value))}"
    if isinstance(value, dict):
        return "an object"
    return dump_json(value) if isinstance(value, (int, float, bool)) and value == value else "null"


def _told(shape: Shape, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where it is for whoever sent JSON: without the names of the checks that were tried there."""
    place: Shape | None = shape
    told: list[str | int] = []
    for part in loc:
        inside = None if place is None else place.inside(part)
        if inside is None and place is not None and place.kind not in ("object", "any"):
            continue  # one of several that were tried
        told.append(part)
        place = inside
    return tuple(told)


def place_of(shape: Shape, loc: Sequence[str | int]) -> Shape:
    """What is accepted there."""
    for part in loc:
        shape = shape.inside(part) or Shape("any")
    return shape


def value_at(given: Any, loc: Sequence[str | int]) -> Any:
    """What stands there."""
    for part in loc:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return None
    return given


def path_of(loc: Sequence[str | int]) -> str:
    """A place in words: `tasks[0].title`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{named(part)}" for part in loc)
    return "".join(parts).removeprefix(".")
