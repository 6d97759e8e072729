"""`serve`: MCP on stdio, with the page for approvals beside it where that is wanted; or MCP and its pages over HTTP.

The parts are imported when they are needed: after the log is set up, outside of the event loop.
"""

import contextlib
import gc
import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click
import structlog

from mcp_server import __version__
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.kernel.errors import OpsError
from mcp_server.protocol.opening import Opening
from mcp_server.protocol.sdk import load_for_stdio
from mcp_server.runtime.ending import Ending
from mcp_server.runtime.light import hash_fast
from mcp_server.runtime.signals import on_signals

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from mcp_server.app import App
    from mcp_server.protocol.stdio import Channel

log = structlog.stdlib.get_logger("datamcp")


@click.command("serve", cls=SettingsCommand, groups=tuple(Group))
def serve(**flags: Any) -> None:
    """Serve MCP clients (the default command)."""
    # Importing the SDK makes a great many objects that live for ever; collecting among them only costs time.
    gc.disable()
    opening = Opening()
    run(flags, partial(serve_until_stopped, opening), partial(_prepare, opening))


async def serve_until_stopped(opening: Opening, settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or, on stdio, the end of stdin."""
    from mcp_server.app import open_app

    ending = Ending()
    with on_signals(ending.ask):
        async with contextlib.AsyncExitStack() as stack:
            try:
                app = await stack.enter_async_context(open_app(settings))
            except OpsError as error:
                if settings.transport == "stdio":
                    from mcp_server.protocol.no_server import tell_why

                    tell_why(opening, error.message)
                raise
            log.info("serving", transport=settings.transport, database=app.desk.database.name, version=__version__)
            tell_rules(settings)
            if settings.transport == "stdio":
                await serve_on_stdio(app, opening, ending)
            else:
                await serve_http(app, ending)
            ending.ask()  # also where stdin ended: what remains to be done must not take longer then
        log.info("stopped")


def tell_rules(settings: Settings) -> None:
    """Log which rules are in force from now on; a changed one shows by its digest, and is recorded as an event."""
    from mcp_server.wiring import rules_in_force

    rules = rules_in_force(settings)
    if rules.digest is not None:
        log.info("rules in force", rules=list(rules.tools), sha256=rules.digest)


async def serve_on_stdio(app: "App", opening: Opening, ending: Ending) -> None:
    """Serve MCP on stdin and stdout, until told to stop or the end of stdin."""
    from mcp_server.protocol.stdio import serve_stdio

    stop = anyio.Event()
    ending.by(stop.set)
    async with _console(app):
        await serve_stdio(app.server, opening, stop, app.desk.end_waits, await _channel(app))


async def serve_http(app: "App", ending: Ending) -> None:
    """Serve MCP over HTTP until told to stop."""
    from mcp_server.protocol.streams import end_streams
    from mcp_server.runtime.web import WebServer

    server = WebServer(http_app(app), app.settings.host, app.settings.port)

    def stop() -> None:
        app.desk.end_waits()
        end_streams()
        server.stop()

    ending.by(stop)
    await server.serve()


def http_app(app: "App") -> Any:
    """What is served over HTTP, as an ASGI application."""
    from mcp_server.protocol.http import Counts, make_http_app
    from mcp_server.wiring import http_options

    options = http_options(app.settings, *app.verifiers)
    if options.verifier is None:
        log.warning("no keys: every program on this machine is let in", user=app.settings.user, role=app.settings.role)
    transport = "sse" if app.settings.transport == "sse" else "http"
    counts = Counts(app.limits, app.metrics.kept_out, app.metrics.text)
    return make_http_app(app.server, app.desk, options, transport, counts, _webhooks(app))


async def _channel(app: "App") -> "Channel | None":
    """What tells the session what came for it, where that is wanted."""
    if not app.settings.channel:
        return None
    from mcp_server.app import local_actor
    from mcp_server.hooks.channel import News

    news = News(app.desk, local_actor(app.settings), app.settings.toolsets)
    await news.begin()
    return news


def _console(app: "App") -> "contextlib.AbstractAsyncContextManager[None]":
    """The page for approvals beside stdio, where a port for it is set."""
    port = app.settings.console_port
    if port is None:
        return contextlib.nullcontext()
    from mcp_server.runtime.console import console
    from mcp_server.wiring import host_names

    return console(app.desk, port, app.limits, host_names(app.settings))


def _webhooks(app: "App") -> "list[BaseRoute]":
    from mcp_server.pages.webhooks import sendgrid_route
    from mcp_server.wiring import webhook

    told = webhook(app.settings)
    return [] if told is None else [sendgrid_route(app.desk, told.read)]


def _prepare(opening: Opening, settings: Settings) -> None:
    if settings.transport == "stdio":
        gives_handles = settings.toolsets is None or "tasks" in settings.toolsets
        opening.start(gives_handles=gives_handles, is_channel=settings.channel)
        load_for_stdio()
        importlib.import_module("mcp_server.protocol.stdio")
    else:
        hash_fast()
    importlib.import_module("mcp_server.app")
    if settings.transport != "stdio":
        from mcp_server.late import load_all

        load_all()
    gc.freeze()
    gc.enable()
