"""The resource of supervised processes: what they write."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.processes.service import ProcessService
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from resources.spec import Resource


async def _log(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.get(ProcessService).log(call, parameters["process_id"])


RESOURCES = (
    Resource(
        uri_template="ops://processes/{process_id}/log",
        name="process-log",
        title="Log of a process",
        description="The end of what an instance that this server runs has written, and what is missing from it.",
        toolset="agents",
        permission=Permission.AGENTS_CONTROL,
        read=_log,
    ),
)
