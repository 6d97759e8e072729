"""What is unambiguous is taken, wherever it stands in the arguments of whichever tool.

Null, or a list of nothing, for what may be left out; one value for a list, and a list of one for a value; JSON sent as
text where an object or a list is meant; a bare value for the member that it can only mean; whole numbers where text is
meant; a duration with its unit, or the time at which it ends; `now`, a day and `2 hours ago` for a time; a choice in
another spelling; a name in another spelling, or of another number. Never inside of what takes any JSON.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from mcp_server.kernel.lasting import as_lasting, in_seconds
from mcp_server.kernel.moments import moment_of
from mcp_server.kernel.near import folded
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.pairing import by_name, only, pairs
from mcp_server.kernel.renaming import are_too_strange, gathered, nested, renamed, spread
from mcp_server.kernel.shapes import Shape

JSON_CHARACTERS_MAX = 1 << 20
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%\s*")
_AROUND = " \t\n\"'`"
_BEGINS_JSON = ("{", "[")
_LEFT_OUT: Any = object()


def taken(shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they are meant. What cannot be understood stays as it is."""
    return _members(shape, gathered(shape, given))


def _members(shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    if are_too_strange(given, shape.members):
        return dict(given)
    named = renamed(shape.members, in_seconds(shape, given))
    known = nested(shape, spread(shape, _several(shape.members, named)))
    fitted = {
        name: value if name not in shape.members else _member(shape, name, value) for name, value in known.items()
    }
    return {name: value for name, value in fitted.items() if value is not _LEFT_OUT}


def _several(names: Mapping[str, Shape], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members with several values under the name for several, where there is one beside that for one."""

    def meant(name: str, value: Any) -> str:
        several = f"{name}s"
        is_one = name in names and names[name].kind == "text" and isinstance(value, list)
        return (
            several if is_one and len(cast("list[Any]", value)) > 1 and several in names.keys() - given.keys() else name
        )

    return {meant(name, value): value for name, value in given.items()}


def _member(shape: Shape, name: str, value: Any) -> Any:
    member = shape.members[name]
    if name not in shape.required and _says_nothing(member, value):
        return _LEFT_OUT
    lasting = as_lasting(member, name, value)
    if lasting is not None:
        return lasting
    return _time(name, value) if member.kind == "time" else _value(member, value)


def _says_nothing(shape: Shape, value: Any) -> bool:
    """Null, where that does not say something; and a list of nothing where there is none, or never an empty one."""
    if value == [] and isinstance(value, list):
        return shape.kind not in ("any", "map", "either") and (shape.kind != "list" or bool(shape.bounds[0]))
    return value is None and not shape.nullable and shape.kind != "any"


def _value(shape: Shape, value: Any) -> Any:
    take = _TAKEN_BY_KIND.get(shape.kind)
    return value if value is None or take is None else take(shape, value)


def _list(shape: Shape, value: Any) -> Any:
    item = cast("Shape", shape.item)
    value = by_name(item, _read(value, *("[{" if item.kind in ("object", "map") else "[")))
    if item.meant.words_of is not None and isinstance(value, str):
        return item.meant.words_of(value)
    listed = cast("list[Any]", value) if isinstance(value, list) else _split(_one_of(item), value)
    return listed if _is_over(shape, listed) else [_value(item, one) for one in listed]


def _is_over(shape: Shape, listed: list[Any]) -> bool:
    """Whether a list is refused by its length, whatever is in it."""
    return shape.bounds[1] is not None and len(listed) > shape.bounds[1]


def _one_of(item: Shape) -> str | None:
    """What one of several that stand in one text looks like."""
    bare = item.members[item.bare[0]].pattern if item.bare else None
    return item.meant.parts or item.pattern or bare


def _split(pattern: str | None, value: Any) -> list[Any]:
    """One value as a list; several that are divided by commas where none of them may hold one."""
    if isinstance(value, str) and pattern is not None and not re.search(pattern, value):
        parts = [part.strip() for part in re.split("[,;]", value)]
        if all(re.search(pattern, part) for part in parts):
            return list(parts)
    return [value]


def _map(shape: Shape, value: Any) -> Any:
    value = _read(value, "{")
    if isinstance(value, list):
        value = pairs(cast("list[Any]", value))
    if not isinstance(value, dict):
        return value
    return {name: _value(cast("Shape", shape.item), one) for name, one in cast("dict[str, Any]", value).items()}


def _object(shape: Shape, value: Any) -> Any:
    value = only(_read(value, "{"))
    if isinstance(value, dict):
        return _members(shape, cast("dict[str, Any]", value))
    if isinstance(value, str) and value.lstrip().startswith(_BEGINS_JSON):
        return value  # it was to be JSON, and is none
    name = next((name for name in shape.bare if _stands_for(shape.members[name], value)), None)
    name = _named_amiss(shape, value) if name is None else name
    return value if name is None else _members(shape, {name: value})


def _named_amiss(shape: Shape, value: Any) -> str | None:
    """The member for which a text stands that does not fit its pattern: so a refusal says what is wrong with it."""
    is_text = isinstance(value, str) and value != ""
    return next((name for name in shape.bare if is_text and shape.members[name].pattern is not None), None)


def _stands_for(shape: Shape, value: Any) -> bool:
    if isinstance(value, str):
        return _is_text_for(shape, value) or _percent_of(shape, value) is not None
    return shape.kind in ("integer", "number") and is_number(value) and as_percent(shape, value) is None


def as_percent(shape: Shape, value: Any) -> float | None:
    """What a fraction would be in per cent, in a place of those: half a per cent is hardly meant by 0.5."""
    is_fraction = isinstance(value, float) and 0 < value < 1
    return round(value * 100, 4) if is_fraction and shape.kind == "number" and shape.bounds[1] == 100 else None


def _is_text_for(shape: Shape, text: str) -> bool:
    return shape.kind == "text" and text != "" and (shape.pattern is None or bool(re.search(shape.pattern, text)))


def _percent_of(shape: Shape, text: str) -> float | None:
    """The number that `50%` is, where it may be up to 100."""
    found = _PERCENT.fullmatch(text) if shape.kind == "number" and shape.bounds[1] == 100 else None
    return None if found is None else float(found[1])


def _choice(shape: Shape, value: Any) -> Any:
    value = only(value)
    if isinstance(value, bool):
        return shape.meant.also.get(str(value).lower(), value)
    if not isinstance(value, str):
        return value
    plain = folded(value.strip(_AROUND))
    found = [one for one in shape.choices() if folded(str(one)) == plain]
    return found[0] if len(found) == 1 else shape.meant.also.get(plain, value)


def _text(shape: Shape, value: Any) -> Any:
    value = _id_in(shape, only(value))
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return f"#{value}" if str(shape.meant.example).startswith("#") else str(value)


def _id_in(shape: Shape, value: Any) -> Any:
    """The id that an object holds and nothing else, where one is meant: `{"task_id": "task_..."}`."""
    held: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    is_id = len(held) == 1 and folded(next(iter(held))).endswith("id") and " id" in shape.meant.words
    inner: Any = next(iter(held.values())) if is_id else None
    return inner if isinstance(inner, str) else cast("Any", value)


def _time(name: str, value: Any) -> Any:
    value = only(value)
    return (moment_of(value, name) or value) if isinstance(value, str) else value


def _plain(shape: Shape, value: Any) -> Any:
    del shape
    return only(value)


def _number(shape: Shape, value: Any) -> Any:
    value = only(value)
    percent = _percent_of(shape, value) if isinstance(value, str) else None
    return value if percent is None else percent


def _read(value: Any, *begins: str) -> Any:
    """The JSON that stands in text, where it is of the kind that is meant."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(begins) or len(text) > JSON_CHARACTERS_MAX:
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return value


_TAKEN_BY_KIND: dict[str, Callable[[Shape, Any], Any]] = {
    "list": _list,
    "map": _map,
    "object": _object,
    "choice": _choice,
    "either": _choice,
    "text": _text,
    "integer": _number,
    "number": _number,
    "boolean": _plain,
}
"""How a value is taken where one of a kind is meant. Any JSON stays what it is."""
