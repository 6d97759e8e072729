"""The resource of named locks."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from resources.spec import Resource


async def _locks(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    del parameters
    return await desk.locks.overview(call)


RESOURCES = (
    Resource(
        uri_template="ops://locks",
        name="locks",
        title="Locks",
        description="Who holds which lock, and who waits for one, in order.",
        toolset="state",
        permission=Permission.STATE_READ,
        read=_locks,
    ),
)
