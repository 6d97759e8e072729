"""What peers send over the text channel: known types of bounded size and number, or an error for the peer to read."""

import json
from dataclasses import dataclass
from typing import Any, cast

from mcp_server.domain.calls.media import MESSAGE_BYTES_MAX, TEXT_CHARACTERS_MAX

EACH_SECOND = 20.0
AT_ONCE = 60.0
REFUSED_MAX = 500
"""A peer that was refused this often is let go."""

_ID_CHARACTERS_MAX = 200


class BadMessage(Exception):
    """A message that is not taken; the text says why, to the peer."""


@dataclass(frozen=True, slots=True)
class _Field:
    kind: type
    characters_max: int = _ID_CHARACTERS_MAX
    is_required: bool = True
    choices: tuple[str, ...] = ()


_TEXT = _Field(str, TEXT_CHARACTERS_MAX)
_TYPES: dict[str, dict[str, _Field]] = {
    "text": {"text": _TEXT, "ref": _Field(str, is_required=False)},
    "answer": {
        "id": _Field(str),
        "action_hash": _Field(str),
        "decision": _Field(str, is_required=False, choices=("approve", "reject")),
        "choice": _Field(str, TEXT_CHARACTERS_MAX, is_required=False),
        "text": _Field(str, TEXT_CHARACTERS_MAX, is_required=False),
    },
    "pong": {"n": _Field(int)},
    "muted": {"on": _Field(bool)},
    "talking": {"on": _Field(bool)},
    "hangup": {},
}


def checked(data: str | bytes) -> dict[str, Any]:
    """A message with its known fields alone.

    Raises:
        BadMessage: it is none.
    """
    size = len(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    if size > MESSAGE_BYTES_MAX:
        raise BadMessage(f"The message has {size} bytes; at most {MESSAGE_BYTES_MAX} are taken.")
    if isinstance(data, bytes):
        raise BadMessage("The message is binary; send JSON as text.")
    try:
        told: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise BadMessage("The message is no JSON.") from None
    told = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    kind = told.get("type")
    fields = _TYPES.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise BadMessage(f"The message has no known type; known are {', '.join(_TYPES)}.")
    return {"type": kind} | {
        name: value for name, field in fields.items() if (value := _value(name, told.get(name), field)) is not None
    }


def _value(name: str, value: Any, field: _Field) -> Any:
    if value is None and not field.is_required:
        return None
    if type(value) is not field.kind:
        raise BadMessage(f"The message's {name} is missing or has the wrong type.")
    if isinstance(value, str):
        _check_text(name, value, field)
    return value


def _check_text(name: str, text: str, field: _Field) -> None:
    if len(text) > field.characters_max:
        raise BadMessage(f"The message's {name} has {len(text)} characters; at most {field.characters_max} are taken.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadMessage(f"The message's {name} holds what is no text: a NUL or half a character.")
    if field.choices and text not in field.choices:
        raise BadMessage(f"The message's {name} is none of {', '.join(field.choices)}.")


class Rate:
    """How often a peer may send: `EACH_SECOND` in the long run, `AT_ONCE` together."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self._left, self._at = AT_ONCE, 0.0

    def take(self, now: float) -> bool:
        """Whether a message may be taken now, in seconds of a steady clock."""
        self._left = min(AT_ONCE, self._left + (now - self._at) * EACH_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
