"""What stands where in a tool's arguments, read off the models that check them: by this what is unambiguous is taken,
and a refusal says what is accepted."""

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.meaning import Meant

Kind = Literal["object", "map", "list", "choice", "either", "boolean", "integer", "number", "text", "time", "any"]
CHOICES_SAID_MAX = 14
TIME_EXAMPLE = "2026-11-27T09:00:00Z"
UNSAID = "..."
"""The example of text of which nothing is known."""

_PLAIN: dict[Any, Kind] = {bool: "boolean", int: "integer", float: "number", str: "text", datetime: "time"}
_PLAIN[AwareDatetime] = "time"
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
SECONDS = "_seconds"
UNEXPLAINED = Meant()


@dataclass(frozen=True, slots=True)
class Shape:
    """What is accepted in one place.

    Attributes:
        kind: of value.
        nullable: whether null says something there that is not the same as saying nothing.
        meant: what it stands for, where its type says so.
        item: what a list or a map holds.
        members: of an object, by the name under which they are given.
        required: those that an object needs.
        bare: members that a bare value stands for: the first that takes such a value.
        options: of a choice its values; of `either` the shapes.
        bounds: the least and the most, of a number or of what a list holds.
        above: whether the least itself is too little.
        pattern: what text must look like.
        shown: whether an example of the object around it has it, although it need not.
    """

    kind: Kind
    nullable: bool = False
    meant: Meant = UNEXPLAINED
    item: "Shape | None" = None
    members: Mapping[str, "Shape"] = field(default_factory=dict[str, "Shape"])
    required: frozenset[str] = frozenset()
    bare: tuple[str, ...] = ()
    options: tuple[Any, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    above: bool = False
    pattern: str | None = None
    shown: bool = False

    @property
    def holds_objects(self) -> bool:
        """Whether it is a list of objects."""
        return self.item is not None and self.item.kind == "object"

    def choices(self) -> list[str]:
        """The words that may stand there, those of one of several shapes included."""
        inner = (option.options if isinstance(option, Shape) else (option,) for option in self.options)
        return [one for options in inner for one in options if isinstance(one, str)]

    def inside(self, part: str | int) -> "Shape | None":
        """What is accepted at a member or a place of a list; None where there is nothing of that name."""
        if self.kind == "object":
            return self.members.get(str(part))
        if self.kind == "either":
            found = (option.inside(part) for option in self.options)
            return next((shape for shape in found if shape is not None), None)
        return self.item if self.kind == "map" or isinstance(part, int) else None


@cache
def shape_of(model: type[BaseModel]) -> Shape:
    """What a model accepts."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    members = {name: _field(info) for name, info in fields.items()}
    required = frozenset(name for name, info in fields.items() if info.is_required())
    bare: tuple[str, ...] = getattr(model, "BARE", ())
    only = next(iter(required)) if len(required) == 1 else None
    if not bare and only is not None and members[only].kind == "text":
        bare = (only,)
    return Shape("object", members=members, required=required, bare=bare)


def _field(info: FieldInfo) -> Shape:
    shape = _annotated(info.annotation, info.metadata)
    example = info.examples[0] if info.examples else info.default if shape.kind in ("integer", "number") else None
    if isinstance(example, float) and example.is_integer():
        example = int(example)
    if example is not None and example is not PydanticUndefined and example != 0:
        shape = replace(shape, meant=replace(shape.meant, example=example))
    return replace(shape, shown=bool(info.examples))


def _annotated(annotation: Any, metadata: Iterable[Any]) -> Shape:
    shape = _shape(annotation)
    found = list(_flat(metadata))
    low, high = shape.bounds
    for one in found:
        low = _first(one, ("ge", "gt", "min_length"), low)
        high = _first(one, ("le", "lt", "max_length"), high)
    pattern = next((one.pattern for one in found if getattr(one, "pattern", None)), shape.pattern)
    meant = next((one for one in reversed(found) if isinstance(one, Meant)), shape.meant)
    above = shape.above or any(getattr(one, "gt", None) is not None for one in found)
    return replace(shape, bounds=(low, high), above=above, pattern=pattern, meant=meant)


def _first(constraint: Any, names: tuple[str, ...], before: float | None) -> float | None:
    found = (getattr(constraint, name, None) for name in names)
    return next((one for one in found if isinstance(one, (int, float))), before)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _flat(one.metadata)
        else:
            yield one


def _shape(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is Literal:
        return Shape("choice", options=arguments)
    if origin in (Union, types.UnionType):
        return _union([one for one in arguments if one is not type(None)], type(None) in arguments)
    if origin is tuple:
        return Shape("list", item=_shape(arguments[0]))
    if origin is dict:
        return Shape("map", item=_shape(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return shape_of(annotation)
    return Shape(_PLAIN.get(annotation, "any"))


def _union(options: list[Any], nullable: bool) -> Shape:
    shapes = tuple(map(_shape, options))
    shape = shapes[0] if len(shapes) == 1 else Shape("either", options=shapes)
    return replace(shape, nullable=nullable)


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
    low, high = (None if bound is None else f"{bound:.16g}" for bound in shape.bounds)
    if low is not None and high is not None:
        return f" over {low}, at most {high}" if shape.above else f" from {low} to {high}"
    return "" if low is None and high is None else (f" of at least {low}" if high is None else f" of at most {high}")


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
    """A call as it is written: `tasks_find(status="queued")`."""
    return f"{tool}({', '.join(f'{name}={dump_json(value)}' for name, value in arguments.items())})"
