"""Names with what belongs to each, in the forms in which other programs have them."""

from collections.abc import Collection
from typing import Any, cast

from mcp_server.kernel.shapes import Shape


def by_name(item: Shape, value: Any) -> Any:
    """An object of objects by their names as a list of objects that have names."""
    members: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if "name" not in item.required or not _are_objects(members.values()) or members.keys() & item.members.keys():
        return cast("Any", value)
    return [{"name": name} | one for name, one in members.items()]


def _are_objects(values: Collection[Any]) -> bool:
    return bool(values) and all(isinstance(one, dict) for one in values)


def pairs(listed: list[Any]) -> Any:
    """`["NAME=value"]` as Docker's files have it, and `[{"name": "NAME", "value": "value"}]` as those of Kubernetes, as
    an object."""
    if listed and all(isinstance(one, str) and "=" in one for one in listed):
        return dict(str(one).split("=", 1) for one in listed)
    has_names = listed and all(isinstance(one, dict) and "name" in one for one in listed)
    return _by_names(listed) if has_names else only(listed)


def only(value: Any) -> Any:
    """What a list of one holds; anything else as it is."""
    listed: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    return listed[0] if len(listed) == 1 else cast("Any", value)


def _by_names(listed: list[dict[str, Any]]) -> Any:
    """Names and values as an object; as they are where they are more than that."""
    is_plain = all(one.keys() == {"name", "value"} and isinstance(one["name"], str) for one in listed)
    return {one["name"]: one["value"] for one in listed} if is_plain else listed
