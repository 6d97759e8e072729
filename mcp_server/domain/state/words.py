"""Arguments of documents as other stores have them: a patch under the other's name, `nx`, a life of no time."""

from typing import Any, cast

from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.together import meant

_NEW_ONLY = ("nx", "if_absent", "if_not_exists", "only_if_absent", "create_only")


def require_our_words(said: dict[str, Any]) -> None:
    """Refuse what other stores call otherwise, where leaving it out would do more, or less, than is meant."""
    new_only = next((name for name in _NEW_ONLY if said.get(name) is True), None)
    if new_only is not None and said.get("expected_version") in (None, 0):
        raise meant(
            f"{new_only}: there is no such argument; expected_version=0 writes only where there is no such document.",
            **{new_only: None},
            expected_version=0,
        )
    seconds = said.get("ttl_seconds")
    if is_number(seconds) and seconds <= 0:
        raise meant(
            f"ttl_seconds: {seconds:g} is not accepted; it takes seconds over 0. Without it the document stays; "
            "delete=true takes it away.",
            ttl_seconds=None,
        )


_OF_STEPS = frozenset(("op", "path", "from", "value", "minimum"))


def by_its_patch(given: dict[str, Any]) -> dict[str, Any]:
    """A patch under the name of the other one: a list of operations is a JSON patch, and members are a merge patch."""
    merge, steps = given.get("merge_patch"), given.get("json_patch")
    if steps is None:
        return _by_steps(given, merge)
    members = _members_in(steps) if merge is None else None
    if members:
        raise meant(
            "json_patch is a list of operations. merge_patch takes members as they are to be, and leaves the others; "
            "state_set replaces the whole document.",
            merge_patch=members,
            json_patch=None,
        )
    return given


def _by_steps(given: dict[str, Any], merge: Any) -> dict[str, Any]:
    if isinstance(merge, list) and merge and all(map(_is_step, cast("list[Any]", merge))):
        return {name: value for name, value in given.items() if name != "merge_patch"} | {"json_patch": merge}
    if _is_step(merge):
        raise meant("merge_patch takes members, and that is an operation of json_patch.", **_as_steps([merge]))
    return given


def _as_steps(steps: Any) -> dict[str, Any]:
    return {"merge_patch": None, "json_patch": steps}


def _members_in(steps: Any) -> dict[str, Any] | None:
    """The members of a document where operations are to stand, or the `value` that was given beside no operation."""
    only = cast("list[Any]", steps)[0] if isinstance(steps, list) and len(cast("list[Any]", steps)) == 1 else None
    said: dict[str, Any] = cast("dict[str, Any]", only) if isinstance(only, dict) else {}
    if said.keys() & {"op", "operation", "path", "from"}:
        return None
    inner = said.get("value")
    return cast("dict[str, Any]", inner) if said.keys() == {"value"} and isinstance(inner, dict) else said


def _is_step(value: Any) -> bool:
    """Whether a value is an operation, and not members that are called so by chance."""
    said: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    path = said.get("path")
    is_pointer = isinstance(path, str) and (path == "" or path.startswith("/"))
    return {"op", "path"} <= said.keys() <= _OF_STEPS and is_pointer
