"""TOML files: a table is added as text at the end, replaced or taken away, so that every other character stays.

Where a table begins and ends is asked of Python's own parser: a line begins a table if all before it is whole.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from itertools import pairwise
from typing import Any, NamedTuple, cast

from mcp_server.kernel.errors import ValidationFailed

_HEADER = re.compile(r"^[ \t]*\[{1,2}([^\[\]\r\n]+)\]{1,2}[ \t]*(?:#[^\r\n]*)?\r?$", re.MULTILINE)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BROKEN = "Correct it, or take it out of the way, and run the command again."


class Block(NamedTuple):
    """From where to where a table stands."""

    start: int
    end: int


def read(text: str) -> dict[str, Any]:
    """What a text holds.

    Raises:
        ValidationFailed: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValidationFailed(f"It is no TOML: {error}.", next=_BROKEN) from None


def put(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with a table at a path of keys: in its place, or at the end.

    Raises:
        ValidationFailed: it stands there in a form that cannot be changed as text.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    table = end.join([f"[{'.'.join(map(_key, path))}]", *map(_member, value.items())])
    if is_there(read(text), path):
        return _replaced(text, _blocks(text, path), table, end)
    if not text:
        return f"{table}{end}"
    return f"{text}{end}{table}{end}" if text.endswith("\n") else f"{text}{end}{end}{table}"


def _replaced(text: str, blocks: Sequence[Block], table: str, end: str) -> str:
    """The text with a table in the place of the first of its blocks, and without the others."""
    first, *others = blocks
    for block in reversed(others):
        text = text[: block.start] + text[block.end :]
    last = "" if text[first.start : first.end].rstrip("\n") == text[first.start : first.end] else end
    return text[: first.start] + table + last + text[first.end :]


def drop(text: str, path: Sequence[str]) -> str:
    """The text without a table, and without the blank line before it."""
    for block in reversed(_blocks(text, path) if is_there(read(text), path) else []):
        text = _without(text, block)
    return text


def _without(text: str, block: Block) -> str:
    before, behind = text[: block.start], text[block.end :]
    if _ends_blank(before):
        before = _without_line_end(before)
    return (before if behind or text.endswith("\n") else _without_line_end(before)) + behind


def _ends_blank(text: str) -> bool:
    """Whether the last line is blank."""
    return text.endswith(("\n\n", "\n\r\n")) or not text.strip("\r\n")


def is_there(data: Any, path: Sequence[str]) -> bool:
    """Whether a value stands at a path."""
    for key in path:
        if not isinstance(data, dict) or key not in data:
            return False
        data = cast("dict[str, Any]", data)[key]
    return True


def _without_line_end(text: str) -> str:
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _blocks(text: str, path: Sequence[str]) -> list[Block]:
    """Where a table and those inside it stand."""
    headers = [*_headers(text), (len(text), len(text), ())]
    found = [
        Block(start, _end(text, end, below[0], key))
        for (start, end, key), below in pairwise(headers)
        if key[: len(path)] == tuple(path)
    ]
    if found:
        return found
    raise ValidationFailed(
        f"{'.'.join(path)} stands in it without a [table] of its own, so it cannot be changed safely.",
        next="Change it by hand, or write it as a [table].",
    )


def _headers(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for match in _HEADER.finditer(text):
        if (key := _keys(match[1])) and _parsed(text[: match.start()]) is not None:
            yield match.start(), match.end(), key


def _keys(header: str) -> tuple[str, ...]:
    """The keys of a table's line; none where it is none."""
    data, keys = _parsed(f"[{header}]"), list[str]()
    while data:
        ((key, data),) = data.items()
        keys.append(key)
    return tuple(keys)


def _end(text: str, start: int, limit: int, key: Sequence[str]) -> int:
    """Behind the last line that says something of a table: comments after it may be about what comes next."""
    whole, at = repr(_at(_parsed(text[:limit]), key)), start
    while at < limit:
        at = text.find("\n", at, limit) + 1 or limit
        if repr(_at(_parsed(text[:at]), key)) == whole:
            break
    return at


def _at(data: Any, path: Sequence[str]) -> Any:
    for key in path:
        data = cast("dict[str, Any]", data).get(key) if isinstance(data, dict) else None
    return data


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _member(member: tuple[str, Any]) -> str:
    return f"{_key(member[0])} = {_value(member[1])}"


def _value(value: Any) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case dict():
            return f"{{ {', '.join(map(_member, cast('dict[str, Any]', value).items()))} }}"
        case list():
            return f"[{', '.join(map(_value, cast('list[Any]', value)))}]"
        case date() | time():
            return value.isoformat()
        case _:
            return repr(value).lower()  # True is true
