"""What was brought live on this machine and has ended by itself is started again, as a run of its own like any other:
with its checks, its evidence, and whose approval the operator wants. At most once in ten minutes."""

import structlog

from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.service import DeploymentService
from mcp_server.domain.deployments.spec import ControlDeployment
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services

REVIVE_KIND = "system.revive"
log = structlog.stdlib.get_logger("datamcp.deployments")

# Whoever brought it live could name its secrets; they are no others now.
_CALL = Call(SYSTEM.model_copy(update={"is_local": True}), "revive")


class Reviving:
    """Looks after what runs here by itself."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._deployments = services.get(DeploymentService)

    async def fallen(self) -> list[Deployment]:
        """What is live, should run on this machine, and does not. Logs that were looked at on the way are bounded."""
        rows = await self._database.fetch_all("deployments_live")
        live = [Deployment.adopt(dict(row)) for row in rows]
        return [one for one in live if await self._deployments.fallen(one, trims=True)]

    async def revive(self, job: Job) -> dict[str, list[str]]:
        """Have everything that has fallen started again; which. One that is being changed is left alone."""
        del job
        started = list[str]()
        for one in await self.fallen():
            try:
                await self._deployments.control(_CALL, ControlDeployment(deployment_id=one.id, action="start"))
            except OpsError as error:
                log.warning("not_revived", deployment=f"{one.name}/{one.environment}", message=error.message)
            else:
                started.append(f"{one.name}/{one.environment}")
        return {"started": started}


def revive(services: Services) -> Handler:
    """Starts again what has fallen; safe to repeat, since what runs is left alone."""
    return services.get(Reviving).revive
