"""The system task of approvals."""

from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services


def approved(services: Services) -> Handler:
    """What waited for people may be waited for: it ends when they have said yes."""
    del services

    async def handle(job: Job) -> dict[str, bool]:
        del job
        return {"approved": True}

    return handle
