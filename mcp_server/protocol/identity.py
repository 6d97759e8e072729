"""Who makes a request: who is authenticated, as far as the settings let it do anything."""

from functools import cache
from typing import TYPE_CHECKING

from mcp_server.kernel.authority import Actor
from mcp_server.kernel.once import MOST
from mcp_server.protocol.seam import RequestContext

if TYPE_CHECKING:
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

    from mcp_server.protocol.bearers import Bearer


class Callers:
    """Tells who makes a request: the token's holder over authenticated HTTP, the configured local user elsewhere."""

    def __init__(self, local: Actor, *, read_only: bool) -> None:
        self._local = local
        self._read_only = read_only
        # Not `Once`: it is asked twice at each request, and to look into a dictionary runs no Python.
        self._proved: dict[object, Actor] = {}

    def __call__(self, ctx: RequestContext) -> Actor:
        """The request's actor. Settings narrow it; nothing widens it again."""
        user = None if ctx.request is None else ctx.request.scope.get("user")
        return self._local if user is None else self._proved.get(user) or self._narrow(user)

    def _narrow(self, user: object) -> Actor:
        """The actor whom a request proved, made once of each."""
        authenticated, bearer = _kinds()
        if not isinstance(user, authenticated):
            return self._local
        assert isinstance(user.access_token, bearer), "every verifier of ours gives one"
        proved = user.access_token.actor
        allowed = proved.permissions & self._local.permissions
        actor = proved.model_copy(update={"permissions": allowed}).narrowed(read_only=self._read_only)
        if len(self._proved) >= MOST:
            self._proved.clear()
        self._proved[user] = actor
        return actor


@cache
def _kinds() -> "tuple[type[AuthenticatedUser], type[Bearer]]":
    """What only authenticated HTTP loads."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

    from mcp_server.protocol.bearers import Bearer

    return AuthenticatedUser, Bearer
