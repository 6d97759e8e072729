"""Sessions of the eras before 2026 over HTTP, counted for who opened them."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio import CancelScope
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext, authorization_context
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.dispatcher import coerce_request_id
from starlette.types import Scope

from mcp_server.kernel.limits import Caller, Held, Limits, Thing
from mcp_server.protocol.seam import RequestContext
from mcp_server.protocol.whose import LOCAL
from mcp_server.protocol.wire import Id


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager, which itself counts all sessions together. That it has these methods, a test sees.

    Plain calls of a session are answered past the SDK (`protocol/straight.py`), once it has answered one: it alone
    knows who is at the other end.
    """

    def __init__(self, server: Server[Any], limits: Limits) -> None:
        super().__init__(app=server, max_sessions=None)
        self._limits = limits
        self._counted: dict[str | None, Held] = {}
        self._clients: dict[str, Connection] = {}
        self._under_way: dict[tuple[str, Id], CancelScope] = {}

    async def noting(self, ctx: RequestContext, call_next: CallNext) -> HandlerResult:
        """Run a method, and note whose session it comes in (`ServerMiddleware`)."""
        client = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
        if client.session_id in self._server_instances:
            self._clients[client.session_id] = client
        return await call_next(ctx)

    def client_of(self, session_id: str, scope: Scope) -> Connection | None:
        """Who opened a session, where it goes on, has begun, and is of the sender of this request."""
        transport, client = self._server_instances.get(session_id), self._clients.get(session_id)
        if transport is None or client is None or transport.is_terminated or not client.initialize_accepted:
            return None
        user = scope.get("user")
        sender = authorization_context(user) if isinstance(user, AuthenticatedUser) else None
        ends = transport.idle_scope is not None and transport.idle_scope.cancel_called
        return client if sender == self._session_owners.get(session_id) and not ends else None

    @contextmanager
    def under_way(self, session_id: str, request_id: Id, scope: CancelScope) -> Generator[None]:
        """While a call of a session is answered, the session rests not, and the call can be cancelled."""
        place = session_id, coerce_request_id(request_id)
        self._under_way[place] = scope
        transport = self._server_instances[session_id]
        transport._requests_in_flight += 1  # pyright: ignore[reportPrivateUsage]
        if transport.idle_scope is not None:
            transport.idle_scope.deadline = math.inf
        try:
            yield
        finally:
            if self._under_way.get(place) is scope:
                del self._under_way[place]
            transport._requests_in_flight -= 1  # pyright: ignore[reportPrivateUsage]
            self._let_rest(transport)

    def cancel(self, session_id: str, request_id: Id) -> None:
        """Cancel a call that is under way, if it is."""
        scope = self._under_way.get((session_id, coerce_request_id(request_id)))
        if scope is not None:
            scope.cancel()

    def _let_rest(self, transport: StreamableHTTPServerTransport) -> None:
        """Once nothing is answered, a session ends after a while."""
        scope, seconds = transport.idle_scope, self.session_idle_timeout
        busy = transport._requests_in_flight  # pyright: ignore[reportPrivateUsage]
        if scope is not None and seconds is not None and not busy:
            scope.deadline = anyio.current_time() + seconds

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        caller = LOCAL if requestor is None else Caller(requestor["subject"] or requestor["client_id"])
        held = self._limits.holding(Thing.SESSIONS, caller)
        transport = super()._admit_session(requestor)
        assert transport is not None, "it counts none itself"
        self._counted[transport.mcp_session_id] = held
        return transport

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        held = self._counted.pop(session_id, None)
        if held is not None:
            held.release()
        self._clients.pop(session_id, None)
        for place, scope in list(self._under_way.items()):
            if place[0] == session_id:
                scope.cancel()
        await super()._discard_session(session_id, transport)
