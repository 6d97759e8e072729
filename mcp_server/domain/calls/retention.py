"""How long what was said in calls is kept: the call itself stays, with who was there and when."""

from mcp_server.domain.calls import transactions
from mcp_server.domain.calls.age import old_calls
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.services import Services

FORGET_KIND = "system.calls_forgotten"
FORGET_AT_ONCE = 20


class CallRetention:
    """Has forgotten what is old."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._services = services

    async def forget_some(self) -> int:
        """Forget what was said in some old calls; in how many."""
        old = await old_calls(self._services, FORGET_AT_ONCE)
        for call_id in old:
            await self._database.write(transactions.forget, self._context.origin(SYSTEM_CALL), call_id)
        return len(old)
