"""A call's arguments as its tool takes them: checked, and where that fails once more as they are meant."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mcp_server.kernel.refusing import refused
from mcp_server.kernel.shapes import shape_of
from mcp_server.kernel.taking import taken

M = TypeVar("M", bound=BaseModel)


def understood(tool: str, model: type[M], given: Mapping[str, Any], at: str = "") -> M:
    """The arguments of a call, checked.

    Args:
        tool: its name.
        model: what it takes.
        given: what was given.
        at: where they stand, if they are those of a call within another, such as `calls[2].arguments`.

    Raises:
        ValidationFailed: they cannot be understood.
    """
    try:
        return model.model_validate(given)
    except ValidationError:
        shape = shape_of(model)
        meant = taken(shape, given)
    try:
        return model.model_validate(meant)
    except ValidationError as error:
        raise refused(tool, shape, meant, error, at) from None
