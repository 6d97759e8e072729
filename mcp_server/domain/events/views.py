"""What callers see of events."""

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

from mcp_server.kernel.area import Aggregate
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.views import View, short


class EventView(View):
    """One event. `data` holds the fields that changed, `about` the title of the task that it is about, where that does
    not stand there or in another event of the list."""

    seq: int
    at: str
    type: str
    aggregate_type: str
    aggregate_id: str
    about: str | None = None
    version: int | None = None
    actor: str
    correlation_id: str
    causation_seq: int | None = None
    data: dict[str, Any]


OWN_TIME = "updated_at"
"""Of what an event tells, that which is its own time."""


def event_view(row: Row, kind: Aggregate, *, whole: bool = True) -> EventView:
    """An event as callers see it, without what is hidden of its kind. Unless the whole is asked for, it is cut to what
    shows what happened: without what repeats who did it and when, or is as usual, and long values are short."""
    at = iso(row["at"])
    usual: Mapping[str, Any] = kind.usual if row["version"] == 1 else {}
    told = _told(kind.retold(json.loads(row["data"])), kind, is_first=row["version"] == 1)
    return EventView(
        seq=row["seq"],
        at=at,
        type=row["type"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        version=None if "version" in kind.hidden else row["version"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_seq=row["causation_seq"],
        data=dict(told) if whole else _cut(told, {at, row["actor"]}, usual),
    )


def _cut(told: Iterator[tuple[str, Any]], known: Container[Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: short(value)
        for name, value in told
        if not (isinstance(value, str) and value in known) and usual.get(name) != value
    }


def _told(data: dict[str, Any], kind: Aggregate, *, is_first: bool) -> Iterator[tuple[str, Any]]:
    """Its data under public names and in public units. Of a thing that begins, what is empty or nought says nothing."""
    for name, value in data.items():
        if value is not None and name != OWN_TIME and name not in kind.hidden:
            public = _public(name, value, kind)
            if public or (public is not None and not is_first):
                yield name, public


def _public(name: str, value: Any, kind: Aggregate) -> Any:
    if name in kind.told:
        return kind.told[name](value)
    return iso(value) if name.endswith("_at") and isinstance(value, int) else value
