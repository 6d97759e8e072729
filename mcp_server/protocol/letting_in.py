"""What stays open for a caller ends when the caller is not let in any more: its key is revoked or expired, its text
rotated away, its user disabled or lesser, whichever process did that; the token of an issuer is over."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from mcp_server.domain.desk import Desk
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.authority import Actor

LOOK_SECONDS = 30.0
"""How often is looked where nothing is heard: that a key's time is over, nobody tells."""


class LettingIn:
    """One listener for all that is open; none where only the local user has something open."""

    def __init__(self, desk: Desk) -> None:
        self._standing = desk.get(Standing)
        self._clock = desk.context.clock
        self._feed = desk.changes
        self._loops = desk.loops
        self._open: dict[object, tuple[Actor, Callable[[], None]]] = {}
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lasting(self, actor: Actor, end: Callable[[], None]) -> AsyncGenerator[None]:
        """While something is open for a caller; `end` is called once it is not let in any more."""
        if actor.is_local:
            yield
            return
        place = object()
        self._open[place] = actor, end
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._loops.keep("letting-in", self._look), name="letting-in")
        try:
            yield
        finally:
            del self._open[place]
            if not self._open:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        async with self._feed.listen("user", "key") as listener:
            while not self._feed.waits_are_over:
                for actor, end in list(self._open.values()):
                    now = await self._standing.still(actor)
                    is_over = actor.until is not None and self._clock() >= actor.until
                    if is_over or now is None or not actor.permissions <= now.permissions:
                        end()
                await listener.wait(LOOK_SECONDS)
