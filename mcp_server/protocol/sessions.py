"""Sessions of the eras before 2026 over HTTP, counted for who opened them."""

from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from mcp_server.kernel.limits import Caller, Held, Limits, Thing
from mcp_server.protocol.whose import LOCAL


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager, which itself counts all sessions together. That it has these two methods, a test sees."""

    def __init__(self, server: Server[Any], limits: Limits) -> None:
        super().__init__(app=server, max_sessions=None)
        self._limits = limits
        self._counted: dict[str | None, Held] = {}

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
        await super()._discard_session(session_id, transport)
