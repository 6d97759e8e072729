"""The resource that says how the house itself is."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import floors
from resources.spec import Resource


async def _health(desk: Desk, call: Call, _: Mapping[str, str]) -> Any:
    health: dict[str, Any] = {
        "ok": not desk.loops.failing(),
        "version": desk.version,
        "engine": desk.engine,
    }
    if call.is_offered("tasks"):
        health["tasks"] = counts = await desk.tasks.counts(call)
        health |= {"at_least": known} if (known := floors(tasks=counts)) else {}
    if desk.is_read_only:
        health["storage"] = "read-only: nothing that is due is done by this server"
    if amiss := await desk.amiss():
        health |= {"ok": False, "database": amiss}
    clock = desk.housekeeping.clock_told()
    if clock:
        health["clock"] = clock
    held_back = await desk.log_held_back()
    if held_back is not None:
        health["events_held_back"] = held_back
    report = desk.loops.report()
    return health | ({"loops": report} if report else {})


RESOURCES = (
    Resource(
        uri_template="ops://health",
        name="health",
        title="Health",
        description="Whether the server reaches its database, and its version.",
        toolset="system",
        permission=Permission.TASKS_READ,
        read=_health,
        others_words=False,
    ),
)
