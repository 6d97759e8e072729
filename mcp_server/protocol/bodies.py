"""The bodies of requests over HTTP: the cheap checks first, and none that costs more than it is worth."""

import asyncio
from collections.abc import AsyncGenerator

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.protocol.wire import WireError, parse

BODY_BYTES_MAX = 4 * 1024 * 1024
"""The SDK's own limit for a request's body."""
BODIES_BYTES_MAX = 16 * BODY_BYTES_MAX
"""How much of all bodies together may be under way."""
BODY_SECONDS_MAX = 30.0
"""How long a body may take to arrive."""


class StrictBody:
    """Refuses what is not for this server before a byte of its body is read; then a body that is too large, too slow or
    one too many; then one that `wire.parse` refuses, before the SDK's lenient parser sees it."""

    def __init__(self, app: ASGIApp, security: TransportSecuritySettings) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(security)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = await self._security.validate_request(request, is_post=True) or _too_large(request)
        if refused is not None:
            await refused(scope, receive, send)
            return
        body = _Body(receive)
        try:
            refused = await self._read(body)
            if refused is None:
                await self._app(scope, body.replayed, send)
            else:
                await refused(scope, receive, send)
        finally:
            self._held -= body.size

    async def _read(self, body: "_Body") -> Response | None:
        """Take in a whole body; the answer where it is refused."""
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for size in body.chunks():
                    self._held += size
                    if self._held > BODIES_BYTES_MAX:
                        return PlainTextResponse("Too much is under way.", 503, headers={"retry-after": "1"})
        except TimeoutError:
            return PlainTextResponse(f"A body has to arrive within {BODY_SECONDS_MAX:g} seconds.", 408)
        try:
            if body.size <= BODY_BYTES_MAX:  # the SDK refuses a longer one
                parse(body.whole())
        except WireError as error:
            return JSONResponse(error.answer, status_code=400)
        return None


class _Body:
    """The body of one request: read up to its end, or to where it is too long; then handed on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self.size = 0

    async def chunks(self) -> AsyncGenerator[int]:
        """Read it; the size of each piece."""
        more = True
        while more and self.size <= BODY_BYTES_MAX:
            message = await self._receive()
            self._messages.append(message)
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


def _too_large(request: Request) -> Response | None:
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > BODY_BYTES_MAX:
        return PlainTextResponse(f"A body has at most {BODY_BYTES_MAX:,} bytes.", 413)
    return None
