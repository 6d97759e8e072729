"""403 `insufficient_scope`: a call that needs what the token's scopes left out, and its holder's role allows, is told
so before it begins, so that its client can ask for a wider token and make it again.

It decides nothing about rights: the services do, whatever passes here.
"""

import json
from collections.abc import Awaitable
from typing import Any, cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.shared.uri_template import UriTemplate
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.kernel.authority import Permission
from mcp_server.protocol.challenges import ProtectedResource, challenge
from mcp_server.protocol.issued import IssuedBearer
from mcp_server.protocol.offer import METHODS
from resources import RESOURCES
from tools import KNOWN

_OF_TOOLS = {name: tool.permission for name, tool in KNOWN.items()}
_OF_METHODS = {method.name: method.permission for method in METHODS}
_OF_RESOURCES = [(UriTemplate.parse(resource.uri_template), resource.permission) for resource in RESOURCES]
_CALLS = ("calls", "also")
"""Arguments that hold calls."""


class StepUp:
    """Answers for calls that their holder could make with a wider token; hands everything else on."""

    def __init__(self, app: ASGIApp, resource: ProtectedResource) -> None:
        self._app = app
        self._resource = resource

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        user = scope.get("user")
        token = user.access_token if isinstance(user, AuthenticatedUser) else None
        # One that brings a message and could bring a wider token.
        if isinstance(token, IssuedBearer) and token.actor.reach and scope["method"] == "POST":
            return self._answered(token, scope, receive, send)
        return self._app(scope, receive, send)

    async def _answered(self, bearer: IssuedBearer, scope: Scope, receive: Receive, send: Send) -> None:
        messages = await _whole(receive)
        needed = needs(b"".join(message.get("body", b"") for message in messages))
        if not needed & bearer.actor.reach:
            await self._app(scope, _replayed(messages, receive), send)
            return
        scopes = sorted(bearer.scope_prefix + permission.value for permission in needed)
        says = f"This takes a token with {' '.join(scopes)}."
        header = challenge(self._resource, error="insufficient_scope", says=says, scopes=scopes)
        body = {"error": "insufficient_scope", "error_description": says, "scope": " ".join(scopes)}
        await JSONResponse(body, 403, {"www-authenticate": header})(scope, receive, send)


def needs(body: bytes) -> frozenset[Permission]:
    """What a message needs as far as its words tell, all of it: of calls that hold others, what those need, too."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return frozenset()
    method, given = _member(message, "method"), _member(message, "params")
    match method:
        case "tools/call":
            return frozenset(_of_call(_member(given, "name"), _member(given, "arguments")))
        case "resources/read" | "resources/subscribe":
            return _of_uri(_member(given, "uri"))
        case _:
            permission = _OF_METHODS.get(method) if isinstance(method, str) else None
            return frozenset(() if permission is None else (permission,))


def _of_call(name: Any, arguments: Any) -> set[Permission]:
    found = {_OF_TOOLS[name]} if isinstance(name, str) and name in _OF_TOOLS else set[Permission]()
    for calls in (_member(arguments, argument) for argument in _CALLS):
        for call in cast("list[Any]", calls) if isinstance(calls, list) else ():
            tool = _member(call, "tool")
            found |= {_OF_TOOLS[tool]} if isinstance(tool, str) and tool in _OF_TOOLS else set()
    return found


def _of_uri(uri: Any) -> frozenset[Permission]:
    if not isinstance(uri, str):
        return frozenset()
    return frozenset(permission for template, permission in _OF_RESOURCES if template.match(uri) is not None)


def _member(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


async def _whole(receive: Receive) -> list[Message]:
    """A whole body, whose size what stands before this has seen to."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again
