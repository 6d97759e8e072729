"""Use cases of the operator's own doings."""

from mcp_server.domain.events.newest import newest_known
from mcp_server.domain.operating.model import RULES, InForce
from mcp_server.domain.operating.transactions import are_others, tell_rules
from mcp_server.kernel.call import Call
from mcp_server.kernel.services import Services


class OperatingService:
    """Records what the operator changed about the server itself."""

    def __init__(self, services: Services) -> None:
        self._context = services.context

    async def tell_rules(self, call: Call, rules: InForce) -> bool:
        """Record once that other rules are in force; whether that had to be. Where nothing changed, nothing is written.

        Raises:
            OpsError: the store is busy or unavailable.
        """
        known = await newest_known(self._context.database, RULES, RULES)
        return are_others(known, rules) and await self._context.write(call, tell_rules, rules)
