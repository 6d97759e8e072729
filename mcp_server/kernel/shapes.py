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

from mcp_server.kernel.meaning import Meant

Kind = Literal["object", "map", "list", "choice", "either", "boolean", "integer", "number", "text", "time", "any"]
_PLAIN: dict[Any, Kind] = {bool: "boolean", int: "integer", float: "number", str: "text", datetime: "time"}
_PLAIN[AwareDatetime] = "time"
_JSON_KINDS: dict[Kind, type[Any] | tuple[type[Any], ...]] = {
    "object": dict,
    "map": dict,
    "list": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "text": str,
    "time": str,
    "choice": str,
}
SECONDS = "_seconds"
"""How the names of durations end."""

UNEXPLAINED = Meant()


@dataclass(frozen=True, slots=True)
class Shape:
    """What is accepted in one place.

    Attributes:
        kind: of value.
        nullable: whether null says something there that is not the same as saying nothing.
        meant: what it stands for, where its type says so.
        item: what a list or a map holds.
        key: what the names in a map look like.
        members: of an object, by the name under which they are given.
        required: those that an object needs.
        bare: members that a bare value stands for: the first that takes such a value.
        options: of a choice its values; of `either` the shapes.
        bounds: the least and the most, of a number or of what a list holds.
        above: whether the least itself is too little.
        pattern: what text must look like.
        instead: what does what somebody may expect of an argument that there is not; of several values, by the plural.
        fixed: members that are there to be refused with what to do instead.
        shown: whether an example of the object around it has it, although it need not.
    """

    kind: Kind
    nullable: bool = False
    meant: Meant = UNEXPLAINED
    item: "Shape | None" = None
    key: "Shape | None" = None
    members: Mapping[str, "Shape"] = field(default_factory=dict[str, "Shape"])
    required: frozenset[str] = frozenset()
    bare: tuple[str, ...] = ()
    options: tuple[Any, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    above: bool = False
    pattern: str | None = None
    instead: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: bool = False
    fixed: frozenset[str] = frozenset()

    @property
    def holds_objects(self) -> bool:
        """Whether it is a list of objects."""
        return self.item is not None and self.item.kind == "object"

    def choices(self) -> list[str]:
        """The words that may stand there, those of one of several shapes included."""
        inner = (option.options if isinstance(option, Shape) else (option,) for option in self.options)
        return [one for options in inner for one in options if isinstance(one, str)]

    def could_hold(self, value: Any) -> bool:
        """Whether a value is at least of the kind that is accepted there."""
        if self.kind == "either":
            return any(not isinstance(one, Shape) or one.could_hold(value) for one in self.options)
        return self.kind == "any" or (
            isinstance(value, _JSON_KINDS[self.kind]) and (isinstance(value, bool) == (self.kind == "boolean"))
        )

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
    instead: Mapping[str, str] = getattr(model, "INSTEAD", {})
    bare = bare or _only_text(members, required)
    fixed: frozenset[str] = frozenset(getattr(model, "FIXED", ()))
    return Shape("object", members=members, required=required, bare=bare, instead=instead, fixed=fixed)


def _only_text(members: Mapping[str, Shape], required: frozenset[str]) -> tuple[str, ...]:
    """The one member that is required, where it is text."""
    return tuple(name for name in required if len(required) == 1 and members[name].kind == "text")


def _field(info: FieldInfo) -> Shape:
    shape = _annotated(info.annotation, info.metadata)
    examples = info.examples or ([info.default] if _is_number(info.default) else [])
    if examples:
        shape = replace(shape, meant=replace(shape.meant, example=_whole(examples[0])))
    return replace(shape, shown=bool(info.examples))


def _is_number(default: Any) -> bool:
    return isinstance(default, (int, float)) and not isinstance(default, bool) and default != 0


def _whole(example: Any) -> Any:
    return int(example) if isinstance(example, float) and example.is_integer() else example


def _annotated(annotation: Any, metadata: Iterable[Any]) -> Shape:
    shape = _shape(annotation)
    for one in _flat(metadata):
        shape = _narrowed(shape, one)
    return shape


def _narrowed(shape: Shape, by: Any) -> Shape:
    if isinstance(by, Meant):
        return replace(shape, meant=by)
    low, high = shape.bounds
    return replace(
        shape,
        bounds=(_bound(by, ("ge", "gt", "min_length"), low), _bound(by, ("le", "lt", "max_length"), high)),
        above=shape.above or _bound(by, ("gt",), None) is not None,
        pattern=getattr(by, "pattern", None) or shape.pattern,
    )


def _bound(constraint: Any, names: tuple[str, ...], before: float | None) -> float | None:
    found = (getattr(constraint, name, None) for name in names)
    return next((one for one in found if isinstance(one, (int, float))), before)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for one in metadata:
        yield from _flat(one.metadata) if isinstance(one, FieldInfo) else (one,)


def _shape(annotation: Any) -> Shape:
    made = _BY_ORIGIN.get(get_origin(annotation))
    if made is not None:
        return made(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return shape_of(annotation)
    return Shape(_PLAIN.get(annotation, "any"))


def _union(options: tuple[Any, ...]) -> Shape:
    shapes = tuple(_shape(one) for one in options if one is not type(None))
    shape = shapes[0] if len(shapes) == 1 else Shape("either", options=shapes)
    return replace(shape, nullable=len(shapes) < len(options))


_BY_ORIGIN: dict[Any, Callable[[tuple[Any, ...]], Shape]] = {
    Annotated: lambda arguments: _annotated(arguments[0], arguments[1:]),
    Literal: lambda arguments: Shape("choice", options=arguments),
    Union: _union,
    types.UnionType: _union,
    tuple: lambda arguments: Shape("list", item=_shape(arguments[0])),
    dict: lambda arguments: Shape("map", key=_shape(arguments[0]), item=_shape(arguments[1])),
}
