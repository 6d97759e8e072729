"""MCP over HTTP: Streamable HTTP at `/mcp`, or the legacy SSE pair at `/sse` and `/messages/`; health and metrics."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.provider import TokenVerifier
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.domain.desk import Desk
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.pages.approval import approval_routes
from mcp_server.protocol.bodies import StrictBody
from mcp_server.protocol.challenges import ByBearer, LetIn, ProtectedResource, not_let_in
from mcp_server.protocol.gone import CancelGone, FromNowOn
from mcp_server.protocol.streams import EndedPolitely, never_look


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Where to listen, and whom to let in.

    Attributes:
        host: address to bind.
        port: TCP port.
        allowed_hosts: further `Host` header values to accept, such as `desk.example.org` or `desk.example.org:*`.
        verifier: checks bearer tokens; None lets everyone on this machine in.
        resource: what issuers make tokens for; None where there are none.
        troubled: names the issuers that could not be asked for their keys the last time.
    """

    host: str
    port: int
    allowed_hosts: tuple[str, ...] = ()
    verifier: TokenVerifier | None = None
    resource: ProtectedResource | None = None
    troubled: Callable[[], Sequence[str]] = tuple

    def require_safe_bind(self) -> None:
        """Refuse to be reachable from other machines without authentication.

        Raises:
            ValidationFailed: naming the setting that is missing.
        """
        if self.verifier is None and not is_loopback(self.host):
            raise ValidationFailed(
                f"Refusing to listen on {self.host} without authentication: whoever reaches it could use this server.",
                next="Make a key first (`key create --user NAME`, docs/people.md), set [issuers.NAME] (docs/http.md), "
                "or listen on 127.0.0.1.",
            )

    def security(self) -> TransportSecuritySettings:
        """Host and Origin checks, always on: they stop a web page from reaching a local server (DNS rebinding)."""
        names = ["127.0.0.1", "localhost", "[::1]"]
        if not is_loopback(self.host) and self.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            names.append(self.host)
        hosts = [f"{name}:*" for name in names] + list(self.allowed_hosts)
        origins = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
        return TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def make_http_app(
    server: Server[Any],
    desk: Desk,
    options: HttpOptions,
    transport: Literal["http", "sse"],
    metrics_text: Callable[[], bytes],
    webhooks: Sequence[BaseRoute] = (),
) -> Starlette:
    """The ASGI application of one transport, with the page for approvals and the webhooks of providers."""
    options.require_safe_bind()
    never_look()
    routes: list[BaseRoute] = [
        Route("/health", _health(desk, options.troubled)),
        Route("/metrics", _metrics(metrics_text)),
        *approval_routes(desk),
        *webhooks,
        *([] if options.resource is None else options.resource.routes()),
    ]
    if transport == "sse":
        return Starlette(routes=routes + _sse_routes(server, options), middleware=_middleware(options))
    manager = StreamableHTTPSessionManager(app=server, security_settings=options.security())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with manager.run():
            yield

    app = EndedPolitely(
        StrictBody(_widening(CancelGone(FromNowOn(StreamableHTTPASGIApp(manager))), options), options.security())
    )
    endpoint = _guarded(app, options)
    return Starlette(
        routes=[*routes, Route("/mcp", endpoint=endpoint)], middleware=_middleware(options), lifespan=lifespan
    )


def _sse_routes(server: Server[Any], options: HttpOptions) -> list[BaseRoute]:
    transport = SseServerTransport("/messages/", security_settings=options.security())

    async def connect(scope: Scope, receive: Receive, send: Send) -> None:
        # A refused request has been answered already; the SDK raises all the same.
        with contextlib.suppress(ValueError):
            async with transport.connect_sse(scope, receive, send) as (read_stream, write_stream):
                await server.run(read_stream, write_stream, server.create_initialization_options())

    posted = _widening(transport.handle_post_message, options)
    return [
        Route("/sse", endpoint=_guarded(EndedPolitely(connect), options)),
        Mount("/messages/", app=_guarded(StrictBody(posted, options.security()), options)),
    ]


def _guarded(app: ASGIApp, options: HttpOptions) -> ASGIApp:
    return app if options.verifier is None else LetIn(app, options.resource)


def _widening(app: ASGIApp, options: HttpOptions) -> ASGIApp:
    """The application, with an answer for tokens of issuers whose scopes are too narrow."""
    if options.resource is None:
        return app
    from mcp_server.protocol.stepping_up import StepUp

    return StepUp(app, options.resource)


def _middleware(options: HttpOptions) -> list[Middleware]:
    if options.verifier is None:
        return []
    backend = ByBearer(options.verifier)
    return [
        Middleware(AuthenticationMiddleware, backend=backend, on_error=not_let_in),
        Middleware(AuthContextMiddleware),
    ]


def _health(desk: Desk, troubled: Callable[[], Sequence[str]]) -> Callable[[Request], Awaitable[Response]]:
    async def health(_: Request) -> Response:
        problem: dict[str, str] = {}
        try:
            await desk.tasks.counts(SYSTEM_CALL)
        except OpsError as error:
            problem = {"problem": error.code}
        failing = desk.loops.failing()
        ok = not problem and not failing
        answer = {"ok": ok, "version": desk.version, "loops": failing} | problem
        if issuers := troubled():  # keys that are known go on, and so does everything else
            answer["issuers"] = list(issuers)
        return JSONResponse(answer, status_code=200 if ok else 503)

    return health


def _metrics(metrics_text: Callable[[], bytes]) -> Callable[[Request], Awaitable[Response]]:
    async def metrics(_: Request) -> Response:
        return Response(metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics
