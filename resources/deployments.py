"""The resource of deployments."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from resources.spec import Resource


async def _deployment(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.deployments.get(call, parameters["deployment_id"])


RESOURCES = (
    Resource(
        uri_template="ops://deployments/{deployment_id}",
        name="deployment",
        title="Deployment",
        description="One deployment: its configuration, what is live with evidence, and its last run.",
        toolset="deployments",
        permission=Permission.DEPLOYMENTS_READ,
        read=_deployment,
    ),
)
