"""The bodies of requests over HTTP: the cheap checks first, and none that costs more than it is worth."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.limits import Caller, Held, Limits, Thing
from mcp_server.pages.door import first_said

BODY_BYTES_MAX = 4 * 1024 * 1024
"""The SDK's own limit for a request's body."""
BODY_SECONDS_MAX = 30.0
"""How long a body may take to arrive."""


def by_address(scope: Scope) -> Caller:
    """Somebody unknown, by the address that asks; behind a proxy that is everybody unknown together."""
    client = scope.get("client")
    return Caller(f"address:{client[0] if client else ''}")


class Body:
    """The body of one request: read up to its end, or to where it is too long; then handed on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self.size = 0
        self.is_cut_off = False

    async def chunks(self) -> AsyncGenerator[int]:
        """Read it; the size of each piece."""
        more = True
        while more and self.size <= BODY_BYTES_MAX:
            message = await self._receive()
            self._messages.append(message)
            self.is_cut_off = message["type"] == "http.disconnect"
            size = len(message.get("body", b""))
            self.size += size
            more = message.get("more_body", False)
            yield size

    def whole(self) -> bytes:
        """What was read."""
        return b"".join(message.get("body", b"") for message in self._messages)

    async def replayed(self) -> Message:
        """What was read, piece by piece; then what comes."""
        return self._messages.pop(0) if self._messages else await self._receive()


class Arriving:
    """Takes in the body of what is posted, and hands all of it on. What is too large or takes too long is refused, and
    so is one too many, with when to come again."""

    def __init__(self, app: ASGIApp, limits: Limits, caller_of: Callable[[Scope], Caller] = by_address) -> None:
        """Stand before an application.

        Args:
            app: gets what has arrived. It may refuse by a limit, too, before it answers.
            limits: count what is on the way.
            caller_of: whose it is.
        """
        self._app = app
        self._limits = limits
        self._caller_of = caller_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        refused = self.unfit(scope)
        if refused is None:
            try:
                refused = await self._handed_on(scope, receive, send)
            except LimitExceeded as error:
                refused = too_many(error)
        if refused is not None:
            await refused(scope, receive, send)

    def unfit(self, scope: Scope) -> Response | None:
        """The answer to what its headers refuse."""
        told = first_said(scope, b"content-length")
        if told.isdecimal() and int(told) > BODY_BYTES_MAX:
            return PlainTextResponse(f"A body has at most {BODY_BYTES_MAX:,} bytes.", 413)
        return None

    async def flawed(self, body: Body, scope: Scope) -> Response | None:
        """The answer to what has arrived and is not to be handed on."""
        del body, scope

    async def _handed_on(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        caller, body = self._caller_of(scope), Body(receive)
        with self._limits.holding(Thing.BODY_BYTES, caller, 0) as held:
            with self._limits.holding(Thing.REQUESTS, caller):
                refused = await self._read(body, held) or await self.flawed(body, scope)
            if body.is_cut_off:  # nobody is there to be answered, and nothing is done of what was half said
                return None
            if refused is None:
                await self._app(scope, body.replayed, send)
        return refused

    async def _read(self, body: Body, held: Held) -> Response | None:
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for size in body.chunks():
                    held.more(size)
        except TimeoutError:
            late = f"A body has to arrive within {BODY_SECONDS_MAX:g} seconds."
            return PlainTextResponse(late, 408, headers={"connection": "close"})
        return None


def arriving(routes: Sequence[BaseRoute], limits: Limits) -> list[BaseRoute]:
    """Routes to which people and programs without a key post."""
    for route in routes:
        if isinstance(route, Route):
            route.app = Arriving(route.app, limits)
    return list(routes)


def too_many(error: LimitExceeded) -> Response:
    """What is answered, before anything looks at the request, to who has or does too much."""
    after = math.ceil(error.details.get("retry_after_seconds", 1))
    told = {"code": error.code, "message": error.message, "details": error.details}
    return JSONResponse({"error": told}, 429, {"retry-after": str(after)})


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """A request's body; None where it is longer than wanted. No more than that is read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            return None
    return body
