"""Merge patches that would do to a document what is hardly meant. RFC 7386 takes each name for a member's name, so
`limits.max` and `/limits/max` would stand beside what was meant, and an object in place of a list would lose it: such a
patch is refused, with the one that does what was meant where that is known."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mcp_server.domain.state.operators import (
    Step,
    as_merge_patch,
    operation_of,
    parts_of,
)
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.json_pointers import pointer_to
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.json_tools import PatchOperation, json_patch
from mcp_server.kernel.numbers import is_number
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.wording import call_of

SHOWN_CHARACTERS_MAX = 2000
"""So long a patch is shown whole."""
_ADDED = re.compile(r"\s*([+-]=?)\s*(\d{1,15}(?:\.\d{1,15})?)\s*")
_LITERAL = "json_patch writes it as it stands, where that is meant"


class Amiss(NamedTuple):
    """What a patch would do that is hardly meant: where, why, and the step that is."""

    said: str
    step: Step


def require_meant(where: Mapping[str, Any], patch: Mapping[str, Any], value: Any) -> None:
    """Refuse a merge patch that would write names in which a path of the document stands, a sum as text where a number
    stands, or an object where a list does.

    Args:
        where: the rest of the call, for the one that would do.
        patch: the patch.
        value: the document.

    Raises:
        ValidationFailed: with the patch that does what was meant.
    """
    amiss = next(_amiss(patch, value, ()), None)
    if amiss is None:
        return
    right = _instead(patch, value)
    call = f" Right would be: {call_of('state_patch', {**where, **right})}." if right is not None else ""
    raise ValidationFailed(f"merge_patch: {amiss.said}.", next=f"Nothing was changed.{call} {_LITERAL}.")


def _amiss(patch: Mapping[str, Any], value: Any, above: tuple[str, ...]) -> Iterator[Amiss]:
    """What is hardly meant in a patch, in order."""
    held = _members(value)
    for name, new in patch.items():
        if isinstance(new, dict) and isinstance(held.get(name), dict):
            yield from _amiss(cast("dict[str, Any]", new), held[name], (*above, name))
        else:
            yield from _amiss_at(name, new, held, above)


def _amiss_at(name: str, new: Any, held: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[Amiss]:
    """What is hardly meant of one member that is not merged."""
    old, path = held.get(name), (*above, name)
    if name not in held:
        meant = _meant_path(name, held)
        if meant is not None:
            yield _a_path(name, (*above, *meant), new, member_of(held, meant))
    elif isinstance(new, dict) and isinstance(old, list):
        yield from _into_a_list(cast("dict[str, Any]", new), cast("list[Any]", old), path)
    elif is_number(old) and isinstance(new, str) and (found := _ADDED.fullmatch(new)) is not None:
        yield _a_sum(found, new, old, path)


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _meant_path(name: str, held: Mapping[str, Any]) -> list[str] | None:
    """The path that a name stands for, where the document has what it leads into, and no names like that itself."""
    mark = "/" if name.startswith("/") else "[" if name.endswith("]") else "."
    if mark not in name or any(mark in one for one in held):
        return None
    parts = parts_of(name)
    if len(parts) == 1:
        return parts if parts[0] in held else None
    above = member_of(held, parts[:-1]) if "" not in parts else None
    return parts if isinstance(above, (dict, list)) else None


def member_of(value: Any, path: Sequence[str]) -> Any:
    """What stands at a path; None where nothing does."""
    for part in path:
        if isinstance(value, list):
            items, at = cast("list[Any]", value), int(part) if part.isdecimal() else -1
            value = items[at] if 0 <= at < len(items) else None
        else:
            value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
    return value


def _a_path(name: str, path: tuple[str, ...], new: Any, old: Any) -> Amiss:
    stands = "" if old is None else f", and {_pointer_said(path)} stays as it is"
    said = f"{quoted(name)} would be a member of that very name{stands}"
    return Amiss(said, Step("take" if new is None else "set", path, new))


def _into_a_list(new: Mapping[str, Any], old: Sequence[Any], path: tuple[str, ...]) -> Iterator[Amiss]:
    said = (
        f"{_pointer_said(path)} is a list of {len(old)}, which an object would replace; json_patch changes an item by "
        "its number"
    )
    if new and all(name.isdecimal() and int(name) < len(old) for name in new):
        yield from (Amiss(said, Step("set", (*path, name), one)) for name, one in new.items())
    else:
        yield Amiss(said, Step("other", path))


def _a_sum(found: re.Match[str], new: str, old: Any, path: tuple[str, ...]) -> Amiss:
    said = f"{_pointer_said(path)} is the number {dump_json(old)}, which the text {quoted(new)} would replace"
    number = float(found[2]) if "." in found[2] else int(found[2])
    is_unclear = found[1] == "-"  # a number below 0, or what is taken off
    return Amiss(said, Step("other" if is_unclear else "add", path, -number if "-" in found[1] else number))


def _pointer_said(path: Sequence[str]) -> str:
    return named(pointer_to(path))


def _instead(patch: Mapping[str, Any], value: Any) -> dict[str, Any] | None:
    """The arguments that do what a patch means; None where that is not known, or would not fit the document."""
    steps = list(_steps_in(patch, value))
    ways = {step.way for step in steps}
    if "other" in ways or len(dump_json(dict(patch))) > SHOWN_CHARACTERS_MAX:
        return None
    if ways <= {"set", "take"} and not any(_is_in_a_list(step, value) for step in steps):
        return as_merge_patch(steps) or None
    return _as_json_patch(steps, value)


def _is_in_a_list(step: Step, value: Any) -> bool:
    return isinstance(member_of(value, step.path[:-1]), list)


def _as_json_patch(steps: Sequence[Step], value: Any) -> dict[str, Any] | None:
    """The steps as operations, where they fit; an item of a list is changed, and none put in before it."""
    replaced = {"op": "replace"}
    operations = [
        operation_of(one) | (replaced if one.way == "set" and _is_in_a_list(one, value) else {}) for one in steps
    ]
    try:
        json_patch(value, [PatchOperation.model_validate(one) for one in operations])
    except OpsError:
        return None
    return {"json_patch": operations}


def _steps_in(patch: Mapping[str, Any], value: Any, above: tuple[str, ...] = ()) -> Iterator[Step]:
    """What a patch means for a document."""
    held = _members(value)
    for name, new in patch.items():
        if isinstance(new, dict) and isinstance(held.get(name), dict):
            yield from _steps_in(cast("dict[str, Any]", new), held[name], (*above, name))
            continue
        meant = [one.step for one in _amiss_at(name, new, held, above)]
        yield from meant or [Step("take" if new is None else "set", (*above, name), new)]
