"""The formats of clients' files: read, put one server, drop one. Nothing but that server ever changes: what
comes out is read again and compared, and else the file is left alone."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
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
    """The servers in what a file holds, by name; what says nothing that is known counts as one, too.

    Raises:
        ValidationFailed: something else stands in their place.
    """
    named = _by_name if format_.in_list else _map
    try:
        servers = named(reduce(lambda found, key: _map(found).get(key), path, data))
    except TypeError:
        where = f"{'.'.join(path)!r} in it"
        raise ValidationFailed(f"{where} does not hold servers.", next="Correct it, or take it away.") from None
    return {name: _entry(said) for name, said in servers.items()}


def _entry(said: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _map(data: Any) -> dict[str, Any]:
    """A mapping; nothing counts as an empty one."""
    if data is None or isinstance(data, dict):
        return cast("dict[str, Any]", data or {})
    raise TypeError


def _by_name(data: Any) -> dict[str, Any]:
    if data is None or isinstance(data, list):
        return {_name(item): item for item in cast("list[Any]", data or [])}
    raise TypeError


def _name(item: Any) -> str:
    return str(cast("dict[str, Any]", item).get("name")) if isinstance(item, dict) else ""


def changed(format_: Format, text: str, path: Sequence[str], name: str, entry: Mapping[str, Any] | None) -> str:
    """The text with a server, or without it where there is no entry.

    Raises:
        ValidationFailed: it cannot be changed so that all else stays.
    """
    whole = (*path, name)
    with not_too_deep():
        before = format_.read(text)
        after = format_.drop(text, whole) if entry is None else format_.put(text, whole, entry)
        if _is_well(format_, before, after, whole, entry):
            return after
    raise ValidationFailed(
        "It is written in a way that cannot be changed without touching something else, so it was left alone.",
        next="Add or take away the server by hand.",
    )


@contextmanager
def not_too_deep() -> Generator[None]:
    """Refuse what is nested deeper than Python can follow; how deep that is depends on who asks."""
    try:
        yield
    except RecursionError:
        raise ValidationFailed(
            "It is nested too deeply to be changed safely.", next="Add the server by hand."
        ) from None


def _is_well(format_: Format, before: Any, after: str, whole: Sequence[str], entry: Mapping[str, Any] | None) -> bool:
    """Whether the server is as wanted, and all else as before, in order and type, too."""
    try:
        now = format_.read(after)
        there = entries(format_, now, whole[:-1]).get(whole[-1])
    except ValidationFailed:
        return False
    return there == entry and repr(_without(before, whole)) == repr(_without(now, whole))


def _without(data: Any, path: Sequence[str]) -> Any:
    """All that a file holds, but one server and what is empty without it."""
    if isinstance(data, list):
        return [item for item in cast("list[Any]", data) if _name(item) != path[0]]
    return _map_without(cast("dict[str, Any]", data), *path) if isinstance(data, dict) else data


def _map_without(members: dict[str, Any], key: str, *path: str) -> dict[str, Any]:
    below = _without(members.get(key), path) if path else None
    if below:
        return {**members, key: below}
    return {one: value for one, value in members.items() if one != key}
