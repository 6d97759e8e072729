"""Operators that merge patches have in other stores, `$set` and `$inc`: RFC 7386 takes each for a member's name. Such a
patch is refused, with the one that does what was meant where that is known."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from mcp_server.kernel.json_pointers import pointer_to
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.quoting import named

Way = Literal["set", "take", "add", "put", "other"]
_OPERATORS: Mapping[str, Way] = {
    **dict.fromkeys(("$set", "$replace", "$setOnInsert"), "set"),
    **dict.fromkeys(("$unset", "$delete", "$remove"), "take"),
    **dict.fromkeys(("$inc", "$increment", "$incr"), "add"),
    **dict.fromkeys(("$push", "$append"), "put"),
    **dict.fromkeys(
        ("$addToSet", "$currentDate", "$dec", "$decrement", "$max", "$merge", "$min", "$mul", "$pop", "$pull"), "other"
    ),
    **dict.fromkeys(("$pullAll", "$rename"), "other"),
}
_ITEM = re.compile(r"\[(\d{1,9})\]")


_MERGES: tuple[Way, Way] = ("set", "take")


class Step(NamedTuple):
    """One change that is meant: what is done, where, and with what."""

    way: Way
    path: tuple[str, ...]
    value: Any = None


def of_operators(patch: Any) -> dict[str, Any] | None:
    """The arguments that do what a patch with operators of another dialect means; none of them where that is not known,
    and None where it has no operator."""
    if next(_operators(patch), None) is None:
        return None
    steps = list(_steps(patch, ()))
    if any(step.way == "other" for step in steps):
        return {}
    if all(step.way in _MERGES for step in steps):
        return as_merge_patch(steps)
    # Whether there is a parent for what is set deep inside is not known here.
    if any(step.way == "set" and len(step.path) > 1 for step in steps):
        return {}
    return {"json_patch": [operation_of(step) for step in steps]}


def said_of_operators(patch: Mapping[str, Any]) -> str:
    """Why a patch with operators is refused, and what does instead of each."""
    name = next(_operators(patch))
    return (
        f"merge_patch has no operators: {named(name)} would be a member of that name. Members are given as they are to "
        'be, {"limits": {"max": 8}}, and null takes one away; json_patch counts, [{"op": "increment", "path": '
        '"/count", "value": 1}], and puts behind a list, [{"op": "add", "path": "/tags/-", "value": "z"}]'
    )


def _operators(patch: Any) -> Iterator[str]:
    if isinstance(patch, dict):
        for name, inner in cast("dict[str, Any]", patch).items():
            if name in _OPERATORS:
                yield name
            yield from _operators(inner)


def is_all_operators(value: Any) -> bool:
    """Whether a value is an update of another dialect and nothing else."""
    said: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return bool(said) and said.keys() <= _OPERATORS.keys()


def _steps(patch: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[Step]:
    """What a patch means, as far as its members go."""
    for name, value in patch.items():
        if name in _OPERATORS:
            yield from _operated(_OPERATORS[name], value, above)
        elif isinstance(value, dict) and value:
            yield from _steps(cast("dict[str, Any]", value), (*above, name))
        else:
            yield Step("take" if value is None else "set", (*above, name), value)


def _operated(way: Way, value: Any, above: tuple[str, ...]) -> Iterator[Step]:
    """`{"$inc": {"count": 1}}` names the members that it changes; `{"count": {"$inc": 1}}` stands in the member."""
    if above or way == "other":
        yield from _each(way, above, value)
        return
    if isinstance(value, dict):
        for name, one in cast("dict[str, Any]", value).items():
            yield from _each(way, tuple(parts_of(name)), one)
    elif way == "take":
        names = cast("list[Any]", value) if isinstance(value, list) else [value]
        yield from (Step("take", tuple(parts_of(str(one)))) for one in names)
    else:
        yield Step("other", ())


def _each(way: Way, path: tuple[str, ...], value: Any) -> Iterator[Step]:
    several: Any = cast("dict[str, Any]", value).get("$each") if isinstance(value, dict) else None
    if way == "put" and isinstance(several, list):
        yield from (Step("put", path, one) for one in cast("list[Any]", several))
    else:
        yield Step("other" if way == "add" and not is_number(value) else way, path, value)


def as_merge_patch(steps: Sequence[Step]) -> dict[str, Any]:
    """The steps as one merge patch; nothing where they meet."""
    patch: dict[str, Any] = {}
    for *above, last in (step.path for step in steps):
        held = _made(patch, above)
        if held is None or last in held:
            return {}
        held[last] = ...
    for step in steps:
        held = _made(patch, step.path[:-1])
        assert held is not None, "made above"
        held[step.path[-1]] = None if step.way == "take" else step.value
    return {"merge_patch": patch}


def _made(patch: dict[str, Any], above: Sequence[str]) -> dict[str, Any] | None:
    """The object at a place of a patch, made where there is none."""
    for name in above:
        inner = patch.setdefault(name, {})
        if not isinstance(inner, dict):
            return None
        patch = cast("dict[str, Any]", inner)
    return patch


def operation_of(step: Step) -> dict[str, Any]:
    """A step as an operation of a JSON patch."""
    pointer = pointer_to(step.path)
    if step.way == "take":
        return {"op": "remove", "path": pointer}
    if step.way == "put":
        return {"op": "add", "path": f"{pointer}/-", "value": step.value}
    return {"op": "increment" if step.way == "add" else "add", "path": pointer, "value": step.value}


def parts_of(name: str) -> list[str]:
    """The members that a path in one name goes through: `limits.max`, `tags[0]`, `/limits/max`."""
    if name.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in name.split("/")[1:]]
    return _ITEM.sub(r".\1", name).split(".")
