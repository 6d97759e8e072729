"""What is unambiguous is taken, wherever it stands in the arguments of whichever tool.

Null for what may be left out; one value for a list, and a list of one for a value; JSON sent as text where an object or
a list is meant; a bare value for the member that it can only mean; whole numbers where text is meant; a duration with
its unit; a choice in another spelling; a name in another spelling, or of another number. Never inside of what takes any
JSON.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from mcp_server.kernel.near import folded, singular
from mcp_server.kernel.shapes import SECONDS, Shape

JSON_CHARACTERS_MAX = 1 << 20
DURATION_CHARACTERS_MAX = 40
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNIT_WORDS = r"(s|m|h|d)(?:ec|ecs|econd|econds|in|ins|inute|inutes|r|rs|our|ours|ay|ays)?"
_DURATION = re.compile(rf"(?:\d+(?:\.\d+)?\s*{_UNIT_WORDS}\s*)+", re.IGNORECASE)
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*{_UNIT_WORDS}", re.IGNORECASE)
_OPENING = {"object": "{", "map": "{", "list": "["}
_LEFT_OUT: Any = object()

SAME = {
    "ack": ("acknowledge",),
    "agent_name": ("agent_id",),
    "assigned_to": ("agent_id",),
    "assignee": ("agent_id",),
    "blocked_by": ("depends_on",),
    "body": ("text",),
    "capabilities": ("required_capabilities",),
    "content": ("body", "text", "value"),
    "dependencies": ("depends_on",),
    "deps": ("depends_on",),
    "document": ("value",),
    "emails": ("to",),
    "event_type": ("type",),
    "lock": ("name",),
    "lock_name": ("name",),
    "max_results": ("limit",),
    "message": ("body", "text"),
    "name": ("title",),
    "page_size": ("limit",),
    "parent": ("parent_id",),
    "payload": ("input", "value"),
    "q": ("text",),
    "query": ("text",),
    "recipient": ("to",),
    "recipients": ("to",),
    "search": ("text",),
    "skills": ("required_capabilities", "capabilities"),
    "status": ("outcome",),
    "task": ("task_id", "task_ids"),
    "task_id": ("aggregate_id",),
    "token": ("lease_token", "fencing_token"),
}
"""Other names that mean exactly the same where the place takes one of these, and nothing of the name itself."""


def taken(shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they are meant. What cannot be understood stays as it is."""
    return _members(shape, _gathered(shape, given))


def renamed(names: Mapping[str, Shape], given: Mapping[str, Any], noun: str = "") -> dict[str, Any]:
    """The members by the names that they have here; those that mean nothing here keep theirs.

    Args:
        names: those that there are.
        given: the members.
        noun: what the place is about, such as `task`, so that `id` is its id.
    """
    if given.keys() <= names.keys():
        return dict(given)
    meant = {name: name if name in names else _meant(name, names, value, noun) for name, value in given.items()}
    times = list(meant.values())
    return {(new if times.count(new) == 1 else name): given[name] for name, new in meant.items()}


def _meant(name: str, names: Mapping[str, Shape], value: Any, noun: str) -> str:
    plain = folded(name)
    one = singular(plain)
    spellings = (
        plain,
        one,
        f"{plain}s",
        f"{plain[:-1]}ies",
        *(f"{base}_id{s}" for base in (plain, one) for s in ("", "s")),
    )
    others = (other for spelling in (plain, one) for other in SAME.get(spelling, ()))
    found = next((one for one in (*spellings, *others, *_of_noun(one, names, noun)) if one in names), None)
    if found is None and f"{plain}{SECONDS}" in names and isinstance(value, str) and _is_duration(value):
        return f"{plain}{SECONDS}"
    return found or name


def _of_noun(plain: str, names: Mapping[str, Shape], noun: str) -> tuple[str, ...]:
    """`id` for what the place is about; `name`, too, where its name stands for its id."""
    ids = (f"{noun}_id", f"{noun}_ids")
    if plain == "name":
        return tuple(one for one in ids if one in names and "name" in names[one].meant.words)
    return ids if plain == "id" else ()


