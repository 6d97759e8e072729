"""Resources of versioned documents."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.users import Permission
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from resources.spec import Resource, positive


async def _document(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    version = positive(parameters, "version")
    return await desk.state.get(call, parameters["namespace"], parameters["key"], version)


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
)
