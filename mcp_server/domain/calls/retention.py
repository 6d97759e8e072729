"""How long what was said in calls is kept: the call itself stays, with who was there and when."""

from mcp_server.domain.calls import transactions
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import Micros, duration

FORGET_KIND = "system.calls_forgotten"
FORGET_AT_ONCE = 20


class CallRetention:
    """Decides what is old, and has it forgotten."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._policy = services.option(CallPolicy)

    async def is_anything_old(self) -> bool:
        """Whether there is a call to be forgotten."""
        return bool(await self._old(1))

    async def forget_some(self) -> int:
        """Forget what was said in some old calls; in how many."""
        old = await self._old(FORGET_AT_ONCE)
        for call_id in old:
            await self._database.write(transactions.forget, self._context.origin(SYSTEM_CALL), call_id)
        return len(old)

    async def _old(self, limit: int) -> list[str]:
        before: Micros = self._context.clock() - duration(self._policy.keep_days * 86_400)
        return [row["id"] for row in await self._database.fetch_all("calls_old", before=before, limit=limit)]
