"""The formats of clients' files: read, put one server, drop one. Nothing but that server ever changes: what
comes out is read again and compared, and else the file is left alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, cast

from mcp_server.kernel.errors import ValidationFailed

Entries = dict[str, dict[str, Any]]


class Format(NamedTuple):
    """How files of one kind are read and changed; `put` and `drop` take a text and a path of keys."""

    read: Callable[[str], Any]
    put: Callable[[str, Sequence[str], Mapping[str, Any]], str]
    drop: Callable[[str, Sequence[str]], str]
    in_list: bool = False


def format_of(name: str) -> Format:
    """One of `json`, `jsonc`, `toml`, `yaml`, `yaml list`."""
    if name.startswith("json"):
        module = import_module("mcp_server.integrations.clients.jsonc")
        return Format(module.read if name == "jsonc" else module.read_strictly, module.put, module.drop)
    if name == "toml":
        module = import_module("mcp_server.integrations.clients.toml_text")
        return Format(module.read, module.put, module.drop)
    module = import_module("mcp_server.integrations.clients.yaml_text")  # PyYAML takes a while
    in_list = name == "yaml list"
    return Format(module.read, partial(module.put, in_list=in_list), partial(module.drop, in_list=in_list), in_list)


def entries(format_: Format, data: Any, path: Sequence[str]) -> Entries:
    """The servers in what a file holds, by name.

    Raises:
        ValidationFailed: something else stands in their place.
    """
    for key in path:
        if not isinstance(data, dict):
            raise ValidationFailed(f"It holds no keys where {key!r} belongs.", next="Correct it, or take it away.")
        data = cast("dict[str, Any]", data).get(key)
    if data is None:
        return {}
    if not isinstance(data, list if format_.in_list else dict):
        raise ValidationFailed(f"{'.'.join(path)!r} in it holds something else.", next="Correct it, or take it away.")
    named = _by_name(cast("list[Any]", data)) if format_.in_list else cast("dict[str, Any]", data)
    return {name: cast("dict[str, Any]", entry) for name, entry in named.items() if isinstance(entry, dict)}


def _by_name(items: list[Any]) -> dict[str, Any]:
    maps = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    return {str(item["name"]): item for item in maps if "name" in item}


def changed(format_: Format, text: str, path: Sequence[str], name: str, entry: Mapping[str, Any] | None) -> str:
    """The text with a server, or without it where there is no entry.

    Raises:
        ValidationFailed: it cannot be changed so that all else stays.
    """
    before = format_.read(text)
    after = format_.drop(text, (*path, name)) if entry is None else format_.put(text, (*path, name), entry)
    try:
        now = format_.read(after)
        there = entries(format_, now, path).get(name)
        is_well = there == entry and _others(format_, before, path, name) == _others(format_, now, path, name)
    except ValidationFailed:
        is_well = False
    if not is_well:
        raise ValidationFailed(
            "It is written in a way that cannot be changed without touching something else, so it was left alone.",
            next="Add or take away the server by hand.",
        )
    return after


def _others(format_: Format, data: Any, path: Sequence[str], name: str) -> str:
    """All that a file holds, but one server and what is empty without it; told apart in order and type, too.

    The data is used up: a copy of a large file takes longer than all the rest.
    """
    root = {"": data}
    way: list[dict[str, Any]] = [root]
    for key in ("", *path[:-1]):
        below = way[-1].get(key)
        if not isinstance(below, dict):
            return repr(root)
        way.append(cast("dict[str, Any]", below))
    servers = way[-1].get(path[-1])
    if isinstance(servers, list):
        way[-1][path[-1]] = [one for one in cast("list[Any]", servers) if name not in _by_name([one])]
    elif isinstance(servers, dict):
        cast("dict[str, Any]", servers).pop(name, None)
    for holder, key in zip(reversed(way[1:]), reversed(path), strict=True):
        if key in holder and not holder[key]:
            del holder[key]
    return repr(root)
