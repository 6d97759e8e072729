"""Use cases of named locks."""

from typing import Any

from mcp_server.domain.locks import transactions
from mcp_server.domain.locks.model import AcquireLock, Hold
from mcp_server.domain.locks.transactions import Acquired
from mcp_server.domain.locks.views import AcquiredLock, ReleasedLock, acquired, released
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import duration, iso
from mcp_server.kernel.waiting import wait_until
from mcp_server.kernel.writes import Write, as_said

_SHOWN_MAX = 200


class LockService:
    """Acquire, renew and release named locks.

    `acquire_now` takes a lock, or says who holds it, without waiting. `release` ends a hold, or renews it.
    """

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        may = Permission.STATE_WRITE
        self.acquire_now = Write(context, may, as_said, transactions.acquire, self._acquired)
        self.release = Write(context, may, as_said, transactions.release, self._released)

    async def acquire(self, call: Call, command: AcquireLock) -> AcquiredLock:
        """Take a lock, waiting in line for it if asked to."""
        wait_seconds = command.wait_seconds
        if wait_seconds <= 0:
            return await self.acquire_now(call, command)
        call.actor.require(Permission.STATE_WRITE)
        until = self._context.clock() + duration(wait_seconds)

        async def attempt() -> Acquired:
            return await self._database.write(transactions.acquire, self._context.origin(call), command, until)

        has_it = False
        try:
            done = await wait_until(
                self._context, call, attempt, lambda found: found.hold is not None, wait_seconds, ("lock",)
            )
            has_it = done.hold is not None
        finally:
            if not has_it:
                await self._leave_line(call, command)
        return acquired(done.hold, done.others)

    async def overview(self, call: Call) -> dict[str, Any]:
        """Who holds which lock, and who waits for one, in order: up to 200 each."""
        call.actor.require(Permission.STATE_READ)
        now = self._context.clock()
        held = await self._database.fetch_all("locks_held", now=now, limit=_SHOWN_MAX)
        awaited = await self._database.fetch_all("locks_awaited", now=now, limit=_SHOWN_MAX)
        return {
            "held": [_with_times(row, "expires_at", "acquired_at") for row in held],
            "waiting": [_with_times(row, "since") for row in awaited],
        }

    async def _leave_line(self, call: Call, command: AcquireLock) -> None:
        origin = self._context.origin(call)
        await self._database.write(transactions.leave_line, origin, command.name, command.owner)

    @staticmethod
    async def _acquired(call: Call, done: Acquired) -> AcquiredLock:
        del call
        return acquired(done.hold, done.others)

    @staticmethod
    async def _released(call: Call, renewed: Hold | None) -> ReleasedLock:
        del call
        return released(renewed)


def _with_times(row: Row, *names: str) -> dict[str, Any]:
    return dict(row) | {name: iso(row[name]) for name in names}
