"""YAML files: lines are added, replaced or taken away where PyYAML says that things stand, so that all others stay.

Servers are a mapping by name, or a list of mappings that each hold their `name`. What stands in braces is left alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from mcp_server.kernel.errors import ValidationFailed

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


def read(text: str) -> Any:
    """What a text holds; nothing is an empty mapping.

    Raises:
        ValidationFailed: it is no YAML of plain data.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
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
    servers = _servers(text, key, in_list=in_list)
    lines = _lines([dict(value)] if in_list else {name: dict(value)}, 2 if servers is None else servers.indent)
    if servers is None:
        return _behind(text, len(text), [f"{key}:", *lines], end)
    for part in servers.parts:
        if part.name == name:
            last = end if text[: part.end].endswith("\n") else ""
            return text[: part.start] + end.join(lines) + last + text[part.end :]
    if not servers.parts:
        text, at = _opened(text, servers)
        return _behind(text, at, lines, end)
    return _behind(text, servers.end, lines, end)


def drop(text: str, path: Sequence[str], *, in_list: bool = False) -> str:
    """The text without a server, and without the key of servers where it was the only one."""
    key, name = path
    servers = _servers(text, key, in_list=in_list)
    for part in () if servers is None else servers.parts:
        if part.name != name:
            continue
        start = servers.start if servers is not None and len(servers.parts) == 1 else part.start
        before = text[:start]
        if part.end == len(text) and not text.endswith("\n"):
            before = before[:-2] if before.endswith("\r\n") else before.removesuffix("\n")
        return before + text[part.end :]
    return text


def _behind(text: str, at: int, lines: Sequence[str], end: str) -> str:
    """The text with lines behind a position; whether a line end follows the last stays as it was."""
    said = end.join(lines)
    if at and not text[:at].endswith("\n"):
        return f"{text[:at]}{end}{said}{text[at:]}"
    return f"{text[:at]}{said}{end}{text[at:]}"


def _lines(value: Any, indent: int) -> list[str]:
    said = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**20)
    return [f"{' ' * indent}{line}" for line in said.splitlines()]


def _servers(text: str, key: str, *, in_list: bool) -> Servers | None:
    """Where the servers stand; None where their key is not there."""
    root = yaml.compose(text, yaml.SafeLoader)
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise ValidationFailed("It is no mapping in lines of its own.", next=_BY_HAND)
    found = [(name, node) for name, node in root.value if name.value == key]
    if len(found) > 1:
        raise ValidationFailed(f"{key!r} stands in it {len(found)} times.", next=_BROKEN)
    if not found:
        return None
    name, node = found[0]
    return _of(text, name, node, in_list=in_list)


def _of(text: str, name: yaml.Node, node: yaml.Node, *, in_list: bool) -> Servers:
    start, value = _line_start(text, name.start_mark.index), node.start_mark.index
    if _is_nothing(node):
        return Servers(start, value, node.end_mark.index, name.start_mark.column + 2, [])
    kind = yaml.SequenceNode if in_list else yaml.MappingNode
    if not isinstance(node, kind) or node.flow_style:
        raise ValidationFailed(f"{name.value!r} in it has another form than this client's servers.", next=_BY_HAND)
    parts = [_item(text, one) if in_list else _pair(text, *one) for one in node.value]
    return Servers(start, value, parts[-1].end, node.start_mark.column, parts)


def _is_nothing(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null" or node.value == []


def _pair(text: str, key: yaml.Node, node: yaml.Node) -> Part:
    return Part(str(key.value), _line_start(text, key.start_mark.index), _line_end(text, key, node))


def _item(text: str, node: yaml.Node) -> Part:
    names = [value.value for key, value in node.value if key.value == "name"] if _is_mapping(node) else []
    dash = text.rfind("-", 0, node.start_mark.index)
    return Part(names[0] if names else "", _line_start(text, dash), _line_end(text, node, node))


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, holder: yaml.Node, node: yaml.Node) -> int:
    """Behind the line in which a value ends. A collection in lines of its own ends where its last value does, and an
    alias, whose marks are those of what it stands for, with its key."""
    while node.start_mark.index >= holder.start_mark.index:
        if not isinstance(node, yaml.CollectionNode) or not node.value or node.flow_style:
            break
        last = node.value[-1]
        holder, node = last if isinstance(last, tuple) else (node, last)
    at = max(holder.start_mark.index, node.end_mark.index)
    return at if text[:at].endswith("\n") else text.find("\n", at) + 1 or len(text)


def _opened(text: str, servers: Servers) -> tuple[str, int]:
    """The text without the nothing that stands for no servers, and where its line ends."""
    text = text[: servers.value].rstrip(" ") + text[servers.end :]
    return text, text.find("\n", servers.start) + 1 or len(text)
