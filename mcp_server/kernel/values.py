"""Value types that every area shares: names, lines, texts, durations."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from mcp_server.kernel.counted_times import number_in, time_counted
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, RawJson, check_json, check_line, check_text
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.relative import keep_words

Word = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"),
    Meant("a word of up to 64 letters, digits and . _ - /", "code-review"),
]
"""A short machine name: a kind, a capability, a tag."""


def _printable(text: str) -> str:
    check_text(text)
    return text


def _one_line(text: str) -> str:
    check_line(text)
    return text


Line = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_one_line), Meant("one line of text")
]
"""One line: no line breaks, no control characters. What was stored before this was asked may hold some."""

Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_printable)]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)]


def _within_calendar(at: datetime) -> datetime:
    try:
        at.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError("lies outside of the years 1 to 9999, UTC") from None
    return at


def _as_said(value: Any, check: Callable[[Any], datetime]) -> datetime:
    number = number_in(value)
    counted = None if number is None else time_counted(number)
    if counted is None and number is not None:
        raise PydanticCustomError("time_of_no_age", "counts up to no time of our age")
    return keep_words(value, check(counted or value))


Time = Annotated[AwareDatetime, AfterValidator(_within_calendar), WrapValidator(_as_said)]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


LeaseToken = Annotated[
    str,
    BeforeValidator(_as_text),
    StringConstraints(min_length=1, max_length=64),
    Meant("the lease_token that tasks_claim gave", "lease_9k2m4p7q8r3t5v6w7x8z"),
]
"""Up to 0.1.0 tokens were numbers: who still has one is told that its lease is lost, not that it is no text."""


class Frozen(BaseModel):
    """The base of every command and value object that comes from outside: checked once, immutable, and strict about
    unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    BARE: ClassVar[tuple[str, ...]] = ()
    """The members that a bare value in the object's place stands for: the first that takes such a value. Unsaid, the
    only one that is required, where that is text."""
    INSTEAD: ClassVar[Mapping[str, str]] = {}
    """What does what somebody may expect of an argument that there is not; of several values, by its plural."""


def converted(convert: Callable[[Any], Any]) -> AfterValidator:
    """What is given is kept in another form, such as JSON as its checked text."""
    return AfterValidator(convert)


def checked_json(what: str, bytes_max: int = INPUT_BYTES_MAX) -> AfterValidator:
    """Any JSON, kept as its checked text; null counts as not given."""
    return converted(lambda value: None if value is None else check_json(value, what, bytes_max))


def plain(value: Any, *, whole: bool = False) -> Any:
    """What was given, as JSON values that are taken again: a command's fields as far as they were said, or all of them;
    what is kept as checked JSON text as what it says."""
    if isinstance(value, BaseModel):
        return _plain_fields(value, whole=whole)
    if isinstance(value, RawJson):
        return json.loads(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, whole=whole) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: plain(member, whole=whole) for name, member in cast("dict[str, Any]", value).items()}
    return value.isoformat() if isinstance(value, datetime) else value


def _plain_fields(model: BaseModel, *, whole: bool) -> dict[str, Any]:
    fields = type(model).model_fields
    said = fields if whole else model.model_fields_set
    return {fields[name].alias or name: plain(getattr(model, name), whole=whole) for name in said}
