"""What is served over HTTP: MCP itself with its pages, or, beside stdio, the page for approvals alone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from mcp_server.app import App

BIND_AGAIN_SECONDS = 5.0
log = structlog.stdlib.get_logger("datamcp.web")


async def serve_http(app: "App") -> None:
    """Serve MCP over HTTP until told to stop."""
    from mcp_server.protocol.http import HttpOptions, make_http_app

    settings = app.settings
    options = HttpOptions(settings.host, settings.port, settings.allowed_hosts, app.tokens)
    transport = "sse" if settings.transport == "sse" else "http"
    asgi = make_http_app(app.server, app.desk, options, transport, app.metrics.text, _webhooks(app))
    await _server(asgi, settings.host, settings.port).serve()


@contextlib.asynccontextmanager
async def console(app: "App") -> AsyncGenerator[None]:
    """Beside stdio, serve the page for approvals on a loopback port, where one is set."""
    port = app.settings.console_port
    if port is None:
        yield
        return
    from starlette.applications import Starlette

    from mcp_server.protocol.approval_page import approval_routes

    server = _server(Starlette(routes=approval_routes(app.desk)), "127.0.0.1", port)
    serving = asyncio.create_task(_serve_console(server, port), name="console")
    try:
        yield
    finally:
        if server.started:
            server.should_exit = True
        else:
            serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _serve_console(server: Any, port: int) -> None:
    """Several servers of one machine may want the same port: one has it, and the next takes over when it ends."""
    import socket

    while True:
        try:
            bound = socket.create_server(("127.0.0.1", port))
        except OSError:
            await asyncio.sleep(BIND_AGAIN_SECONDS)
            continue
        log.info("console", url=f"http://127.0.0.1:{port}")
        server.capture_signals = contextlib.nullcontext  # they are the process's, not the page's
        with contextlib.closing(bound):
            await server.serve([bound])
        return


def _server(asgi: Any, host: str, port: int) -> Any:
    import uvicorn

    # uvicorn's logs would go to stdout, which is the protocol's on stdio.
    config = uvicorn.Config(asgi, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


def _webhooks(app: "App") -> "list[BaseRoute]":
    key = app.settings.sendgrid_webhook_key
    if key is None:
        return []
    from mcp_server.integrations.sendgrid import EventWebhook
    from mcp_server.protocol.webhooks import sendgrid_route

    return [sendgrid_route(app.desk, EventWebhook(key).read)]
