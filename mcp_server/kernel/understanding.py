"""A call's arguments as its tool takes them: checked, and where that fails once more as they are meant."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.problems import Problem
from mcp_server.kernel.refusing import Beside, refused
from mcp_server.kernel.shapes import Shape, shape_of
from mcp_server.kernel.taking import taken

M = TypeVar("M", bound=BaseModel)
_ALONE = Beside()


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
    given = _no_yes_for_a_number(shape_of(model), given)
    try:
        return model.model_validate(given)
    except ValidationError:
        meant = taken(shape_of(model), given)
    try:
        return model.model_validate(meant)
    except ValidationError as error:
        raise refused(tool, model, meant, error, beside, also) from None


def _no_yes_for_a_number(shape: Shape, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments with a yes or no that stands where a number does as text, which is refused: pydantic takes them for
    1 and 0, and who says yes to a time limit did not mean a second."""
    wrong = [name for name, value in given.items() if isinstance(value, bool) and _is_number(shape.members.get(name))]
    return {**given, **{name: str(given[name]).lower() for name in wrong}} if wrong else given


def _is_number(place: Shape | None) -> bool:
    return place is not None and place.kind in ("integer", "number")
