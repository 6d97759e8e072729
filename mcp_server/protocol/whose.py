"""Whose a request over HTTP is."""

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.types import Scope

from mcp_server.kernel.authority import Actor
from mcp_server.kernel.limits import Caller
from mcp_server.protocol.bearers import Bearer

LOCAL = Caller("user:local", is_local=True)
"""Whoever calls where nobody needs a key."""


def actor_of(scope: Scope) -> Actor | None:
    """Who has proved to be the sender of a request; None where nobody had to, or did."""
    user = scope.get("user")
    found = user.access_token if isinstance(user, AuthenticatedUser) else None
    return found.actor if isinstance(found, Bearer) else None


def caller_of(scope: Scope) -> Caller:
    """For whom a request is counted, where whoever must have a key has shown it."""
    user = scope.get("user")
    found = user.access_token if isinstance(user, AuthenticatedUser) else None
    return found.caller if isinstance(found, Bearer) else LOCAL
