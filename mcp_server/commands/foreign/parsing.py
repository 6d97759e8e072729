"""Reading foreign files: JSON whose members are checked, and refusals that say where it is wrong."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from mcp_server.commands.foreign.item import Item, Reading, State
from mcp_server.kernel.complaints import complaint
from mcp_server.kernel.errors import ValidationFailed

M = TypeVar("M", bound="Record")


class Record(BaseModel):
    """A record of a foreign file: what is not known is passed over, and null is as if it were left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in cast("dict[str, Any]", data).items() if value is not None}


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[str, BeforeValidator(_text)]
"""An id, which may be a number there."""


def parsed(data: bytes, where: str) -> Any:
    """JSON as UTF-8.

    Raises:
        ValidationFailed: it is neither, or nested too deep to be read.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise unusable(where, f"byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise unusable(where, f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise unusable(
            where, "it is not JSON that can be read: a number is too long, or it is nested too deep"
        ) from None


def checked(model: type[M], data: Any, where: str) -> M:
    """A record.

    Raises:
        ValidationFailed: it is none; naming the member.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        member = ".".join(map(str, first["loc"])) or "the whole"
        raise unusable(where, f"{member}: {complaint(first)}") from None


def unusable(where: str, why: str) -> ValidationFailed:
    """The refusal of a file, before anything was taken from it."""
    return ValidationFailed(f"{where} cannot be taken over: {why}.", next="Correct the file. Nothing was changed.")


def once(found: Iterable[tuple[str, Item]]) -> list[Item]:
    """Items with where they stand, each once: the same told twice is one.

    Raises:
        ValidationFailed: two of one id tell different things; naming both.
    """
    first = dict[str, tuple[str, Item]]()
    for where, item in found:
        earlier, known = first.setdefault(item.id, (where, item))
        if known != item:
            raise unusable(where, f"it is {item.id}, which {earlier} is too, and tells otherwise")
    return [item for _, item in first.values()]


def state_of(status: str, known: Mapping[str, State], reading: Reading, where: str) -> State:
    """What a status means.

    Raises:
        ValidationFailed: nobody said.
    """
    word = status.strip().lower()
    if word in reading.also_open:
        return "open"
    if word not in known:
        raise ValidationFailed(
            f"{where} has the status '{status[:60]}', and what that means is not known.",
            next=f"Known are {', '.join(known)}. If it is open work, add --also-open '{word[:60]}'.",
        )
    return known[word]
