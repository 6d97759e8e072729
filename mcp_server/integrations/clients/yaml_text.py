"""YAML files: lines are added, replaced or taken away where PyYAML says that things stand, so that all others stay.

Servers are a mapping by name, or a list of mappings that each hold their `name`. What stands in braces is left alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from mcp_server.kernel.errors import ValidationFailed

_YAML: Any = yaml
"""For what its stubs do not tell the types of."""
_BROKEN = "Correct it, or take it out of the way, and run the command again."
_BY_HAND = "Write it in lines of its own, or add the server by hand."


class Part(NamedTuple):
    """One server: its name, and from where to where its lines stand."""

    name: str
    start: int
    end: int


class Servers(NamedTuple):
    """Where the servers are: the line of their key, and theirs.

    Attributes:
        start: of the key's line.
        value: where the value begins.
        end: behind the last line.
        indent: of each server.
        parts: them.
    """

    start: int
    value: int
    end: int
    indent: int
    parts: list[Part]

    def part(self, name: str) -> Part | None:
        """One of them."""
        return next((part for part in self.parts if part.name == name), None)


def read(text: str) -> Any:
    """What a text holds; nothing is an empty mapping.

    Raises:
        ValidationFailed: it is no YAML of plain data.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValidationFailed(f"It is no YAML of plain data: {said}.", next=_BROKEN) from None
    return {} if data is None else data


def put(text: str, path: Sequence[str], value: Mapping[str, Any], *, in_list: bool = False) -> str:
    """The text with a server: in its place, or behind the others.

    Raises:
        ValidationFailed: the servers stand there in a form that cannot be changed line by line.
    """
    key, name = path
    end = "\r\n" if "\r\n" in text else "\n"
    said = [dict(value)] if in_list else {name: dict(value)}
    servers = _servers(text, key, in_list=in_list)
    if servers is None:
        return _behind(text, len(text), [f"{key}:", *_lines(said, 2)], end)
    lines = _lines(said, servers.indent)
    part = servers.part(name)
    return _behind(*_opened(text, servers), lines, end) if part is None else _instead(text, part, lines, end)


def _instead(text: str, part: Part, lines: Sequence[str], end: str) -> str:
    last = end if text[: part.end].endswith("\n") else ""
    return text[: part.start] + end.join(lines) + last + text[part.end :]


def drop(text: str, path: Sequence[str], *, in_list: bool = False) -> str:
    """The text without a server, and without the key of servers where it was the only one."""
    key, name = path
    servers = _servers(text, key, in_list=in_list)
    part = None if servers is None else servers.part(name)
    if servers is None or part is None:
        return text
    before = text[: part.start if len(servers.parts) > 1 else servers.start]
    return (before if text[: part.end].endswith("\n") else _without_line_end(before)) + text[part.end :]


def _without_line_end(text: str) -> str:
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _behind(text: str, at: int, lines: Sequence[str], end: str) -> str:
    """The text with lines behind a position; whether a line end follows the last stays as it was."""
    said = end.join(lines)
    is_line_start = not at or text[:at].endswith("\n")
    return f"{text[:at]}{said}{end}{text[at:]}" if is_line_start else f"{text[:at]}{end}{said}{text[at:]}"


def _lines(value: Any, indent: int) -> list[str]:
    said = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**20)
    return [f"{' ' * indent}{line}" for line in said.splitlines()]


def _servers(text: str, key: str, *, in_list: bool) -> Servers | None:
    """Where the servers stand; None where their key is not there."""
    root = _YAML.compose(text, yaml.SafeLoader)
    found = [pair for pair in _members(root) if pair[0].value == key]
    if not found:
        return None
    if len(found) > 1:
        raise ValidationFailed(f"{key!r} stands in it {len(found)} times.", next=_BROKEN)
    return _of(text, *found[0], in_list=in_list)


def _members(root: Any) -> list[tuple[Any, Any]]:
    if root is None:
        return []
    if root.id == "mapping" and not root.flow_style:
        return root.value
    raise ValidationFailed("It is no mapping in lines of its own.", next=_BY_HAND)


def _of(text: str, name: Any, node: Any, *, in_list: bool) -> Servers:
    start, value = _line_start(text, name.start_mark.index), node.start_mark.index
    if _is_nothing(node):
        return Servers(start, value, node.end_mark.index, name.start_mark.column + 2, [])
    if node.id != ("sequence" if in_list else "mapping") or node.flow_style:
        raise ValidationFailed(f"{name.value!r} in it has another form than this client's servers.", next=_BY_HAND)
    parts = _items(text, node) if in_list else _pairs(text, node)
    return Servers(start, value, parts[-1].end, node.start_mark.column, parts)


def _is_nothing(node: Any) -> bool:
    return node.tag == "tag:yaml.org,2002:null" or node.value == []


def _pairs(text: str, node: Any) -> list[Part]:
    return [
        Part(str(key.value), _line_start(text, key.start_mark.index), _line_end(text, key, value))
        for key, value in node.value
    ]


def _items(text: str, node: Any) -> list[Part]:
    return [Part(_name(one), _line_start(text, _dash(text, one)), _line_end(text, one, one)) for one in node.value]


def _dash(text: str, node: Any) -> int:
    return text.rfind("-", 0, node.start_mark.index)


def _name(node: Any) -> str:
    members: list[Any] = node.value if node.id == "mapping" else []
    return next((str(value.value) for key, value in members if key.value == "name"), "")


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, holder: Any, node: Any) -> int:
    """Behind the line in which a value ends. A collection in lines of its own ends where its last value does, and an
    alias, whose marks are those of what it stands for, with its key."""
    while node.start_mark.index >= holder.start_mark.index and _has_lines(node):
        holder, node = node.value[-1] if node.id == "mapping" else (node, node.value[-1])
    at = max(holder.start_mark.index, node.end_mark.index)
    return at if text[:at].endswith("\n") else text.find("\n", at) + 1 or len(text)


def _has_lines(node: Any) -> bool:
    return node.id != "scalar" and bool(node.value) and not node.flow_style


def _opened(text: str, servers: Servers) -> tuple[str, int]:
    """The text without the nothing that stands for no servers, and where new ones go."""
    if servers.parts:
        return text, servers.end
    text = text[: servers.value].rstrip(" ") + text[servers.end :]
    return text, text.find("\n", servers.start) + 1 or len(text)
