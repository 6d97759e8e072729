"""What a check found wrong in a file of somebody's, in words of whoever wrote it: that it is Python that reads it is
no business of theirs. What is wrong with a call's arguments is said at more length (`problems`)."""

from collections.abc import Mapping
from typing import Any

_OURS = "Value error, "
_TABLE = "it takes a table of names and values"
_WORDS = {
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "list_type": "it takes a list",
    "string_type": "it takes a text",
    "too_long": "it takes at most {max_length} item(s)",
    "too_short": "it takes at least {min_length} item(s)",
    "tuple_type": 'it takes a list, such as ["one", "two"]',
}


def complaint(found: Mapping[str, Any]) -> str:
    """One of the errors of a `ValidationError` as a clause."""
    said = _WORDS.get(found["type"])
    return found["msg"].removeprefix(_OURS) if said is None else said.format_map(found.get("ctx", {}))
