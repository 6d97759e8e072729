"""Plain calls of tools of today's era over HTTP, answered straight: the SDK makes five tasks' worth of streams, scopes
and copies of one question and one answer, which costs more than most tools.

Plain is what the SDK would take as it is. Whatever else comes, and whatever it would refuse, goes to the SDK, so that
each rule of the protocol stands in one place; that both answer alike, a test sees.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from anyio import CancelScope
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.runner import modern_error_data
from mcp.server.session import ServerSession
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    CORE_RESULT_TYPES,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    methods,
)
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.kernel.going import GOING, Going
from mcp_server.kernel.once import MOST
from mcp_server.protocol.bodies import MESSAGE
from mcp_server.protocol.exchange import Exchange
from mcp_server.protocol.opening import MODERN
from mcp_server.protocol.seam import RequestContext
from mcp_server.protocol.wire import Id, is_id

METHOD = "tools/call"
CLIENT_BYTES_MAX = 4096
"""What says more of itself is not remembered."""
_ENVELOPE = frozenset(("jsonrpc", "id", "method", "params"))
_PARAMS = frozenset(("name", "arguments", "_meta"))
_RESERVED = "io.modelcontextprotocol/"
_ABOUT_CLIENT = frozenset((PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY))
_SAID = {(b"mcp-protocol-version", MODERN.encode()), (b"mcp-method", METHOD.encode())}
_KNOWN: dict[bytes, Connection] = {}


class Called(NamedTuple):
    """A tool's call: what of the SDK's type tools are asked by. A plain one is no answer to a question."""

    name: str
    arguments: dict[str, Any]
    input_responses: None = None
    request_state: None = None


class Plain(NamedTuple):
    """One plain call."""

    id: Id
    params: dict[str, Any]
    meta: Any
    client: Connection
    going: Going


class Straight:
    """Answers plain calls; hands everything else on."""

    def __init__(self, app: ASGIApp, server: Server[Any]) -> None:
        """Stand before the SDK.

        Args:
            app: the SDK's.
            server: whose tools are called.
        """
        entry = server.get_request_handler(METHOD)
        assert entry is not None, "every server of ours has tools"
        self._app = app
        self._call: Callable[[RequestContext, Any], Awaitable[Any]] = entry.handler
        self._server = {SERVER_INFO_META_KEY: server.server_info_stamp}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        plain = _plain(scope)
        return self._app(scope, receive, send) if plain is None else self._answered(plain, scope, send)

    async def _answered(self, plain: Plain, scope: Scope, send: Send) -> None:
        exchange = Exchange(plain.id, plain.meta.get("progressToken"), send)
        with CancelScope() as here:
            plain.going.tell(here.cancel)
            try:
                await exchange.answer(*await self._outcome(plain, scope, exchange))
            finally:
                plain.going.spare(here.cancel)
                exchange.end()

    async def _outcome(self, plain: Plain, scope: Scope, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        """The status and the message to answer with."""
        context = ServerRequestContext[Any, Any](
            session=ServerSession(exchange, plain.client, request_meta=plain.meta),
            lifespan_context={},
            protocol_version=MODERN,
            method=METHOD,
            params=plain.params,
            request_id=plain.id,
            meta=plain.meta,
            request=Request(scope),
        )
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": plain.id}
        try:
            result = await self._call(context, Called(plain.params["name"], plain.params["arguments"]))
            answer["result"] = {**_as_the_era_has_it(result), "_meta": self._server}
        except Exception as error:
            told = modern_error_data(error)
            answer["error"] = told.model_dump(mode="json", exclude_none=True)
            return ERROR_CODE_HTTP_STATUS.get(told.code, 200), answer
        return 200, answer


def _as_the_era_has_it(result: dict[str, Any]) -> dict[str, Any]:
    """A result that is not complete is of several forms, of which the SDK knows its own."""
    kind = result["resultType"]
    if kind == "complete" or kind not in CORE_RESULT_TYPES:
        return result
    return methods.serialize_server_result(METHOD, MODERN, result)


def _plain(scope: Scope) -> Plain | None:
    """The plain call that a request is; None where it is anything else."""
    message, going = scope.get(MESSAGE), scope.get(GOING)
    if message is None or going is None or message.keys() != _ENVELOPE or not isinstance(message["params"], dict):
        return None
    params = cast("dict[str, Any]", message["params"])
    is_call = message["jsonrpc"] == "2.0" and message["method"] == METHOD and is_id(message["id"])
    if not is_call or not _is_addressed(scope, params):
        return None
    client = _client(params, params["_meta"])
    return None if client is None else Plain(message["id"], params, params["_meta"], client, going)


def _is_addressed(scope: Scope, params: dict[str, Any]) -> bool:
    """Whether a call's headers say what it says itself, once each, and its client takes either form of answer."""
    headers = dict(scope["headers"])
    return (
        _is_whole(params)
        and len(headers) == len(scope["headers"])
        and headers.items() >= _SAID
        and headers.get(b"mcp-name") == params["name"].encode()
        and _takes_both(headers.get(b"accept", b""))
    )


def _is_whole(params: dict[str, Any]) -> bool:
    """Whether a call has what every call has, and nothing else. A header says other names in another way."""
    return (
        params.keys() == _PARAMS
        and isinstance(params["arguments"], dict)
        and isinstance(params["_meta"], dict)
        and isinstance(params["name"], str)
        and params["name"].isascii()
        and params["name"].isidentifier()
    )


def _client(params: dict[str, Any], meta: dict[str, Any]) -> Connection | None:
    """Who calls, by all that it says of itself, word for word: checked by the SDK when it is first said."""
    token = meta.get("progressToken", "")
    about = {name: value for name, value in meta.items() if name.startswith(_RESERVED)}
    if about.keys() != _ABOUT_CLIENT or about[PROTOCOL_VERSION_META_KEY] != MODERN or not is_id(token):
        return None
    said = to_json([about[CLIENT_INFO_META_KEY], about[CLIENT_CAPABILITIES_META_KEY]])
    return _KNOWN.get(said) or _introduced(said, params, about)


def _introduced(said: bytes, params: Mapping[str, Any], about: dict[str, Any]) -> Connection | None:
    if len(said) > CLIENT_BYTES_MAX:
        return None
    try:
        methods.validate_client_request(METHOD, MODERN, params)
    except ValidationError:
        return None
    if len(_KNOWN) >= MOST:
        _KNOWN.clear()
    # Nothing is kept in it from one request to the next: it only tells what the client said.
    told = Connection.from_envelope(MODERN, about[CLIENT_INFO_META_KEY], about[CLIENT_CAPABILITIES_META_KEY])
    return _KNOWN.setdefault(said, told)


@lru_cache(maxsize=64)
def _takes_both(accept: bytes) -> bool:
    """Whether a client takes JSON and events; few different ones say so."""
    return all(check_accept_headers(Request({"type": "http", "headers": [(b"accept", accept)]})))
