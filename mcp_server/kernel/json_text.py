"""JSON as it is stored: compact text, checked once."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable
from typing import Any, cast

from mcp_server.kernel.errors import LimitExceeded, ValidationFailed

# What comes from JSON holds nothing that holds itself; to look for that is a third of the time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_SORTED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True)
INPUT_BYTES_MAX = 256 * 1024
JSON_DEPTH_MAX = 64
_BREAKS = ("Cc", "Zl", "Zp")


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


def check_line(text: str, what: str = "text") -> None:
    """Refuse what `check_text` does, and what would make more than one line of it: line breaks and control characters.

    Raises:
        ValidationFailed: naming the first one.
    """
    check_text(text, what)
    if text.isascii() and text.isprintable():
        return
    found = next((character for character in text if unicodedata.category(character) in _BREAKS), None)
    if found is not None:
        raise ValidationFailed(
            f"The {what} is one line, and U+{ord(found):04X} in it is a line break or a control character.",
            next="Leave it out, or put a space there.",
        )


def storable(text: str, characters_max: int = 20_000) -> str:
    """Text that others made, such as a server's answer, so that it can be stored: cut, and without what `check_text`
    refuses."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:characters_max]


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


def others_json(text: str | bytes) -> Any:
    """JSON that another program wrote, as far as it can be stored: Python alone takes NaN and infinities, also as
    `1e999`, for numbers.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if depth_exceeds(value, JSON_DEPTH_MAX):
        raise ValueError("nested too deep")
    return value


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON's")


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


def canonical(value: Any) -> Any:
    """A JSON value in the one form that all equal values share: 1.0 is 1, -0 is 0. With sorted keys its text is equal
    exactly where the values are, as RFC 8785 has it, but for whole numbers, which are told apart exactly, however
    large."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: canonical(member) for name, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in cast("list[Any]", value)]
    return value


def canonical_hash(value: Any) -> str:
    """SHA-256, as hex, that is equal where JSON values are: whatever the order of their keys, and for 1 and 1.0."""
    return sha256_text(_SORTED.encode(canonical(value)))


def canonical_text(text: str) -> str:
    """Stored JSON text in the form that all equal values share. One without a fraction, an exponent and a second key is
    in it already: most results of tasks are."""
    if text.count(":") <= 1 and "." not in text and "e+" not in text:
        return text
    return _SORTED.encode(canonical(json.loads(text)))


def sha256_text(text: str) -> str:
    """SHA-256 of UTF-8 text, as hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def held_json(value: Any) -> Any:
    """The object or list that stands as JSON in a text; None where none does."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
