"""The composition root: builds every part once. The only module that imports everything."""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from mcp.server.lowlevel import Server

from mcp_server import __version__
from mcp_server.config import Settings
from mcp_server.domain.emails import EmailPolicy
from mcp_server.domain.users import Actor
from mcp_server.domain.values import Micros
from mcp_server.mail import LazyMailer, email_policy, links_base, make_mailer
from mcp_server.observability.metrics import Metrics, NoMetrics, PrometheusMetrics
from mcp_server.persistence import (
    agents,
    approvals,
    claiming,
    emails,
    event_log,
    event_retention,
    locks,
    messages,
    state,
    task_timers,
    tasks,
)
from mcp_server.persistence.database import Database
from mcp_server.protocol.identity import Callers, FileTokens
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import Offer, make_server
from mcp_server.protocol.stdio import serve_stdio
from mcp_server.protocol.task_handles import ApprovalQuestions, Questions
from mcp_server.runtime.handlers import system_handlers
from mcp_server.runtime.mail_handlers import mail_handlers
from mcp_server.runtime.signals import on_signals
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.runtime.timers import run_retention, run_timer
from mcp_server.services.context import Context
from mcp_server.services.desk import Desk, make_desk
from mcp_server.services.retention import Keep
from tools.spec import AnyTool

log = structlog.stdlib.get_logger("datamcp")


@dataclass(frozen=True, slots=True)
class App:
    """One running server's parts."""

    settings: Settings
    database: Database
    desk: Desk
    server: Server[Any]
    metrics: Metrics
    tokens: FileTokens | None


def system_clock() -> Micros:
    """Now, in microseconds UTC."""
    return time.time_ns() // 1000


def new_id(kind: str) -> str:
    """`kind_` and 12 random base32 characters: short, because models read and repeat ids."""
    return f"{kind}_{_random_word()}"


_WORDS: deque[str] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WORDS.clear)  # a child must not give out its parent's ids
_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte % 32] for byte in range(256))


def _random_word() -> str:
    """Twelve letters, of which the first five are the same for 256 words.

    What is made at about the same time thus stands together in every index by id, where it would else dirty a page
    each. Two words are alike no more often than if all their letters were drawn for each.
    """
    try:
        return _WORDS.pop()
    except IndexError:
        letters = secrets.token_bytes(5 + 7 * 256).translate(_LETTERS).decode()
        words = {letters[:5] + letters[start : start + 7] for start in range(5, len(letters), 7)}
        word = words.pop()
        _WORDS.extend(words)
        return word


def desk_on(
    database: Database,
    *,
    clock: Any = system_clock,
    ids: Any = new_id,
    chance: Any = random.random,
    policy: EmailPolicy | None = None,
    links_base: str | None = None,
) -> Desk:
    """Every service on an open database."""
    context = Context(store=database, clock=clock, new_id=ids, random=chance)
    return make_desk(
        context,
        version=__version__,
        agents=agents,
        tasks=tasks,
        claims=claiming,
        timers=task_timers,
        state=state,
        locks=locks,
        messages=messages,
        approvals=approvals,
        emails=emails,
        policy=policy or EmailPolicy(),
        render=_render,
        links_base=links_base,
        log=event_log,
        thinning=event_retention,
    )


def configured_desk(database: Database, settings: Settings) -> Desk:
    """Every service, with what the operator set about mail and links."""
    return desk_on(database, policy=email_policy(settings), links_base=links_base(settings))


def _render(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    from mcp_server.integrations.templating import render  # most servers never fill in a template

    return render(what, source, variables, html=html)


@contextlib.asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    extra_tools: tuple[AnyTool, ...] = (),
    questions: Callable[[Desk], Questions] = ApprovalQuestions,
) -> AsyncGenerator[App]:
    """Open the database and build the server; on leaving, everything queued is written and every connection closed.

    `extra_tools` and `questions` are for conformance suites that want fixtures beside the real thing.

    Raises:
        OpsError: the database or the settings cannot be used; the message says why and what to do.
    """
    offer = Offer(settings.toolsets, settings.exclude_tools, settings.read_only)
    offer.tools()  # a misspelt toolset is told before anything is opened
    tokens = FileTokens(settings.tokens_file) if settings.tokens_file is not None else None
    metrics = _metrics(settings)
    database = await Database.open(settings.database_url, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    database.on_commit = metrics.committed
    try:
        desk = configured_desk(database, settings)
        local = Actor(kind="user", id=settings.user, permissions=settings.role.permissions)
        callers = Callers(local.narrowed(read_only=settings.read_only), read_only=settings.read_only)
        server = make_server(desk, Seam(callers, new_id, metrics), offer, extra_tools=extra_tools, questions=questions)
        async with background(desk, settings):
            yield App(settings, database, desk, server, metrics, tokens)
    finally:
        with anyio.CancelScope(shield=True):
            await database.close()


@contextlib.asynccontextmanager
async def background(desk: Desk, settings: Settings) -> AsyncGenerator[None]:
    """What runs beside requests: the timer, the retention and the worker for system tasks."""
    keep = Keep(settings.retention_days, settings.event_retention_days)
    mailer = LazyMailer(lambda: make_mailer(settings))
    handlers = {**system_handlers(desk, keep), **mail_handlers(desk, mailer)}
    running = [
        asyncio.create_task(run_timer(desk.housekeeping), name="timer"),
        asyncio.create_task(run_retention(desk.retention, keep), name="retention"),
        asyncio.create_task(SystemWorker(desk, handlers).run(), name="system-worker"),
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await mailer.close()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or, on stdio, the end of stdin."""
    async with open_app(settings) as app:
        log.info("serving", transport=settings.transport, database=app.database.name, version=__version__)
        if settings.transport == "stdio":
            from mcp_server.web import console

            stop = anyio.Event()
            async with console(app):
                with on_signals(stop.set):
                    await serve_stdio(app.server, stop)
        else:
            from mcp_server.web import serve_http

            await serve_http(app)
    log.info("stopped")


def _metrics(settings: Settings) -> Metrics:
    if settings.transport == "stdio" and settings.metrics_port is None:
        return NoMetrics()
    metrics = PrometheusMetrics()
    if settings.metrics_port is not None:
        metrics.serve(settings.metrics_port)
    return metrics
