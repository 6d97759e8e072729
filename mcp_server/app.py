"""The composition root: builds every part once. The only module that imports everything."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.lowlevel import Server

from mcp_server import __version__
from mcp_server.config import Settings
from mcp_server.domain.agents.speaking import Session
from mcp_server.domain.areas import AREAS
from mcp_server.domain.deployments.targets import Targets
from mcp_server.domain.desk import Desk
from mcp_server.domain.email.templates import Rendering
from mcp_server.domain.email.transport import MailProvider
from mcp_server.domain.events.retention import KeepEvents
from mcp_server.domain.speaking import Voices
from mcp_server.domain.tasks.archive import KeepTasks
from mcp_server.integrations.mailers import LazyMailer, make_mailer
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Clock, Context
from mcp_server.kernel.events import NewId, Random
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.times import system_clock
from mcp_server.observability.metrics import Metrics, NoMetrics, PrometheusMetrics
from mcp_server.persistence.database import Database
from mcp_server.protocol.identity import Callers, FileTokens
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.runtime.timers import run_chores, run_timer
from mcp_server.wiring import (
    Workers,
    approval_policy,
    deployment_policy,
    email_policy,
    mailer_options,
    mirrors,
    offer,
    require_servable,
    targets,
    tokens,
)


@dataclass(frozen=True, slots=True)
class App:
    """One running server's parts."""

    settings: Settings
    desk: Desk
    server: Server[Any]
    metrics: Metrics
    tokens: FileTokens | None


def desk_on(
    database: Database,
    *options: object,
    clock: Clock = system_clock,
    ids: NewId = new_id,
    chance: Random = random.random,
) -> Desk:
    """Every service on an open database, with what the operator set."""
    context = Context(database, clock, ids, chance)
    return Desk(context, AREAS, __version__, Rendering(_render), *options)


def configured_desk(database: Database, settings: Settings, mailer: LazyMailer | None = None) -> Desk:
    """Every service, with what the operator set about mail, links and how long things are kept."""
    policy, workers = email_policy(settings), Workers(settings)
    workers.desk = desk_on(
        database,
        policy,
        approval_policy(settings, policy),
        KeepTasks(settings.retention_days),
        KeepEvents(settings.event_retention_days),
        MailProvider(mailer or _mailer(settings)),
        deployment_policy(settings),
        targets(settings, workers),
        mirrors(settings),
        workers,
        Session(settings.agent, remembers=settings.transport == "stdio"),
    )
    return workers.desk


@contextlib.asynccontextmanager
async def open_desk(settings: Settings, metrics: Metrics | None = None) -> AsyncGenerator[Desk]:
    """An open database and every service, with what runs beside requests: the timer, the chores and the worker for
    system tasks. On leaving, everything queued is written and every connection closed.

    Raises:
        OpsError: the database cannot be used; the message says why and what to do.
    """
    database = await Database.open(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    mailer = _mailer(settings)
    try:
        if metrics is not None:
            database.on_commit = metrics.committed
            metrics.watch(database.loops)
        desk = configured_desk(database, settings, mailer)
        async with _background(desk), _targets(desk):
            yield desk
    finally:
        with anyio.CancelScope(shield=True):
            await mailer.close()
            await database.close()


@contextlib.asynccontextmanager
async def open_app(settings: Settings) -> AsyncGenerator[App]:
    """`open_desk`, and the MCP server on it.

    Raises:
        OpsError: the database or the settings cannot be used; the message says why and what to do.
    """
    require_servable(settings)
    metrics = _metrics(settings)
    async with open_desk(settings, metrics) as desk:
        server = make_server(desk, seam_of(desk, settings, metrics), offer(settings))
        yield App(settings, desk, server, metrics, tokens(settings))


def seam_of(desk: Desk, settings: Settings, metrics: Metrics) -> Seam:
    """Who calls, and who counts calls."""
    local = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
    callers = Callers(local.narrowed(read_only=settings.read_only), read_only=settings.read_only)
    return Seam(callers, desk.get(Voices), new_id, metrics, settings.toolsets)


@contextlib.asynccontextmanager
async def _background(desk: Desk) -> AsyncGenerator[None]:
    running = [
        asyncio.create_task(run_timer(desk.housekeeping, desk.loops), name="timer"),
        asyncio.create_task(run_chores(desk.housekeeping, desk.loops), name="chores"),
        asyncio.create_task(SystemWorker(desk, AREAS.kinds).run(), name="system-worker"),
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _targets(desk: Desk) -> AsyncGenerator[None]:
    """What Workers on this machine ask for, and the connections that targets hold."""
    workers = desk.option(Workers)
    await workers.service.resume()
    try:
        yield
    finally:
        await workers.service.close()
        await desk.option(Targets).close()


def _mailer(settings: Settings) -> LazyMailer:
    return LazyMailer(lambda: make_mailer(mailer_options(settings)))


def _render(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    from mcp_server.integrations.templating import render  # most servers never fill in a template

    return render(what, source, variables, html=html)


def _metrics(settings: Settings) -> Metrics:
    if settings.transport == "stdio" and settings.metrics_port is None:
        return NoMetrics()
    metrics = PrometheusMetrics()
    if settings.metrics_port is not None:
        metrics.serve(settings.metrics_port)
    return metrics
