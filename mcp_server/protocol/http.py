"""MCP over HTTP: Streamable HTTP at `/mcp`, or the legacy SSE pair at `/sse` and `/messages/`; health and metrics.

From the outside in: the door (`pages/door.py`), keys, whoever shows a wrong one, whoever has too much, the SDK.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.domain.desk import Desk
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed
from mcp_server.kernel.hosts import LOOPBACK, Hosts, is_loopback, own_name
from mcp_server.kernel.limits import Limits, Thing
from mcp_server.pages.approval import approval_routes
from mcp_server.pages.bodies import arriving, too_many
from mcp_server.pages.call import call_routes
from mcp_server.pages.door import Door
from mcp_server.protocol.bearers import Verifiers
from mcp_server.protocol.bodies import RpcBody, StrictBody, read_once
from mcp_server.protocol.challenges import ByBearer, LetIn, ProtectedResource
from mcp_server.protocol.gone import CancelGone, FromNowOn
from mcp_server.protocol.in_turn import InTurn
from mcp_server.protocol.kept_out import KeptOut
from mcp_server.protocol.letting_in import LettingIn
from mcp_server.protocol.sdk import is_traced
from mcp_server.protocol.sessions import Sessions
from mcp_server.protocol.status import health, metrics
from mcp_server.protocol.straight import Straight
from mcp_server.protocol.streams import EndedPolitely, WhileLetIn, never_look
from mcp_server.protocol.whose import caller_of


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
    verifier: Verifiers | None = None
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

    def hosts(self) -> Hosts:
        """The names that this server answers to.

        Raises:
            ValidationFailed: one that the operator named is no host.
        """
        return Hosts((*LOOPBACK, *own_name(self.host), *self.allowed_hosts))


@dataclass(frozen=True, slots=True)
class Counts:
    """What counts what comes over HTTP.

    Attributes:
        limits: what each caller has and does.
        kept_out: is told why somebody is not let in.
        metrics_text: everything counted so far, in Prometheus' text format.
    """

    limits: Limits
    kept_out: Callable[[str], None]
    metrics_text: Callable[[], bytes]


def make_http_app(
    server: Server[Any],
    desk: Desk,
    options: HttpOptions,
    transport: Literal["http", "sse"],
    counts: Counts,
    webhooks: Sequence[BaseRoute] = (),
) -> Starlette:
    """The ASGI application of one transport, with the pages for approvals and calls and the webhooks of providers."""
    options.require_safe_bind()
    never_look()
    read_once()
    keys = options.verifier is not None
    scraped = Route("/metrics", metrics(counts.metrics_text, keys=keys))
    scraped.app = _guarded(scraped.app, options)
    routes: list[BaseRoute] = [
        Route("/health", health(desk, options.troubled, keys=keys)),
        scraped,
        *arriving([*approval_routes(desk), *call_routes(desk), *webhooks], counts.limits),
        *([] if options.resource is None else options.resource.routes()),
    ]
    middleware = _middleware(options, counts)
    letting_in = LettingIn(desk)
    if transport == "sse":
        sse = _sse_routes(server, options, counts.limits, letting_in)
        return Starlette(routes=[*sse, *routes], middleware=middleware)
    manager = Sessions(server, counts.limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with manager.run():
            yield

    sdk: ASGIApp = CancelGone(FromNowOn(StreamableHTTPASGIApp(manager)))
    inside = _widening(sdk if is_traced() else Straight(sdk, server, manager), options)
    body = InTurn(StrictBody(inside, counts.limits, caller_of), counts.limits, caller_of)
    endpoint = _guarded(EndedPolitely(WhileLetIn(body, letting_in)), options)
    # The first route that fits is taken: what is asked most stands first.
    return Starlette(routes=[Route("/mcp", endpoint=endpoint), *routes], middleware=middleware, lifespan=lifespan)


def _sse_routes(server: Server[Any], options: HttpOptions, limits: Limits, letting_in: LettingIn) -> list[BaseRoute]:
    transport = SseServerTransport("/messages/")

    async def connect(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # A refused request has been answered already; the SDK raises all the same.
            with contextlib.suppress(ValueError), limits.holding(Thing.SESSIONS, caller_of(scope)):
                async with transport.connect_sse(scope, receive, send) as (read_stream, write_stream):
                    await server.run(read_stream, write_stream, server.create_initialization_options())
        except LimitExceeded as error:
            await too_many(error)(scope, receive, send)

    messages = RpcBody(_widening(transport.handle_post_message, options), limits, caller_of)
    return [
        Route("/sse", endpoint=_guarded(EndedPolitely(WhileLetIn(connect, letting_in)), options)),
        Mount("/messages/", app=_guarded(messages, options)),
    ]


def _guarded(app: ASGIApp, options: HttpOptions) -> ASGIApp:
    return app if options.verifier is None else LetIn(app, options.resource)


def _widening(app: ASGIApp, options: HttpOptions) -> ASGIApp:
    """The application, with an answer for tokens of issuers whose scopes are too narrow."""
    if options.resource is None:
        return app
    from mcp_server.protocol.stepping_up import StepUp

    return StepUp(app, options.resource)


def _middleware(options: HttpOptions, counts: Counts) -> list[Middleware]:
    door = Middleware(Door, hosts=options.hosts())
    if options.verifier is None:
        return [door]
    strangers = partial(KeptOut, count=counts.kept_out)
    return [door, Middleware(ByBearer, verifier=options.verifier, strangers=strangers)]
