"""Value types that every area shares: times, names, JSON and ids.

Times inside the house are integers: microseconds since 1970-01-01T00:00:00Z (`Micros`).
"""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from mcp_server.domain.errors import LimitExceeded, ValidationFailed

Micros = int
SECOND: Micros = 1_000_000
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
INPUT_BYTES_MAX = 256 * 1024
JSON_DEPTH_MAX = 64

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$")]
"""A short machine name: a kind, a capability, a tag."""


def _printable(text: str) -> str:
    check_text(text)
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_printable)]
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)]
Time = AwareDatetime


def several(value: Any) -> Any:
    """One text where a list of them is wanted; anything else as it is."""
    return (value,) if isinstance(value, str) else value


M = TypeVar("M", bound=BaseModel)
_set = object.__setattr__


def adopted(model: type[M], fields: dict[str, Any]) -> M:
    """An instance that takes over a dict of right values, unchecked; every field must be there.

    Ten times as fast as `model_construct`, which looks for defaults.
    """
    new = model.__new__(model)
    _set(new, "__dict__", fields)
    _set(new, "__pydantic_fields_set__", set())
    _set(new, "__pydantic_extra__", None)
    _set(new, "__pydantic_private__", None)
    return new


class Frozen(BaseModel):
    """The base of every aggregate and value object: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def trusted(cls, fields: dict[str, Any]) -> Self:
        """An instance from values that are known to be right, such as a stored row; all fields must be there.

        The dict becomes the instance's own.
        """
        return adopted(cls, fields)

    def evolved(self, changes: Mapping[str, Any]) -> Self:
        """The same with some fields changed to values that are known to be right."""
        return self.trusted(self.__dict__ | dict(changes))

    def fields(self) -> dict[str, Any]:
        """The fields as they are, uncopied and unconverted."""
        return dict(self.__dict__)


def micros(at: datetime) -> Micros:
    """An aware datetime as microseconds UTC."""
    delta = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


@lru_cache(maxsize=1024)
def iso(at: Micros) -> str:
    """Microseconds UTC as ISO 8601 with `Z`."""
    return f"{_iso_second(at // 1_000_000)}.{at // 1000 % 1000:03}Z"


@lru_cache(maxsize=1024)
def _iso_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def iso_or_none(at: Micros | None) -> str | None:
    """`iso`, where there may be no time at all."""
    return None if at is None else iso(at)


def duration(seconds: float) -> Micros:
    """Seconds as microseconds."""
    return round(seconds * SECOND)


def dump_json(value: Any) -> str:
    """Compact JSON text, the only form in which JSON is stored."""
    return _ENCODER.encode(value)


class RawJson(str):
    """JSON text that has been checked; written into events as it is, not as a quoted string."""

    __slots__ = ()


_EMPTY_LIST = RawJson("[]")


def json_list(items: Iterable[Any]) -> RawJson:
    """A list of what is known to be right, as JSON text."""
    listed = list(items)
    return RawJson(dump_json(listed)) if listed else _EMPTY_LIST


def check_text(text: str, what: str = "text") -> None:
    """Refuse what neither engine can store faithfully: NUL characters and lone surrogates.

    Raises:
        ValidationFailed: naming the offending character.
    """
    if "\x00" in text:
        raise ValidationFailed(f"The {what} contains a NUL character, which cannot be stored. Remove it.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValidationFailed(
            f"The {what} contains a lone surrogate (U+{ord(text[error.start]):04X}), which is not valid "
            "Unicode text. Send the whole character or remove it."
        ) from None


def check_json(value: Any, what: str, bytes_max: int = INPUT_BYTES_MAX) -> RawJson:
    """The stored text of a JSON value, within the size and depth limits.

    Raises:
        ValidationFailed: too deep, or text that cannot be stored.
        LimitExceeded: longer than `bytes_max` bytes of compact UTF-8 JSON.
    """
    if depth_exceeds(value, JSON_DEPTH_MAX):
        raise ValidationFailed(f"The {what} is nested deeper than {JSON_DEPTH_MAX} levels. Flatten it.")
    try:
        text = dump_json(value)
    except ValueError:
        raise ValidationFailed(f"The {what} holds NaN or an infinity, which JSON does not have.") from None
    check_text(text, what)
    size = len(text.encode("utf-8"))
    if size > bytes_max:
        raise LimitExceeded(
            f"The {what} is {size} bytes of JSON; at most {bytes_max} are allowed.",
            next="Store a smaller value, or split it over several documents.",
            details={"bytes": size, "bytes_max": bytes_max},
        )
    return RawJson(text)


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether a JSON value is nested deeper than `limit`; walks without recursion."""
    level: list[Any] = [value]
    for _ in range(limit + 1):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(cast("dict[str, Any]", item).values())
    return cast("list[Any]", item) if isinstance(item, list) else []
