"""RFC 6901 JSON Pointers: which member or item of a document is meant."""

import re
from collections.abc import Iterable
from typing import Any, cast

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import JSON_DEPTH_MAX
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import named

_INDEX_DIGITS_MAX = 9


def escape(key: str) -> str:
    """A member name as a JSON Pointer token."""
    return key.replace("~", "~0").replace("/", "~1")


def pointer_to(parts: Iterable[str]) -> str:
    """The pointer that goes through these names."""
    return "".join(f"/{escape(part)}" for part in parts)


def tokens(pointer: str) -> list[str]:
    """The names that a pointer goes through, the first of them empty: the whole document.

    Raises:
        ValidationFailed: it is no pointer, or goes deeper than any document.
    """
    if pointer and not pointer.startswith("/"):
        raise ValidationFailed(f"{named(pointer)} is not a JSON Pointer; it must be empty or start with '/'.")
    if re.search("~(?![01])", pointer):
        raise ValidationFailed(
            f"{named(pointer)} is not a JSON Pointer: '~' must be written as '~0', and '/' in a name as '~1'."
        )
    names = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]
    if len(names) > JSON_DEPTH_MAX + 1:
        raise ValidationFailed(f"{named(pointer)} is deeper than {JSON_DEPTH_MAX} levels, as no document is.")
    return names


def member_at(value: Any, pointer: str) -> Any:
    """What stands at a path that leads through objects alone; None where nothing does."""
    for token in tokens(pointer)[1:]:
        value = cast("dict[str, Any]", value).get(token) if isinstance(value, dict) else None
    return value


def child(node: Any, token: str, where: str) -> Any:
    """The member or item of that name.

    Raises:
        ValidationFailed: there is none; `where` is the pointer that leads there.
    """
    if isinstance(node, dict) and token in node:
        return cast("dict[str, Any]", node)[token]
    if isinstance(node, list):
        items = cast("list[Any]", node)
        return items[index(items, token, len(items) - 1)]
    raise ValidationFailed(f"the path {named(where)} does not exist.", next=_near(node, token))


def _near(node: Any, token: str) -> str:
    if not isinstance(node, dict):
        return ""
    if not token:
        return 'A path that ends in "/" is a member with an empty name; "" is the whole document.'
    return did_you_mean(near(token, cast("dict[str, Any]", node))).strip()


def index(items: list[Any], token: str, highest: int) -> int:
    """The place in a list that a name means, up to a highest.

    Raises:
        ValidationFailed: it is no number, or beyond.
    """
    if not (token.isascii() and token.isdigit()) or (len(token) > 1 and token[0] == "0"):
        raise ValidationFailed(
            f"{named(token)} is no place in a list: that is a number from 0 to {highest} without zeros before it, or - "
            "for behind the last, where something is put in."
        )
    if len(token) > _INDEX_DIGITS_MAX or int(token) > highest:
        raise ValidationFailed(f"index {named(token)} is outside a list of {len(items)}.")
    return int(token)
