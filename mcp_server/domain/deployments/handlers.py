"""The system task of deployments."""

from mcp_server.domain.deployments.rollout import Rollout
from mcp_server.kernel.handling import Handler
from mcp_server.kernel.services import Services


def carry_out(services: Services) -> Handler:
    """Carries out one run; safe to repeat, since each phase is written down before and after."""
    return services.get(Rollout).carry_out