def _gathered(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members of the one object that a required list is to hold, where they stand beside it instead of in it."""
    strange = {name: value for name, value in given.items() if name not in shape.members}
    lists = [
        name for name in shape.required - given.keys() if (item := shape.members[name].item) and item.kind == "object"
    ]
    if not strange or len(lists) != 1:
        return given
    item = shape.members[lists[0]].item
    assert item is not None, "it was looked for"
    if not renamed(item.members, strange).keys() <= item.members.keys():
        return given
    return {name: value for name, value in given.items() if name not in strange} | {lists[0]: [strange]}


def _nested(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members of an inner object, where they stand beside it instead of in it, and no other object has such."""
    moved: dict[str, dict[str, Any]] = {}
    for name in given.keys() - shape.members.keys():
        holders = [one for one, member in shape.members.items() if name in member.members and one not in given]
        if len(holders) == 1:
            moved.setdefault(holders[0], {})[name] = given[name]
    strange = {name for inner in moved.values() for name in inner}
    return {name: value for name, value in given.items() if name not in strange} | moved


def _members(shape: Shape, given: Mapping[str, Any]) -> dict[str, Any]:
    known = _nested(shape, renamed(shape.members, given))
    fitted = {
        name: value if name not in shape.members else _member(shape, name, value) for name, value in known.items()
    }
    return {name: value for name, value in fitted.items() if value is not _LEFT_OUT}


def _member(shape: Shape, name: str, value: Any) -> Any:
    member = shape.members[name]
    if value is None and not member.nullable and member.kind != "any" and name not in shape.required:
        return _LEFT_OUT
    if isinstance(value, str) and name.endswith(SECONDS):
        return _seconds(value)
    return _value(member, value)


def _value(shape: Shape, value: Any) -> Any:
    if value is None:
        return None
    if shape.kind in _OPENING:
        value = _read(value, shape)
    if shape.kind == "list":
        return [_value(cast("Shape", shape.item), one) for one in _several(shape, value)]
    if shape.kind == "map" and (pairs := _pairs(value)):
        return pairs
    if isinstance(value, list):
        listed = cast("list[Any]", value)
        return _value(shape, listed[0]) if len(listed) == 1 and shape.kind != "any" else listed
    if shape.kind == "object":
        return _object(shape, value)
    if shape.kind == "map" and isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {name: _value(cast("Shape", shape.item), one) for name, one in members}
    return _plain(shape, value)


def _pairs(value: Any) -> dict[str, str]:
    """`["NAME=value"]` as Docker's files have it, as an object."""
    texts = cast("list[Any]", value) if isinstance(value, list) else []
    if not all(isinstance(one, str) and "=" in one for one in texts):
        return {}
    return dict(str(one).split("=", 1) for one in texts)


def _plain(shape: Shape, value: Any) -> Any:
    if shape.kind in ("choice", "either") and isinstance(value, str):
        return _chosen(shape, value)
    if shape.kind == "text" and isinstance(value, int) and not isinstance(value, bool):
        return f"#{value}" if str(shape.meant.example).startswith("#") else str(value)
    return value


def _read(value: Any, shape: Shape) -> Any:
    """The JSON that stands in text, where it is of the kind that is meant, or a member of a list that is."""
    text = value.strip() if isinstance(value, str) else ""
    items = "" if shape.item is None else _OPENING.get(shape.item.kind, "")
    if not text.startswith((_OPENING[shape.kind], items or "[")) or len(text) > JSON_CHARACTERS_MAX:
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return value


def _several(shape: Shape, value: Any) -> list[Any]:
    if isinstance(value, list):
        return cast("list[Any]", value)
    pattern = None if shape.item is None else shape.item.pattern
    if isinstance(value, str) and pattern is not None and not re.search(pattern, value):
        parts = [part.strip() for part in value.split(",")]
        if all(re.search(pattern, part) for part in parts):
            return list(parts)
    return [value]


def _object(shape: Shape, value: Any) -> Any:
    if isinstance(value, dict):
        return _members(shape, cast("dict[str, Any]", value))
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        return value  # it was to be JSON, and is none
    for name in shape.bare:
        if _stands_for(shape.members[name], value):
            return {name: value}
    return value


def _stands_for(shape: Shape, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return shape.kind == "text" and value != "" and (shape.pattern is None or bool(re.search(shape.pattern, value)))
    return shape.kind in ("integer", "number") and isinstance(value, (int, float))


def _chosen(shape: Shape, value: str) -> Any:
    options = [one for one in shape.options if isinstance(one, str)]
    options += [one for inner in shape.options if isinstance(inner, Shape) for one in inner.options]
    plain = folded(value.strip())
    found = [one for one in options if folded(str(one)) == plain]
    return found[0] if len(found) == 1 else shape.meant.also.get(plain, value)


def _is_duration(text: str) -> bool:
    return len(text) <= DURATION_CHARACTERS_MAX and _DURATION.fullmatch(text.strip()) is not None


def _seconds(text: str) -> Any:
    """`1h30m`, `30 s`, `5 minutes` as seconds."""
    if not _is_duration(text):
        return text
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(text))
