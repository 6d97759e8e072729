"""The resource of approvals."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from resources.spec import Resource


async def _approval(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.approvals.get(call, parameters["approval_id"])


RESOURCES = (
    Resource(
        uri_template="ops://approvals/{approval_id}",
        name="approval",
        title="Approval",
        description="What people are asked, and their answers.",
        toolset="communication",
        permission=Permission.APPROVALS_READ,
        read=_approval,
        private=True,
    ),
)
