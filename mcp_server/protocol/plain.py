"""What a plain call of a tool over HTTP is: one that the SDK would take as it is, by checks that say yes or no."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from mcp.server.connection import Connection
from mcp.server.streamable_http import check_accept_headers
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY, methods
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.types import Scope

from mcp_server.kernel.going import GOING, Going
from mcp_server.kernel.once import MOST
from mcp_server.protocol.bodies import MESSAGE
from mcp_server.protocol.opening import MODERN
from mcp_server.protocol.sessions import Sessions
from mcp_server.protocol.wire import Id, is_id
from tools import KNOWN

METHOD = "tools/call"
SESSION = b"mcp-session-id"
CLIENT_BYTES_MAX = 4096
"""What says more of itself is not remembered."""
_VERSION = b"mcp-protocol-version"
_ENVELOPE = frozenset(("jsonrpc", "id", "method", "params"))
_PARAMS = {"name", "arguments"}, {"name", "arguments", "_meta"}
_RESERVED = "io.modelcontextprotocol/"
_ABOUT_CLIENT = frozenset((PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY))
_SAID = {(_VERSION, MODERN.encode()), (b"mcp-method", METHOD.encode())}
_KNOWN: dict[bytes, Connection] = {}


class Plain(NamedTuple):
    """One plain call.

    Attributes:
        id: of the request.
        params: what it says.
        meta: what of that is about the request.
        client: who makes it.
        session: in which, before 2026.
        going: tells that it goes away.
    """

    id: Id
    params: dict[str, Any]
    meta: dict[str, Any]
    client: Connection
    session: str | None
    going: Going


def plain(scope: Scope, sessions: Sessions) -> Plain | None:
    """The plain call that a request is; None where it is anything else."""
    message, going = scope.get(MESSAGE), scope.get(GOING)
    if message is None or going is None or not _is_call(message):
        return None
    params: dict[str, Any] = message["params"]
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) != len(scope["headers"]) or not _takes_both(headers.get(b"accept", b"")):
        return None
    session, meta = session_of(headers), params.get("_meta", {})
    if session is None:
        client = _client(params, meta) if _is_addressed(headers, params) else None
    else:
        client = _in_session(session, headers, params, scope, sessions)
    return None if client is None else Plain(message["id"], params, meta, client, session, going)


def session_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The session that headers name, where they are of an era that has some."""
    named = headers.get(SESSION)
    return None if named is None or headers.get(_VERSION) == MODERN.encode() else named.decode("latin-1")


def _is_call(message: dict[str, Any]) -> bool:
    """Whether a message has what every call has, and nothing else."""
    params = message.get("params")
    return (
        message.keys() == _ENVELOPE
        and message["jsonrpc"] == "2.0"
        and message["method"] == METHOD
        and is_id(message["id"])
        and isinstance(params, dict)
        and params.keys() in _PARAMS
        and _says(cast("dict[str, Any]", params))
    )


def _says(params: dict[str, Any]) -> bool:
    meta = params.get("_meta", {})
    return (
        isinstance(params["name"], str)
        and isinstance(params["arguments"], dict)
        and isinstance(meta, dict)
        and is_id(cast("dict[str, Any]", meta).get("progressToken", ""))
    )


def _is_addressed(headers: Mapping[bytes, bytes], params: dict[str, Any]) -> bool:
    """Whether a call's headers say what it says itself. They say other names than these in another way."""
    name: str = params["name"]
    is_name = name.isascii() and name.isidentifier() and headers.get(b"mcp-name") == name.encode()
    return is_name and headers.items() >= _SAID


def _client(params: dict[str, Any], meta: dict[str, Any]) -> Connection | None:
    """Who calls, by all that it says of itself, word for word: checked by the SDK when it is first said."""
    about = {name: value for name, value in meta.items() if name.startswith(_RESERVED)}
    if about.keys() != _ABOUT_CLIENT or about[PROTOCOL_VERSION_META_KEY] != MODERN:
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


def _in_session(
    session: str, headers: Mapping[bytes, bytes], params: dict[str, Any], scope: Scope, sessions: Sessions
) -> Connection | None:
    """Who opened the session of a call that asks the client nothing: questions go through the SDK."""
    client, tool = sessions.client_of(session, scope), KNOWN.get(params["name"])
    if client is None or headers.get(_VERSION, b"") != client.protocol_version.encode():
        return None
    is_free = all(not name.startswith(_RESERVED) for name in params.get("_meta", {}))
    asks_not = tool is not None and tool.is_loaded and not tool.whole().asks_person
    return client if is_free and asks_not else None


@lru_cache(maxsize=64)
def _takes_both(accept: bytes) -> bool:
    """Whether a client takes JSON and events; few different ones say so."""
    return all(check_accept_headers(Request({"type": "http", "headers": [(b"accept", accept)]})))
