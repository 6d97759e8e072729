"""`resource_link`: where clients of today read on about what a call made.

Clients of before either do not know links or hand them on to models' vendors, who refuse them; so they get none.
"""

from collections.abc import Mapping
from functools import cache
from itertools import islice
from string import Formatter
from typing import Any, NamedTuple, cast
from urllib.parse import quote

LINKS_MAX = 5
_SINCE = "2026-07-28"


class Made(NamedTuple):
    """Which member of a tool's result is what it made, and its URI."""

    member: str
    uri: str


_MADE = {
    "agents_register": Made("agent", "ops://agents/{id}"),
    "tasks_create": Made("tasks", "ops://tasks/{id}"),
    "state_set": Made("document", "ops://state/{namespace}/{key}"),
    "state_patch": Made("document", "ops://state/{namespace}/{key}"),
    "email_send": Made("email", "ops://emails/{id}"),
    "approvals_request": Made("approval", "ops://approvals/{id}"),
    "deployments_define": Made("deployment", "ops://deployments/{id}"),
}


def linked(protocol_version: str, tool: str, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Links to what a tool made, by its structured result: the first few of many."""
    made = _MADE.get(tool)
    if made is None or protocol_version < _SINCE:
        return []
    found = content.get(made.member)
    things = cast("list[dict[str, Any]]", found if isinstance(found, list) else [found])
    return [_link(made, thing) for thing in islice(filter(_exists, things), LINKS_MAX)]


def _exists(thing: Mapping[str, Any] | None) -> bool:
    """Whether there is something to read: a dry run makes nothing."""
    return thing is not None and bool(thing.get("id") or thing.get("key"))


@cache
def _names(uri: str) -> tuple[str, ...]:
    """The members that a template takes."""
    return tuple(name for _, name, _, _ in Formatter().parse(uri) if name)


def _link(made: Made, thing: Mapping[str, Any]) -> dict[str, Any]:
    uri = made.uri.format_map({name: quote(thing[name]) for name in _names(made.uri)})
    return {"type": "resource_link", "uri": uri, "name": uri.rpartition("/")[2], "mimeType": "application/json"}
