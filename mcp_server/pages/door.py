"""The door of everything over HTTP: a request claims by its Host to be for this server, and by its Origin not to come
from a page of somebody else's. It stands before every path, also those that do not exist.

This keeps a web page from reaching a server on its reader's machine by a name of its own that leads there (DNS
rebinding). What a proxy says in `X-Forwarded-*` is not looked at.
"""

from collections.abc import Sequence

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.kernel.hosts import Hosts

KNOWN_TO_ALL = "/.well-known/"
"""Clients in any web page read there how to get a token."""
APPROVALS = "/approvals/"
"""A page that tells nobody where it was read posts its form with the origin `null`; it looks itself at who sent it."""


class Door:
    """Refuses what is not for this server, by its headers alone."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refused is None else refused)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts, origins = said(scope, b"host"), said(scope, b"origin")
        if len(hosts) != 1:
            return PlainTextResponse("A request names one host.", 400)
        if not self._hosts.admits(hosts[0]):
            return PlainTextResponse("This server has no such name; its operator can add it (--allowed-hosts).", 421)
        if not all(self._admits(origin, scope["path"]) for origin in origins) or len(origins) > 1:
            return PlainTextResponse("Pages of that origin may not call this server.", 403)
        return None

    def _admits(self, origin: str, path: str) -> bool:
        is_free = path.startswith(KNOWN_TO_ALL) or (origin == "null" and path.startswith(APPROVALS))
        return is_free or self._hosts.admits_origin(origin)


def first_said(scope: Scope, name: bytes) -> str:
    """The first value of a header; empty where it is not said."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return ""


def said(scope: Scope, name: bytes) -> Sequence[str]:
    """Each value of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
