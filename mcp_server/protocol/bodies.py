"""The bodies of MCP's messages over HTTP."""

from collections.abc import Callable

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from mcp_server.pages.bodies import BODY_BYTES_MAX, Arriving, Body
from mcp_server.pages.door import first_said
from mcp_server.protocol.wire import WireError, parse, rpc_message

MESSAGE = "data_mcp_server.message"
"""In the scope of a request: what it brings, read once."""


class StrictBody(Arriving):
    """Takes in one message; refuses what `wire.parse` refuses, before the SDK's lenient parser sees it."""

    read: Callable[[bytes], object] = staticmethod(parse)

    def unfit(self, scope: Scope) -> Response | None:
        """Also what is no JSON."""
        kind = first_said(scope, b"content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            return PlainTextResponse("A body is JSON, and says so: Content-Type: application/json.", 400)
        return super().unfit(scope)

    def flawed(self, body: Body, scope: Scope) -> Response | None:
        """What is no message; one that is stands in the scope from now on."""
        try:
            if body.size <= BODY_BYTES_MAX:  # the SDK refuses a longer one
                scope[MESSAGE] = self.read(body.whole())
        except WireError as error:
            return JSONResponse(error.answer, status_code=400)
        return None


class RpcBody(StrictBody):
    """Refuses also what is no JSON-RPC, for a transport that would log it as a failure of its own."""

    read = staticmethod(rpc_message)
