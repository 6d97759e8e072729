"""What other tools' files hold, in one form: an item of work as it is there."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from mcp_server.domain.tasks.spec import Priority
from mcp_server.kernel.errors import ValidationFailed

State = Literal["open", "later", "finished", "dropped"]
"""What becomes of an item: work for now, put off, done there, or given up there."""

Mapped = tuple[tuple[str, str], ...]
"""What it is called there, and what becomes of it here."""

M = TypeVar("M", bound="Record")


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work.

    Attributes:
        id: by which the others of the import name it.
        key: by which it is known here for good.
        status: the word for it there; `state` is what that means here.
        blocked_by: ids of what has to be done first.
        parent: the item whose part it is.
        origin: what else is told of it there, for whoever works on it.
    """

    id: str
    key: str
    title: str
    description: str
    status: str
    state: State
    priority: Priority = "normal"
    blocked_by: tuple[str, ...] = ()
    parent: str | None = None
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    not_before: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Reading(NamedTuple):
    """How a file is read: under which name of a project, and which statuses besides the known ones are open work."""

    project: str
    also_open: frozenset[str] = frozenset()


class Source(NamedTuple):
    """A tool whose files are understood.

    Attributes:
        places: where its file lies below the folder of a project.
        read: makes items of what a file holds.
        maps: what maps to what, for people.
    """

    name: str
    places: tuple[str, ...]
    read: Callable[[bytes, Reading], list[Item]]
    maps: Mapped


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
        raise unusable(where, f"{member}: {first['msg']}") from None


def unusable(where: str, why: str) -> ValidationFailed:
    """The refusal of a file, before anything was taken from it."""
    return ValidationFailed(f"{where} cannot be taken over: {why}.", next="Correct the file. Nothing was changed.")


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


def tags_of(words: Iterable[str]) -> tuple[str, ...]:
    """Labels as tags: what a tag may not hold becomes a hyphen."""
    made = (re.sub(r"[^A-Za-z0-9._/-]+", "-", word).strip("-._/")[:64] for word in words)
    return tuple(dict.fromkeys(filter(None, made)))


def title_of(text: str, otherwise: str) -> str:
    """A title as one line of up to 200 characters; whatever would break it is a space."""
    spaced = (" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
    line = " ".join("".join(spaced).split())
    return (line if len(line) <= 200 else f"{line[:199]}…") or otherwise


def text_of(*parts: tuple[str, str]) -> str:
    """A description of several parts, each under its heading; the first has none where its heading is empty."""
    said = ((heading, text.replace("\x00", "").encode("utf-8", "replace").decode().strip()) for heading, text in parts)
    text = "\n\n".join(f"{heading}:\n{text}" if heading else text for heading, text in said if text)
    return text if len(text) <= 20_000 else f"{text[:19_900].rstrip()}\n\n[It goes on where it came from.]"
