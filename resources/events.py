"""The resource of the event log."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.service import HELD_BACK_SECONDS
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import LIMIT_MAX
from resources.spec import Resource


async def _events(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    after = parameters.get("after")
    events, cursor = await desk.events.read(call, ReadEvents(after=after, limit=LIMIT_MAX, newest_first=after is None))
    held_back = await desk.log_held_back(HELD_BACK_SECONDS) if after is None or len(events) < LIMIT_MAX else None
    told = {} if held_back is None else {"events_held_back": held_back}
    return {"events": events, "cursor": cursor if after is not None else None} | told


RESOURCES = (
    Resource(
        uri_template="ops://events{?after}",
        name="events",
        title="Events",
        description="The newest 100 events; with a cursor, the 100 after it.",
        toolset="system",
        permission=Permission.EVENTS_READ,
        read=_events,
    ),
)
