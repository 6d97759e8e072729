"""Members of objects by the names and in the places that they are meant for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from mcp_server.kernel.durations import is_duration
from mcp_server.kernel.near import folded, singular
from mcp_server.kernel.shapes import SECONDS, Shape
from mcp_server.kernel.synonyms import SAME

STRANGE_MAX = 100
"""So many names of nothing are looked at for what they mean: each is compared with all others."""
_NO_PLURALS = ("retries", "args")
"""Words that look like others of another number, and count, or are, something else."""
_FILES = ("path", "file", "resource", "key")
"""Names for what is named by a path where such is meant, as locks are."""


def renamed(names: Mapping[str, Shape], given: Mapping[str, Any], noun: str = "") -> dict[str, Any]:
    """The members by the names that they have here; those that mean nothing here keep theirs.

    Args:
        names: those that there are.
        given: the members.
        noun: what the place is about, such as `task`, so that `id` is its id.
    """
    if given.keys() <= names.keys() or are_too_strange(given, names):
        return dict(given)
    meant = {name: name if name in names else _meant(name, names, value, noun) for name, value in given.items()}
    times = list(meant.values())
    return {(new if times.count(new) == 1 else name): given[name] for name, new in meant.items()}


def are_too_strange(given: Mapping[str, Any], names: Mapping[str, Shape]) -> bool:
    """Whether so many members mean nothing here that none of them is looked at."""
    return len(given) > len(names) + STRANGE_MAX


def _meant(name: str, names: Mapping[str, Shape], value: Any, noun: str) -> str:
    plain = folded(name)
    there = [one for one in _names_for(plain, names, noun) if one in names]
    found = _fitting(there, names, value) or name
    lasting = f"{plain}{SECONDS}"
    return lasting if found == name and lasting in names and is_duration(value) else found


def _fitting(there: Sequence[str], names: Mapping[str, Shape], value: Any) -> str | None:
    """Of several names the one whose place takes such a value; digits are a number where one of them is."""
    is_number = isinstance(value, str) and value.isdecimal()
    numbers = [one for one in there if is_number and names[one].kind == "integer"]
    fits = [one for one in there if names[one].could_hold(value)]
    return next(iter([*numbers, *fits, *there]), None)


def _names_for(plain: str, names: Mapping[str, Shape], noun: str) -> Iterator[str]:
    """What a word may stand for: itself in another number, an id of it, what means the same."""
    if plain in _NO_PLURALS:
        yield from (plain, *SAME.get(plain, ()))
        return
    one = singular(plain)
    yield from (plain, one, f"{plain}s", f"{plain[:-1]}ies")
    for word in (plain, one):
        yield from (f"{word}_id", f"{word}_ids", *SAME.get(word, ()))
    yield from _by_what_it_names(one, names, (f"{noun}_id", f"{noun}_ids"))


def _by_what_it_names(word: str, names: Mapping[str, Shape], ids: Sequence[str]) -> Iterator[str]:
    """Where a file, an id or a name belongs."""
    if word in _FILES:
        yield from (name for name in names if "a path or " in names[name].meant.words)
    if word == "id":
        yield from ids
    if word == "name":
        yield from (id_ for id_ in ids if id_ in names and "name" in names[id_].meant.words)


def spread(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members with those of an object that is none here beside them, where all of its own are known and nobody else
    says them: `filter={"status": ...}`."""
    for name in [one for one in given if one not in shape.members]:
        inner = _opened(shape, given[name])
        if inner and inner.keys() <= shape.members.keys() - given.keys():
            given = without(given, {name}) | inner
    return given


def _opened(shape: Shape, value: Any) -> dict[str, Any]:
    return renamed(shape.members, cast("dict[str, Any]", value)) if isinstance(value, dict) else {}


def gathered(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members of the one object that a required list is to hold, where they stand beside it instead of in it."""
    strange = {name: value for name, value in given.items() if name not in shape.members}
    lists = [name for name in shape.required - given.keys() if shape.members[name].holds_objects]
    if not strange or len(lists) != 1:
        return given
    inside = cast("Shape", shape.members[lists[0]].item).members
    if not renamed(inside, strange).keys() <= inside.keys():
        return given
    return without(given, strange) | {lists[0]: [strange]}


def nested(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members of an inner object, or of the only one of a list, where they stand beside it instead of in it, and no
    other object has such."""
    moved: dict[str, dict[str, Any]] = {}
    for name in given.keys() - shape.members.keys():
        holders = [one for one, member in shape.members.items() if name in _inside(member) and one not in given]
        if len(holders) == 1:
            moved.setdefault(holders[0], {})[name] = given[name]
    return without(given, {name for inner in moved.values() for name in inner}) | moved


def _inside(member: Shape) -> Mapping[str, Shape]:
    return member.members if member.item is None else member.item.members


def without(given: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The members but for some."""
    return {name: value for name, value in given.items() if name not in names}
