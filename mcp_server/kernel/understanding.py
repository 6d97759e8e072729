"""A call's arguments as its tool takes them: checked, and where that fails once more as they are meant."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.problems import Problem
from mcp_server.kernel.refusing import Beside, refused
from mcp_server.kernel.shapes import shape_of
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
    try:
        return model.model_validate(given)
    except ValidationError:
        meant = taken(shape_of(model), given)
    try:
        return model.model_validate(meant)
    except ValidationError as error:
        raise refused(tool, model, meant, error, beside, also) from None
