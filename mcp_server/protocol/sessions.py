"""Sessions of the eras before 2026 over HTTP, counted for who opened them; and whose a request is."""

from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Scope

from mcp_server.kernel.authority import Actor
from mcp_server.kernel.limits import Caller, Held, Limits, Thing
from mcp_server.protocol.bearers import Bearer

_LOCAL = Caller("user:local", is_local=True)


def actor_of(scope: Scope) -> Actor | None:
    """Who has proved to be the sender of a request; None where nobody had to, or did."""
    user = scope.get("user")
    found = user.access_token if isinstance(user, AuthenticatedUser) else None
    return found.actor if isinstance(found, Bearer) else None


def caller_of(scope: Scope) -> Caller:
    """For whom a request is counted, where whoever must have a key has shown it."""
    actor = actor_of(scope)
    return _LOCAL if actor is None else Caller.of(actor)


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager, which itself counts all sessions together. That it has these two methods, a test sees."""

    def __init__(self, server: Server[Any], limits: Limits) -> None:
        super().__init__(app=server, max_sessions=None)
        self._limits = limits
        self._counted: dict[str | None, Held] = {}

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        caller = _LOCAL if requestor is None else Caller(requestor["subject"] or requestor["client_id"])
        held = self._limits.holding(Thing.SESSIONS, caller)
        transport = super()._admit_session(requestor)
        assert transport is not None, "it counts none itself"
        self._counted[transport.mcp_session_id] = held
        return transport

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        held = self._counted.pop(session_id, None)
        if held is not None:
            held.release()
        await super()._discard_session(session_id, transport)
