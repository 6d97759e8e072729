"""What callers see of events."""

import json
from collections.abc import Iterator
from typing import Any

from mcp_server.kernel.area import Aggregate
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.views import View

VALUE_CHARACTERS_MAX = 160
CUT_TO_CHARACTERS = 80


class EventView(View):
    """One event. `data` holds the fields that changed."""

    seq: int
    at: str
    type: str
    aggregate_type: str
    aggregate_id: str
    version: int | None = None
    actor: str
    correlation_id: str
    causation_seq: int | None = None
    data: dict[str, Any]


_SAID_ELSEWHERE = frozenset({"updated_at"})
"""That is the event's own time."""


def event_view(row: Row, kind: Aggregate, *, whole: bool = True) -> EventView:
    """An event as callers see it, without what is hidden of its kind, and cut to what shows what happened unless the
    whole is asked for."""
    return EventView(
        seq=row["seq"],
        at=iso(row["at"]),
        type=row["type"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        version=None if "version" in kind.hidden else row["version"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_seq=row["causation_seq"],
        data={
            name: value if whole else _short(value)
            for name, value in _told(json.loads(row["data"]), kind, is_first=row["version"] == 1)
        },
    )


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else dump_json(value)
    return value if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:CUT_TO_CHARACTERS]}… ({len(text)} characters)"


def _told(data: dict[str, Any], kind: Aggregate, *, is_first: bool) -> Iterator[tuple[str, Any]]:
    """Its data under public names and in public units. Of a thing that begins, what is empty or nought says nothing."""
    for name, value in data.items():
        if value is None or name in kind.hidden or name in _SAID_ELSEWHERE or (is_first and not value):
            continue
        if name in kind.told:
            yield name, kind.told[name](value)
        else:
            yield name, iso(value) if name.endswith("_at") and isinstance(value, int) else value
