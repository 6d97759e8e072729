"""The hooks in a client's own file: ours come and go beside whatever others have there, and all else stays."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mcp_server.integrations.clients.changing import Change
from mcp_server.integrations.clients.files import decoded, encoded
from mcp_server.integrations.clients.formats import format_of, not_too_deep
from mcp_server.integrations.clients.hook_files import HookFile, as_list, commands_of
from mcp_server.integrations.clients.jsonc import BROKEN, drop, put
from mcp_server.kernel.errors import Conflict, OpsError, ValidationFailed

_OURS = re.compile(r"(data-mcp-server-agent(\.exe)?|-m mcp_server)['\"]?\s+hook\s")

_NAMES = re.compile(rb"data-mcp-server-agent|mcp_server")
"""Without one of these none of ours can be in a file, whatever else is wrong with it."""
_VERSION = {"version": 1}
"""What a file may need beside hooks."""

Groups = Mapping[str, Sequence[Any]]
"""What stands under each event."""


def hooked(file: HookFile, path: Path, before: bytes | None, wanted: Mapping[str, Any]) -> Change:
    """The file with our hooks as they should be. Of one that runs the wanted commands, what a person changed stays.

    Args:
        file: of which client.
        path: of it.
        before: what it holds.
        wanted: what a file with nothing but our hooks holds.

    Raises:
        OpsError: it has to be left alone; why.
    """
    with not_too_deep():
        text = decoded(before)
        data = _read(file, text)
        now = ours(data)
        groups = {event: _kept(now.get(event, []), list(there)) for event, there in wanted["hooks"].items()}
        beside = {key: value for key, value in wanted.items() if key != "hooks"}
        after = text
        for key in beside.keys() - data.keys():
            after = put(after, (key,), beside[key])
        after = _with(after, now, groups)
        _require_well(file, text, after, groups, beside)
    return Change(path, before, before if after == text else encoded(after, before), "hooks", groups, "hooks")


def unhooked(file: HookFile, path: Path, before: bytes | None, copies: Sequence[bytes]) -> Change:
    """The file without our hooks: as it was before, where nothing else has changed since.

    Args:
        file: of which client.
        path: of it.
        before: what it holds.
        copies: what it held before, the newest first; before all of them there may have been no file.

    Raises:
        OpsError: it has to be left alone; why.
    """
    with not_too_deep():
        now = ours_in(file, before) if _NAMES.search(before or b"") else {}
        after = _as_it_was(file, before, copies, now) if now else before
    return Change(path, before, after, "hooks", None, "hooks")


def _as_it_was(file: HookFile, before: bytes | None, copies: Sequence[bytes], now: Groups) -> bytes | None:
    text = decoded(before)
    wanted = {**_VERSION, "hooks": now} if "version" in _read(file, text) else {"hooks": now}
    for copy in (*copies, None):
        if _leads_to(file, copy, before, wanted):
            return copy
    without = _with(text, now, {})
    _require_well(file, text, without, {}, {})
    return encoded(without, before)


def ours(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Our hooks in what a file holds.

    Raises:
        Conflict: one of them stands in one group with another's.
    """
    return {event: list(found.values()) for event, found in _placed(data).items()}


def ours_in(file: HookFile, data: bytes | None) -> dict[str, list[Any]]:
    """Our hooks in a file.

    Raises:
        OpsError: it cannot be read as the client reads it.
    """
    with not_too_deep():
        return ours(_read(file, decoded(data)))


def _read(file: HookFile, text: str) -> dict[str, Any]:
    data = format_of(file.format).read(text)
    return _map(data, "It")


def _map(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValidationFailed(f"{what} is no JSON object.", next=BROKEN)
    return cast("dict[str, Any]", data)


def _placed(data: Mapping[str, Any]) -> dict[str, dict[int, Any]]:
    """Our hooks by event and place."""
    hooks = _map(data.get("hooks", {}), "'hooks' in it")
    found = {event: _among(event, as_list(groups)) for event, groups in hooks.items()}
    return {event: places for event, places in found.items() if places}


def _among(event: str, groups: list[Any]) -> dict[int, Any]:
    return {place: group for place, group in enumerate(groups) if _is_ours(event, group)}


def _is_ours(event: str, group: Any) -> bool:
    run = [_OURS.search(command) is not None for command in commands_of(group)]
    if any(run) and not all(run):
        raise Conflict(
            f"One of our hooks for {event} stands in one group with another's.",
            next="Give each a group of its own, and try again.",
        )
    return any(run)


def _kept(now: list[Any], wanted: list[Any]) -> list[Any]:
    """What stands there, where it runs the same commands; else what is wanted."""
    same = [commands_of(group) for group in now] == [commands_of(group) for group in wanted]
    return now if same else wanted


def _with(text: str, now: Groups, groups: Groups) -> str:
    """The text with these of our hooks instead of those that it has; what is the same stays where it is."""
    for event in dict.fromkeys((*now, *groups)):
        if groups.get(event) != now.get(event):
            text = _put(text, event, groups.get(event, []))
    return text


def _put(text: str, event: str, groups: Sequence[Any]) -> str:
    """The text with these of our hooks for an event: in the places of those that are there, then behind all others."""
    data = format_of("jsonc").read(text)
    places, end = list(_placed(data).get(event, {})), len(as_list(data.get("hooks", {}).get(event)))
    free = [*places, *range(end, end + len(groups))]
    for place, group in zip(free, groups, strict=False):
        text = put(text, ("hooks", event, place), group)
    for place in reversed(places[len(groups) :]):
        text = drop(text, ("hooks", event, place))
    return text


def _leads_to(file: HookFile, copy: bytes | None, now: bytes | None, wanted: Mapping[str, Any]) -> bool:
    """Whether our hooks are all that a copy lacks: then the copy is what was there before."""
    try:
        return not ours(_read(file, decoded(copy))) and hooked(file, Path(), copy, wanted).after == now
    except OpsError:
        return False


def _require_well(file: HookFile, before: str, after: str, groups: Groups, beside: Mapping[str, Any]) -> None:
    """Refuse a change after which ours are not as wanted, or anything else is not as before, in order and type, too."""
    was, now = _read(file, before), _read(file, after)
    others = [repr(_without(data, beside)) for data in (was, now)]
    if ours(now) != groups or others[0] != others[1]:
        raise ValidationFailed(
            "It is written in a way that cannot be changed without touching something else, so it was left alone.",
            next="Add or take away the hooks by hand.",
        )


def _without(data: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    """All that a file holds, but our hooks, what is empty without them, and what they need beside them."""
    rest = {event: _all_but(data["hooks"][event], places) for event, places in _placed(data).items()}
    hooks = _full({**data.get("hooks", {}), **rest})
    return {key: value for key, value in _full({**data, "hooks": hooks}).items() if key not in beside}


def _all_but(groups: list[Any], places: Mapping[int, Any]) -> list[Any]:
    return [group for place, group in enumerate(groups) if place not in places]


def _full(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that hold something."""
    return {key: value for key, value in members.items() if value not in ([], {})}
