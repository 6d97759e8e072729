"""What a client without a token that counts is told: 401, 403 and 503 with how to get one, and the metadata of this
server as a protected resource (RFC 9728), which leads to the issuers of tokens."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.routes import cors_middleware
from starlette.authentication import AuthenticationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.pages.door import said
from mcp_server.protocol.bearers import Verifiers

WELL_KNOWN = "/.well-known/oauth-protected-resource"
METADATA_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """This server, as it is known to those who ask an issuer for tokens.

    Attributes:
        base: its public address, without a slash at the end.
        path: where MCP is served below it.
        issuers: who makes its tokens.
        scopes: those that a client is to ask for at first; where there are none, clients ask for none.
    """

    base: str
    path: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...] = ()

    @property
    def identifier(self) -> str:
        """The resource that tokens are for (RFC 8707)."""
        return self.base + self.path

    @property
    def metadata_url(self) -> str:
        """Where its metadata are: the well-known path stands between host and path."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}{self.path}"

    def routes(self) -> list[BaseRoute]:
        """Its metadata at its own path, and at the root, where it stands for all that is served here. Web pages of any
        origin may read them: they say what everybody may know."""
        above = urlsplit(self.base).path
        named = {WELL_KNOWN + path: self.base + end for end in ("", self.path) for path in (end, above + end)}
        return [self._route(path, resource) for path, resource in named.items()]

    def _route(self, path: str, resource: str) -> Route:
        metadata = {
            "resource": resource,
            "authorization_servers": self.issuers,
            "bearer_methods_supported": ["header"],
            "resource_name": "DataMCPServerAgent",
        } | ({"scopes_supported": self.scopes} if self.scopes else {})

        async def answer(_: Request) -> Response:
            return JSONResponse(metadata, headers={"cache-control": f"public, max-age={METADATA_SECONDS}"})

        return Route(path, cors_middleware(answer, ["GET", "OPTIONS"]), methods=["GET", "OPTIONS"])


def challenge(
    resource: ProtectedResource | None, *, error: str = "", says: str = "", scopes: Sequence[str] | None = None
) -> str:
    """The value of `WWW-Authenticate` (RFC 6750).

    Args:
        resource: where tokens for it come from; None where only keys are taken.
        error: its code; none where no token was sent.
        says: what was wrong.
        scopes: those that are needed; None for those to ask for at first.
    """
    named = {"error": error, "error_description": says}
    if resource is not None:
        named["scope"] = " ".join(resource.scopes if scopes is None else scopes)
        named["resource_metadata"] = resource.metadata_url
    said = [f'{name}="{value}"' for name, value in named.items() if value]
    return f"Bearer {', '.join(said)}".strip()


class ByBearer:
    """Has the bearer token of each request verified, and notes in its scope whom it proves. Who proves to be nobody
    goes on by way of what looks after strangers.

    Of two tokens, which one reader takes for the one that counts and another not, none does. Starlette's middleware
    does the same with a backend of ours, by a layer and a connection object more at each request.
    """

    def __init__(self, app: ASGIApp, verifier: Verifiers, strangers: Callable[[ASGIApp], ASGIApp]) -> None:
        self._app = app
        self._verifier = verifier
        self._strangers = strangers(app)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        token = _shown(scope)
        if token is None:
            return self._strangers(scope, receive, send)
        known = self._verifier.known(token)
        if known is None:
            return self._verified(token, scope, receive, send)
        scope["user"] = known.user
        return self._app(scope, receive, send)

    async def _verified(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = await self._verifier.verify_token(token)
        except AuthenticationError as error:
            await not_let_in(error)(scope, receive, send)
            return
        if found is None:
            await self._strangers(scope, receive, send)
            return
        scope["user"] = found.user
        await self._app(scope, receive, send)


def _shown(scope: Scope) -> str | None:
    """The one bearer token of a request."""
    shown = said(scope, b"authorization")
    return shown[0][7:] if len(shown) == 1 and shown[0][:7].lower() == "bearer " else None


class LetIn:
    """Lets those in whose token was proved, and tells others how to get one."""

    def __init__(self, app: ASGIApp, resource: ProtectedResource | None) -> None:
        self._app = app
        self._resource = resource

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        proved = isinstance(scope.get("user"), AuthenticatedUser)
        return self._app(scope, receive, send) if proved else self._refused(scope, receive, send)

    async def _refused(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = "authorization" in HTTPConnection(scope).headers
        error = "invalid_token" if sent else ""
        says = "This token is not known here, has ended, or is for something else." if sent else ""
        body = {"error": error or "unauthorized", "error_description": says or "Authorization: Bearer is needed."}
        headers = {"www-authenticate": challenge(self._resource, error=error, says=says)}
        await JSONResponse(body, 401, headers)(scope, receive, send)


def not_let_in(error: AuthenticationError) -> Response:
    """The answer to a token that makes sense and lets nobody in: its holder may do nothing here, or it cannot be
    checked now. Asking for another token would not help."""
    status = getattr(error, "status", 403)
    refusal = getattr(error, "error", None)
    code, facts = getattr(refusal, "code", "permission_denied"), getattr(refusal, "details", {})
    retry = facts.get("retry_after_seconds")
    headers = {} if retry is None else {"retry-after": f"{retry:g}"}
    return JSONResponse({"error": code, "error_description": str(error)}, status, headers)
