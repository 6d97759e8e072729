"""A call's arguments as its tool takes them: checked, and where that fails once more as they are meant."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.likely import is_change
from mcp_server.kernel.looking import looking_sparingly
from mcp_server.kernel.problems import Problem, crowds
from mcp_server.kernel.refusing import Beside, crowded, refused
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.taking import taken

M = TypeVar("M", bound=BaseModel)
G = TypeVar("G")
_ALONE = Beside()
_MANY = 1000
"""From so many in a list or an object on, they are counted before each of them is checked."""


def understood(
    tool: str, model: type[M], given: Mapping[str, Any], beside: Beside = _ALONE, also: Sequence[Problem] = ()
) -> M:
    """The arguments of a call, checked.

    Args:
        tool: its name.
        model: what it takes.
        given: what was given.
        beside: what else the call says, for the call that a refusal shows.
        also: what a refusal is to say, too.

    Raises:
        ValidationFailed: they cannot be understood.
    """
    shape = shape_of(model)
    if any(map(_holds_many, (given, *given.values()))):
        _require_few(tool, shape, given)
    given = _nothing_amiss(shape, given)
    with looking_sparingly():
        try:
            return model.model_validate(given)
        except ValidationError:
            meant = _meant(tool, shape, given)
        try:
            return model.model_validate(meant)
        except ValidationError as error:
            raise refused(tool, model, meant, error, beside, also) from None


def _meant(tool: str, shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as they are meant, with nothing in them that holds too many."""
    _require_few(tool, shape, given)
    meant = taken(shape, given)
    _require_few(tool, shape, meant)  # what came as text holds what it does since now
    return _nothing_amiss(shape, meant)


def _holds_many(value: Any) -> bool:
    return isinstance(value, (list, dict)) and len(cast("list[Any]", value)) > _MANY


def _require_few(tool: str, shape: Shape, given: Mapping[str, Any]) -> None:
    """Refuse lists and objects that hold too many before anything in them is looked at, which would take as long as
    they are."""
    problems = list(crowds(shape, given))
    if problems:
        raise crowded(tool, problems)


def _nothing_amiss(shape: Shape, given: G) -> G:
    """The arguments with what pydantic takes for a number, and nobody means as one, as text that is refused: a yes or
    no, which it takes for 1 and 0, though who says yes to a time limit did not mean a second; and what has a plus,
    which says how many more there are to be, not how many."""
    held: dict[Any, Any] | list[Any] = cast("Any", given)
    found: dict[Any, Any] = {}
    for part, inner in held.items() if isinstance(held, dict) else enumerate(held):
        if _is_looked_into(inner) and (place := shape.inside(part)) is not None:  # few are: each call passes here
            refused = _as_refused(place, inner)
            if refused is not inner:
                found[part] = refused
    return cast("G", _with(held, found)) if found else given


_LOOKED_INTO = frozenset((bool, dict, list))


def _is_looked_into(value: Any) -> bool:
    return type(value) in _LOOKED_INTO or (type(value) is str and value[:1] == "+")


def _as_refused(place: Shape, value: Any) -> Any:
    if isinstance(value, str):
        return f"+ {value[1:].strip()}" if _is_number(place) and is_change(value) else value
    if not isinstance(value, bool):
        return _nothing_amiss(place, value)
    return str(value).lower() if _is_number(place) else value


def _with(held: dict[Any, Any] | list[Any], changed: Mapping[Any, Any]) -> dict[Any, Any] | list[Any]:
    return {**held, **changed} if isinstance(held, dict) else [changed.get(at, one) for at, one in enumerate(held)]


def _is_number(place: Shape) -> bool:
    """Whether a number is accepted there, and no yes or no."""
    kinds = {one.kind for one in place.options if isinstance(one, Shape)} or {place.kind}
    return not kinds.isdisjoint(("integer", "number")) and "boolean" not in kinds
