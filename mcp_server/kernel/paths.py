"""Texts at dotted paths in arguments, through lists: where ids and names stand."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast


def mapped(arguments: Mapping[str, Any], paths: Iterable[str], function: Callable[[str], Any]) -> dict[str, Any]:
    """The arguments with every text at one of the paths mapped; all else as it is."""
    result = dict(arguments)
    for path in paths:
        head, _, rest = path.partition(".")
        if head in result:
            result[head] = _mapped_at(result[head], rest, function)
    return result


def texts_at(arguments: Mapping[str, Any], path: str) -> list[str]:
    """The texts at a path, each once."""
    found: dict[str, None] = {}
    mapped(arguments, (path,), found.setdefault)
    return list(found)


def _mapped_at(value: Any, path: str, function: Callable[[str], Any]) -> Any:
    if isinstance(value, list):
        return [_mapped_at(item, path, function) for item in cast("list[Any]", value)]
    if path and isinstance(value, dict):
        return mapped(cast("dict[str, Any]", value), (path,), function)
    return function(value) if isinstance(value, str) and not path else value
