"""Use cases of named locks."""

from typing import Any

from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.locks import Hold, LockRequest
from mcp_server.domain.users import Permission
from mcp_server.domain.values import duration, iso
from mcp_server.services.context import Call, Context
from mcp_server.services.ports import LockTransactions, Row
from mcp_server.services.waiting import wait_until

_SHOWN_MAX = 200


class LockService:
    """Acquire, renew and release named locks."""

    def __init__(self, context: Context, locks: LockTransactions) -> None:
        self._context = context
        self._store = context.store
        self._locks = locks

    async def acquire(self, call: Call, request: LockRequest, wait_seconds: float) -> tuple[Hold | None, list[Hold]]:
        """Take a lock, waiting in line for it if asked to.

        Returns:
            The hold; or None, and who holds the lock.
        """
        call.actor.require(Permission.STATE_WRITE)
        until = self._context.clock() + duration(wait_seconds) if wait_seconds > 0 else None

        async def attempt() -> tuple[Hold | None, list[Hold]]:
            return await self._store.write(self._locks.acquire, self._context.origin(call), request, until)

        hold: Hold | None = None
        try:
            hold, others = await wait_until(
                self._context, call, attempt, lambda found: found[0] is not None, wait_seconds, ("lock",)
            )
        finally:
            if until is not None and hold is None:
                await self._leave_line(call, request)
        return hold, others

    async def release(self, call: Call, name: str, owner: str, fencing_token: int) -> None:
        """End a hold."""
        call.actor.require(Permission.STATE_WRITE)
        await self._store.write(self._locks.release, self._context.origin(call), name, owner, fencing_token)

    async def renew(self, call: Call, name: str, owner: str, fencing_token: int, seconds: float) -> Hold:
        """Let a hold expire later.

        Raises:
            ValidationFailed: not a positive number of seconds.
        """
        call.actor.require(Permission.STATE_WRITE)
        if seconds <= 0:
            raise ValidationFailed("renew_seconds must be more than 0.", next="Leave it out to release the lock.")
        return await self._store.write(
            self._locks.renew, self._context.origin(call), name, owner, fencing_token, seconds
        )

    async def overview(self, call: Call) -> dict[str, Any]:
        """Who holds which lock, and who waits for one, in order: up to 200 each."""
        call.actor.require(Permission.STATE_READ)
        now = self._context.clock()
        held = await self._store.fetch_all("locks_held", now=now, limit=_SHOWN_MAX)
        awaited = await self._store.fetch_all("locks_awaited", now=now, limit=_SHOWN_MAX)
        return {
            "held": [_with_times(row, "expires_at", "acquired_at") for row in held],
            "waiting": [_with_times(row, "since") for row in awaited],
        }

    async def _leave_line(self, call: Call, request: LockRequest) -> None:
        await self._store.write(self._locks.leave_line, self._context.origin(call), request.name, request.owner)


def _with_times(row: Row, *names: str) -> dict[str, Any]:
    return dict(row) | {name: iso(row[name]) for name in names}
