"""What callers see of events."""

import json
from typing import Any

from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.views import View


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


def event_view(row: Row, hidden: frozenset[str] = frozenset()) -> EventView:
    """An event as callers see it, without what is hidden of its kind."""
    return EventView(
        seq=row["seq"],
        at=iso(row["at"]),
        type=row["type"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        version=None if "version" in hidden else row["version"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_seq=row["causation_seq"],
        data={
            name: value for name, value in json.loads(row["data"]).items() if value is not None and name not in hidden
        },
    )
