"""The system task of deployments."""

from mcp_server.domain.deployments.targets import Facts
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services


def carry_out(services: Services) -> Handler:
    """Carries out one run; safe to repeat, since each phase is written down before and after."""

    async def handle(job: Job) -> Facts:
        from mcp_server.domain.deployments.rollout import Rollout  # loaded by who deploys

        return await services.get(Rollout).carry_out(job)

    return handle
