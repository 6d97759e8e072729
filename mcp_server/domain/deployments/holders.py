"""Who holds a name in the world outside, as far as the store tells."""

import json

from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.services import Services


class Holders:
    """Who holds a name that was brought live."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database

    async def holder(self, subject: Subject, name: str) -> str | None:
        """Another deployment of the same target that brought something live under this name; None where none did."""
        for row in await self._database.fetch_all("deployments_beside", target=subject.target, id=subject.id):
            if name in json.loads(row["live"] or "{}").get("names", {}).values():
                return f"{row['name']} in {row['environment']}"
        return None
