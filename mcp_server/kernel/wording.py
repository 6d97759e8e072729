"""What a place in the arguments accepts, in words and with an example; and calls as they are written."""

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.shapes import Kind, Shape

TIME_EXAMPLE = "2026-11-27T09:00:00Z"
UNSAID = "..."
"""The example of text of which nothing is known."""

_ESCAPED = re.compile(r"\\.")
_NUMBERED = {'\\"': "\\u0022", "\\\\": "\\u005c"}
_WORDS: dict[Kind, str] = {
    "object": "an object",
    "map": "an object of names and values",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "text",
    "time": f"a time with its zone, such as {TIME_EXAMPLE}",
    "any": "any JSON",
}
_EXAMPLES: dict[Kind, Any] = {"boolean": True, "text": UNSAID, "time": TIME_EXAMPLE, "any": {}}


def accepted(shape: Shape) -> str:
    """What a place accepts, in words."""
    if shape.kind == "choice":
        return f"one of {', '.join(map(str, shape.options))}"
    if shape.kind == "either":
        return " or ".join(map(accepted, shape.options))
    if shape.kind == "list":
        assert shape.item is not None, "a list holds something"
        return f"a list of {_number_of(shape.bounds)}{_plural(shape.item)}"
    words = shape.meant.words or _WORDS[shape.kind]
    return words + (_range(shape) if shape.kind in ("integer", "number") else "")


def _plural(item: Shape) -> str:
    if item.kind == "object":
        return "objects"
    if item.meant.words:
        return f"values, each {item.meant.words}"
    return {"text": "texts", "integer": "whole numbers", "map": "objects"}.get(item.kind, "values")


def _number_of(bounds: tuple[float | None, float | None]) -> str:
    low, high = bounds
    if high is None:
        return f"at least {low:g} " if low else ""
    return f"{low or 0:g} to {high:g} "


def _range(shape: Shape) -> str:
    low, high = shape.bounds
    if low is not None and high is not None and not shape.above:
        return f" from {low:.16g} to {high:.16g}"
    least = [] if low is None else [f"over {low:.16g}" if shape.above else f"of at least {low:.16g}"]
    most = [] if high is None else [f"at most {high:.16g}"]
    return "".join(f" {said}" for said in [", ".join([*least, *most])] if said)


def example_of(shape: Shape) -> Any:
    """A value that would do."""
    if shape.meant.example is not None:
        return shape.meant.example
    if shape.kind in _EXAMPLE_BY_KIND:
        return _EXAMPLE_BY_KIND[shape.kind](shape)
    return _EXAMPLES[shape.kind]


def _object_like(shape: Shape) -> dict[str, Any]:
    return {name: example_of(one) for name, one in shape.members.items() if one.shown or name in shape.required}


def _number_like(shape: Shape) -> int:
    low, high = shape.bounds
    return int(max(low or 0, min(high or 1, 1)))


def _item_like(shape: Shape) -> Any:
    assert shape.item is not None, "a list and a map hold something"
    return example_of(shape.item)


_EXAMPLE_BY_KIND: dict[Kind, Callable[[Shape], Any]] = {
    "object": _object_like,
    "list": lambda shape: [_item_like(shape)],
    "map": lambda shape: {"NAME": _item_like(shape)},
    "choice": lambda shape: shape.options[0],
    "either": lambda shape: example_of(shape.options[0]),
    "integer": _number_like,
    "number": _number_like,
}


def call_of(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call as it is written: `tasks_find(status="queued")`. Quotes and backslashes inside of text are escaped by
    their numbers, so that no text ends the quotation in which it stands."""
    return f"{tool}({', '.join(f'{name}={_as_quoted(value)}' for name, value in arguments.items())})"


def _as_quoted(value: Any) -> str:
    return _ESCAPED.sub(lambda found: _NUMBERED.get(found[0], found[0]), dump_json(value))


_TEXT_SHOWN, _MEMBERS_SHOWN = 60, 5


def shortened(value: Any) -> Any:
    """A value with what is long in it left out, and how much that is."""
    if isinstance(value, str) and len(value) > _TEXT_SHOWN:
        return f"{value[:_TEXT_SHOWN]}... ({len(value)} characters)"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        left = len(items) - _MEMBERS_SHOWN
        return [*map(shortened, items[:_MEMBERS_SHOWN]), *([f"... ({left} more)"] if left > 0 else [])]
    if isinstance(value, Mapping):
        members = list(cast("Mapping[str, Any]", value).items())
        left = len(members) - _MEMBERS_SHOWN
        shown = {name: shortened(one) for name, one in members[:_MEMBERS_SHOWN]}
        return shown | ({"...": f"({left} more)"} if left > 0 else {})
    return value
