"""Resources of the house itself: its events and its health."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.users import Permission
from mcp_server.services.context import LIMIT_MAX, Call
from mcp_server.services.desk import Desk
from resources.spec import Resource


async def _events(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    after = parameters.get("after")
    events, cursor = await desk.events.read(call, after=after, limit=LIMIT_MAX, newest_first=after is None)
    return {"events": events, "cursor": cursor if after is not None else None}


async def _health(desk: Desk, call: Call, _: Mapping[str, str]) -> Any:
    return {
        "ok": True,
        "version": desk.version,
        "engine": desk.engine,
        "tasks": await desk.tasks.counts(call),
    }


RESOURCES = (
    Resource(
        uri_template="ops://events{?after}",
        name="events",
        title="Events",
        description="The newest 100 events; with a cursor, the 100 after it.",
        area="system",
        permission=Permission.EVENTS_READ,
        read=_events,
    ),
    Resource(
        uri_template="ops://health",
        name="health",
        title="Health",
        description="Whether the server reaches its database, and its version.",
        area="system",
        permission=Permission.TASKS_READ,
        read=_health,
    ),
)
