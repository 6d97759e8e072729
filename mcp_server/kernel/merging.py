"""What is said of an object that is there: only what is given of it changes."""

from typing import TypeVar

from pydantic import ValidationError

from mcp_server.kernel.complaints import complaints
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.values import Frozen

M = TypeVar("M", bound=Frozen)


def merged(was: M | None, said: M | None) -> M | None:
    """An object as it is with what is said of it: what is not said stays as it was, null takes away what there need not
    be. What comes of it is checked as a whole.

    Raises:
        ValidationFailed: what is said does not go with what stays.
    """
    return (said or was) if was is None or said is None else _with(was, said)


def _with(was: M, said: M) -> M:
    new = {name: getattr(said, name) for name in said.model_fields_set}
    try:
        return type(said).model_validate({name: getattr(was, name) for name in type(said).model_fields} | new)
    except ValidationError as error:
        raise _at_odds(was, new, error) from None


def _at_odds(was: Frozen, new: dict[str, object], error: ValidationError) -> ValidationFailed:
    kept = {name: value for name, value in was.model_dump(mode="json").items() if name not in new}
    return ValidationFailed(
        complaints(error), next=f"What was not said stays: {dump_json(kept)}. Say all that is to be different."
    )
