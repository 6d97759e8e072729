"""What a refused write and what stands in its way differ by, and whose change each difference is."""

import json
from collections.abc import Sequence
from typing import Any

from mcp_server.kernel.json_tools import differences

_DIFFERENCES_MAX = 50


def sides(theirs: str, mine: str | None, base: str | None) -> dict[str, Any]:
    """What a conflict is about, found out once the transaction is over.

    Args:
        theirs: the value there is.
        mine: the value that was to be written, if it was one.
        base: the value that the caller started from, where that is known.
    """
    current = json.loads(theirs)
    if mine is None:
        return {"current_value": current}
    wanted = json.loads(mine)
    told: list[dict[str, Any]] = [
        {"op": change.op, "path": change.path} for change in differences(current, wanted, _DIFFERENCES_MAX)
    ]
    if base is not None:
        known = json.loads(base)
        theirs_at, yours_at = _paths(known, current), _paths(known, wanted)
        if max(len(theirs_at), len(yours_at)) < _DIFFERENCES_MAX:  # else not all of either are known
            told = [one | {"changed_by": _whose(one["path"], theirs_at, yours_at)} for one in told]
    return {"current_value": current, "differences": told}


def _paths(old: Any, new: Any) -> list[str]:
    return [change.path for change in differences(old, new, _DIFFERENCES_MAX)]


def _whose(path: str, theirs: Sequence[str], yours: Sequence[str]) -> str:
    """Who changed what stands at a path, or something within or around it."""
    is_theirs, is_yours = (any(_meet(path, one) for one in paths) for paths in (theirs, yours))
    return "both" if is_theirs and is_yours else "them" if is_theirs else "you"


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
