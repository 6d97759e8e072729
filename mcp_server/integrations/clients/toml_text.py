"""TOML files: a table is added as text at the end, replaced or taken away, so that every other character stays.

Where a table begins and ends is asked of Python's own parser: a line begins a table if all before it is whole.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
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
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValidationFailed(f"It is no TOML: {error}.", next=_BROKEN) from None


def put(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with a table at a path of keys: in its place, or at the end.

    Raises:
        ValidationFailed: it stands there in a form that cannot be changed as text.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [f"[{'.'.join(map(_key, path))}]", *(f"{_key(name)} = {_value(one)}" for name, one in value.items())]
    if not is_there(read(text), path):
        table = end.join(lines)
        if not text:
            return f"{table}{end}"
        return f"{text}{end}{table}{end}" if text.endswith("\n") else f"{text}{end}{end}{table}"
    first, *others = _blocks(text, path)
    last = "" if first.end == len(text) and not text.endswith("\n") else end
    for block in reversed(others):
        text = text[: block.start] + text[block.end :]
    return text[: first.start] + end.join(lines) + last + text[first.end :]


def drop(text: str, path: Sequence[str]) -> str:
    """The text without a table, and without the blank line before it."""
    if not is_there(read(text), path):
        return text
    for block in reversed(_blocks(text, path)):
        before, behind = text[: block.start], text[block.end :]
        if before.endswith(("\n\n", "\n\r\n")) or not before.strip("\r\n"):
            before = _without_line_end(before)
        if not behind and not text.endswith("\n"):
            before = _without_line_end(before)
        text = before + behind
    return text


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
    headers = list(_headers(text))
    found = [
        Block(start, _end(text, end, headers[number + 1][0] if number + 1 < len(headers) else len(text), key))
        for number, (start, end, key) in enumerate(headers)
        if list(key[: len(path)]) == list(path)
    ]
    if not found:
        raise ValidationFailed(
            f"{'.'.join(path)} stands in it without a [table] of its own, so it cannot be changed safely.",
            next="Change it by hand, or write it as a [table].",
        )
    return found


def _headers(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for match in _HEADER.finditer(text):
        if (key := _keys(match[1])) is not None and _parsed(text[: match.start()]) is not None:
            yield match.start(), match.end(), key


def _keys(header: str) -> tuple[str, ...] | None:
    data, keys = _parsed(f"[{header}]"), list[str]()
    if data is None:
        return None
    while data:
        (key,) = data
        keys.append(key)
        data = data[key]
    return tuple(keys)


def _end(text: str, start: int, limit: int, key: Sequence[str]) -> int:
    """Behind the last line that says something of a table: comments after it may be about what comes next."""
    whole = _at(_parsed(text[:limit]), key)
    at = start
    while True:
        at = text.find("\n", at, limit) + 1 or limit
        if at == limit or repr(_at(_parsed(text[:at]), key)) == repr(whole):
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


def _value(value: Any) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case dict():
            members = cast("dict[str, Any]", value)
            return f"{{ {', '.join(f'{_key(name)} = {_value(one)}' for name, one in members.items())} }}"
        case list() | tuple():
            return f"[{', '.join(map(_value, cast('Sequence[Any]', value)))}]"
        case bool() | int():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case _:
            return repr(value)
