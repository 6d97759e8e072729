"""Resources of versioned documents and locks."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.users import Permission
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from resources.spec import Resource, positive


async def _document(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    version = positive(parameters, "version")
    return await desk.state.get(call, parameters["namespace"], parameters["key"], version)


async def _locks(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    del parameters
    return await desk.locks.overview(call)


RESOURCES = (
    Resource(
        uri_template="ops://state/{namespace}/{+key}{?version}",
        name="document",
        title="Document",
        description="One shared JSON document, now or at a version.",
        area="state",
        permission=Permission.STATE_READ,
        read=_document,
    ),
    Resource(
        uri_template="ops://locks",
        name="locks",
        title="Locks",
        description="Who holds which lock, and who waits for one, in order.",
        area="state",
        permission=Permission.STATE_READ,
        read=_locks,
    ),
)
