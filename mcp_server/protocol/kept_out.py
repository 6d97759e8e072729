"""Who shows a key that is none: counted, logged without the key, and answered the later the more often.

Only what fails is slow: a right key from the same address, which may be a proxy's, never waits. Who shows no key at all
is told at once how to get one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_address

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.pages.door import said

FIRST_SECONDS, SECONDS_MAX = 0.1, 3.0
"""How long an answer to a wrong key waits: the first of an address, and at most; each doubles it."""
FORGOTTEN_SECONDS = 900.0
"""After how long without one an address begins anew."""
ADDRESSES_MAX = 4096
LATE_MAX = 256
"""How many answers wait at once; what comes then is answered at once, which ends its connection."""
ENDED = "expired"
"""Why a key or token counts no more that was right: whoever brings it guesses nothing, and issuers make short ones."""
_refused: ContextVar[str | None] = ContextVar("refused", default=None)
"""Why the key of the request that this task answers lets nobody in."""
log = structlog.stdlib.get_logger("datamcp.auth")


def note(reason: str) -> None:
    """Note why a key of the request that is being looked at lets nobody in."""
    _refused.set(reason)


class KeptOut:
    """Stands behind what looks at keys, where they prove nobody, and before what answers that."""

    def __init__(
        self,
        app: ASGIApp,
        count: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Know of nobody.

        Args:
            app: answers. Why a key is none was said by `note`.
            count: is told the reason of each failure.
            clock: seconds that only go on.
            sleep: rests for so many seconds.
        """
        self._app = app
        self._count = count
        self._clock = clock
        self._sleep = sleep
        self._known: dict[str, tuple[int, float]] = {}
        self._late = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def later(message: Message) -> None:
            refused = _refused.get()
            if message["type"] == "http.response.start" and (refused is not None or message["status"] == 401):
                await self._failed(scope, message, refused)
            await send(message)

        try:
            await self._app(scope, receive, later)
        finally:
            _refused.set(None)

    async def _failed(self, scope: Scope, message: Message, refused: str | None) -> None:
        if refused is None and not said(scope, b"authorization"):
            self._count("missing")
            return
        reason = refused or "malformed"
        self._count(reason)
        if reason == ENDED:
            return
        address = _network(scope)
        times = self._remember(address)
        if times & (times - 1) == 0:  # the first, and then ever fewer, so that nobody fills the log
            log.warning("a key was refused", reason=reason, address=address, times=times)
        if self._late >= LATE_MAX:
            message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            return
        self._late += 1
        try:
            await self._sleep(min(FIRST_SECONDS * 2 ** min(times - 1, 16), SECONDS_MAX))
        finally:
            self._late -= 1

    def _remember(self, address: str) -> int:
        """How often this address has failed lately; of too many, those are forgotten that failed longest ago."""
        now = self._clock()
        times, last = self._known.pop(address, (0, now))
        times = 1 if now - last > FORGOTTEN_SECONDS else times + 1
        self._known[address] = times, now
        if len(self._known) > ADDRESSES_MAX:
            del self._known[next(iter(self._known))]
        return times


def _network(scope: Scope) -> str:
    """The address that asks; of IPv6 the network, of which one machine has every address."""
    client = scope.get("client")
    text = str(client[0]) if client else ""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    return f"{address.exploded[:19]}::/64" if isinstance(address, IPv6Address) and not address.ipv4_mapped else text
