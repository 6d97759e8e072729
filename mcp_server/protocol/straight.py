"""Plain calls of tools over HTTP, answered straight: the SDK makes tasks, streams, scopes and copies for one question
and one answer, which costs more than most tools.

Whatever else comes, and whatever the SDK would refuse, goes to it, so that each rule of the protocol stands in one
place; that both answer alike, a test sees.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, cast

from anyio import CancelScope
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.runner import modern_error_data
from mcp.server.session import ServerSession
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import CORE_RESULT_TYPES, SERVER_INFO_META_KEY, methods
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.protocol.bodies import MESSAGE
from mcp_server.protocol.exchange import Exchange
from mcp_server.protocol.opening import MODERN
from mcp_server.protocol.plain import METHOD, SESSION, Plain, plain, session_of
from mcp_server.protocol.seam import RequestContext
from mcp_server.protocol.sessions import Sessions

_CANCELLED = "notifications/cancelled"


class Called(NamedTuple):
    """A tool's call: what of the SDK's type tools are asked by. A plain one is no answer to a question."""

    name: str
    arguments: dict[str, Any]
    input_responses: None = None
    request_state: None = None


class Straight:
    """Answers plain calls; hands everything else on."""

    def __init__(self, app: ASGIApp, server: Server[Any], sessions: Sessions) -> None:
        """Stand before the SDK.

        Args:
            app: the SDK's.
            server: whose tools are called.
            sessions: of clients before 2026.
        """
        entry = server.get_request_handler(METHOD)
        assert entry is not None, "every server of ours has tools"
        server.middleware.append(sessions.noting)
        self._app = app
        self._sessions = sessions
        self._call: Callable[[RequestContext, Any], Awaitable[Any]] = entry.handler
        self._server = {SERVER_INFO_META_KEY: server.server_info_stamp}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        call = plain(scope, self._sessions)
        if call is not None:
            return self._answered(call, scope, send)
        message = scope.get(MESSAGE)
        if message is not None and message.get("method") == _CANCELLED:
            self._cancel(message.get("params"), scope)  # the SDK answers, and cancels what it knows itself
        return self._app(scope, receive, send)

    def _cancel(self, params: Any, scope: Scope) -> None:
        """What a session's client cancels of its own."""
        session = session_of(dict(scope["headers"]))
        said = cast("Mapping[str, Any]", params) if isinstance(params, dict) else None
        request_id = cancelled_request_id_from_params(said)
        if session is None or request_id is None or self._sessions.client_of(session, scope) is None:
            return
        self._sessions.cancel(session, request_id)

    async def _answered(self, call: Plain, scope: Scope, send: Send) -> None:
        told = [] if call.session is None else [(SESSION, call.session.encode())]
        exchange = Exchange(call.id, call.meta.get("progressToken"), send, told)
        with CancelScope() as here:
            call.going.tell(here.cancel)
            try:
                await exchange.answer(*await self._settled(call, scope, exchange))
            finally:
                call.going.spare(here.cancel)
                exchange.end()

    async def _settled(self, call: Plain, scope: Scope, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        """The status and the message to answer with, also where the client of a session cancels."""
        if call.session is None:
            return await self._outcome(call, scope, exchange)
        with CancelScope() as asked, self._sessions.under_way(call.session, call.id, asked):
            return await self._outcome(call, scope, exchange)
        error = {"code": REQUEST_CANCELLED, "message": "Request cancelled"}
        return 200, {"jsonrpc": "2.0", "id": call.id, "error": error}

    async def _outcome(self, call: Plain, scope: Scope, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        version = call.client.protocol_version
        context = ServerRequestContext[Any, Any](
            session=ServerSession(exchange, call.client, request_meta=cast("Any", call.meta)),
            lifespan_context={},
            protocol_version=version,
            method=METHOD,
            params=call.params,
            request_id=call.id,
            meta=cast("Any", call.meta),
            request=Request(scope),
        )
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call.id}
        try:
            result = await self._call(context, Called(call.params["name"], call.params["arguments"]))
            answer["result"] = self._shaped(result) if version == MODERN else _as_before(result)
        except Exception as error:
            told = modern_error_data(error)
            answer["error"] = told.model_dump(mode="json", exclude_none=True)
            return 200 if call.session else ERROR_CODE_HTTP_STATUS.get(told.code, 200), answer
        return 200, answer

    def _shaped(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result of today's era. One that is not complete is of several forms, of which the SDK knows its own."""
        kind = result["resultType"]
        is_ours = kind == "complete" or kind not in CORE_RESULT_TYPES
        whole = result if is_ours else methods.serialize_server_result(METHOD, MODERN, result)
        return {**whole, "_meta": self._server}


def _as_before(result: dict[str, Any]) -> dict[str, Any]:
    """A result of the eras before, which has no type."""
    return {name: value for name, value in result.items() if name != "resultType"}
