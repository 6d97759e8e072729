"""The bodies of MCP's messages over HTTP."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from mcp.server import _streamable_http_modern as modern
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from mcp_server.pages.bodies import BODY_BYTES_MAX, Arriving, Body
from mcp_server.pages.door import first_said
from mcp_server.protocol.large import LARGE_BYTES, note_size, read_large
from mcp_server.protocol.wire import WireError, parse, rpc_message

MESSAGE = "data_mcp_server.message"
"""In the scope of a request: what it brings, read once."""
_READ: ContextVar[list[tuple[int, dict[str, Any]]]] = ContextVar("read")


class StrictBody(Arriving):
    """Takes in one message; refuses what `wire.parse` refuses, before the SDK's lenient parser sees it."""

    read: Callable[[bytes], object] = staticmethod(parse)

    def unfit(self, scope: Scope) -> Response | None:
        """Also what is no JSON."""
        kind = first_said(scope, b"content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            return PlainTextResponse("A body is JSON, and says so: Content-Type: application/json.", 400)
        return super().unfit(scope)

    async def flawed(self, body: Body, scope: Scope) -> Response | None:
        """What is no message; one that is stands in the scope from now on."""
        note_size(body.size)
        try:
            if body.size <= BODY_BYTES_MAX:  # the SDK refuses a longer one
                scope[MESSAGE] = await read_large(body.size, self.read, body.whole())
                note_read(scope[MESSAGE], body.size)
        except WireError as error:
            return JSONResponse(error.answer, status_code=400)
        return None


def note_read(message: object, size: int) -> None:
    """Keep a large message for the SDK, which would read it once more, in the event loop."""
    is_large = size > LARGE_BYTES and isinstance(message, dict)
    _READ.set([(size, cast("dict[str, Any]", message))] if is_large else [])


class _ReadOnce:
    """`json` as the SDK's transport of the 2026 era finds it: what was just read as strictly is not read again."""

    @staticmethod
    def loads(data: bytes) -> Any:
        kept = _READ.get(None)
        return kept.pop()[1] if kept and kept[0][0] == len(data) else json.loads(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(json, name)


def read_once() -> None:
    """Have the SDK take messages as they were read, should it still read them by Python's `json`."""
    if getattr(modern, "json", None) is json:
        modern.json = _ReadOnce()  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]


class RpcBody(StrictBody):
    """Refuses also what is no JSON-RPC, for a transport that would log it as a failure of its own."""

    read = staticmethod(rpc_message)
