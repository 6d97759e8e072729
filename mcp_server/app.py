"""The composition root: builds every part once. The only module that imports everything."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.lowlevel import Server

from mcp_server import __version__
from mcp_server.calling import LazyMedia, call_policy
from mcp_server.config import Settings
from mcp_server.config.model import ProcessSettings
from mcp_server.config.places import logs_folder, values_file
from mcp_server.domain.agents.speaking import Session
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.events.retention import KeepEvents
from mcp_server.domain.speaking import Voices
from mcp_server.domain.tasks.archive import KeepTasks
from mcp_server.integrations.mailers import LazyMailer, make_mailer
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call, Clock, Context, Grant
from mcp_server.kernel.clocks import ClockWatch
from mcp_server.kernel.composing import CalledTool, Composed, Composing
from mcp_server.kernel.events import NewId, Random
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.limits import Limits
from mcp_server.kernel.services import Later, Services
from mcp_server.kernel.times import steady_clock
from mcp_server.late import RULES, TARGETS, WORKERS, late_options
from mcp_server.observability.metrics import Metrics, NoMetrics, PrometheusMetrics
from mcp_server.persistence.database import Database
from mcp_server.protocol.identity import Callers
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from mcp_server.runtime.rules import telling_rules
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.runtime.timers import run_chores, run_timer
from mcp_server.wiring import (
    asks_for_keys,
    email_policy,
    limits,
    mailer_options,
    offer,
    principals,
    require_servable,
    rules_in_force,
    verifiers,
)

if TYPE_CHECKING:
    from mcp_server.deploying import Workers
    from mcp_server.domain.deployments.targets import Targets
    from mcp_server.domain.email.templates import Rendering
    from mcp_server.domain.email.transport import LateWords
    from mcp_server.protocol.bearers import Verifier
    from mcp_server.runtime.replicas import Replicas
    from mcp_server.runtime.supervisor import Resolve


@dataclass(frozen=True, slots=True)
class App:
    """One running server's parts."""

    settings: Settings
    desk: Desk
    server: Server[Any]
    metrics: Metrics
    verifiers: "tuple[Verifier, ...]"
    limits: Limits


def desk_on(
    database: Database,
    *options: object,
    clock: Clock | None = None,
    steady: Clock = steady_clock,
    ids: NewId = new_id,
    chance: Random = random.random,
) -> Desk:
    """Every service on an open database, with what the operator set."""
    watch = ClockWatch(clock or database.clock, steady)
    guarded = _Guarded()
    context = Context(database, watch, ids, chance, guard=guarded, standing=guarded.standing)
    late = [
        Later("mcp_server.domain.email.templates:Rendering", _rendering),
        Later("mcp_server.domain.email.transport:LateWords", _late_words),
    ]
    guarded.desk = Desk(context, AREAS, __version__, watch, Composing(_compose), *late, *options)
    guarded.has_rules = guarded.desk.made(RULES) is not None
    return guarded.desk


class _Guarded:
    """The door of every write, which is made after it; loaded where the operator has rules. And whether a caller is let
    in still."""

    desk: Desk | None = None
    has_rules = False

    async def standing(self, call: Call) -> None:
        """Refuse a caller that is not let in any more."""
        if self.desk is not None and not call.actor.is_local:
            from mcp_server.domain.people.service import Standing

            await self.desk.get(Standing).require(call)

    async def __call__(self, call: Call, write: Any, command: Any) -> None:
        """Look at a write where there are rules."""
        if self.desk is not None and self.has_rules:
            from mcp_server.protocol.guarding import Door

            await self.desk.get(Door)(call, write, command)


def configured_desk(
    database: Database,
    settings: Settings,
    mailer: LazyMailer | None = None,
    media: LazyMedia | None = None,
    *,
    asks_keys: bool = False,
) -> Desk:
    """Every service, with what the operator set about mail, links and how long things are kept; `asks_keys` says
    whether its callers come with keys."""
    return desk_on(
        database,
        email_policy(settings),
        KeepTasks(settings.retention_days),
        KeepEvents(settings.event_retention_days),
        (media or LazyMedia(settings)).provider(),
        call_policy(settings),
        principals(settings, asks_keys=asks_keys),
        Session(settings.agent, remembers=settings.transport == "stdio"),
        *_rules(settings),
        *late_options(settings, mailer or _mailer(settings)),
    )


def _rules(settings: Settings) -> list[object]:
    """Which calls wait for whom, where the operator has rules."""
    if not settings.approve:
        return []
    from mcp_server.deploying import approve_rules

    return [approve_rules(settings)]


@contextlib.asynccontextmanager
async def open_desk(
    settings: Settings, metrics: Metrics | None = None, *, supervises: bool = False
) -> AsyncGenerator[Desk]:
    """An open database and every service, with what runs beside requests: the timer, the chores and the worker for
    system tasks; where that is wanted and launchers are declared, the supervisor. On leaving, everything queued is
    written and every connection closed.

    Raises:
        OpsError: the database cannot be used; the message says why and what to do.
    """
    database = await Database.open(
        settings.database_url,
        AREAS,
        allow_unsafe_sqlite=settings.allow_unsafe_sqlite,
        may_only_read=settings.read_only,
    )
    mailer, media = _mailer(settings), LazyMedia(settings)
    try:
        if metrics is not None:
            database.on_commit = metrics.committed
            metrics.watch(database.loops)
        asks_keys = await asks_for_keys(database, settings)
        desk = configured_desk(database, settings, mailer, media, asks_keys=asks_keys)
        if metrics is not None:
            desk.option(Composing).called = metrics.called
            desk.housekeeping.on_jump = lambda jump: metrics.clock_set(jump.way)
        supervision = _supervision(desk, settings) if supervises and not desk.is_read_only else []
        async with _background([*_usual(desk), *supervision]), _targets(desk, settings):
            yield desk
    finally:
        with anyio.CancelScope(shield=True):
            await media.close()
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
    async with open_desk(settings, metrics, supervises=True) as desk:
        seam = seam_of(desk, settings, metrics)
        server = make_server(desk, seam, offer(settings))
        async with telling_rules(desk, Call(_local(settings), new_id("call")), rules_in_force(settings)):
            yield App(settings, desk, server, metrics, await verifiers(desk, settings), seam.limits)


def seam_of(desk: Desk, settings: Settings, metrics: Metrics) -> Seam:
    """Who calls, and who counts calls and what callers have."""
    counts = limits(settings)
    counts.on_refused = metrics.limited
    callers = Callers(local_actor(settings), read_only=settings.read_only)
    return Seam(callers, desk.get(Voices), new_id, metrics, settings.toolsets, counts)


def local_actor(settings: Settings) -> Actor:
    """Who runs this process, as far as the settings let it do anything."""
    return _local(settings).narrowed(read_only=settings.read_only)


def _local(settings: Settings) -> Actor:
    """Who runs this process."""
    return Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)


@contextlib.asynccontextmanager
async def _background(what: Sequence[Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    running = [asyncio.create_task(one) for one in what]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _usual(desk: Desk) -> list[Coroutine[Any, Any, None]]:
    if desk.is_read_only:
        return []
    return [
        run_timer(desk.housekeeping, desk.changes, desk.loops),
        run_chores(desk.housekeeping, desk.loops),
        SystemWorker(desk, AREAS.kinds).run(),
    ]


def _supervision(desk: Desk, settings: Settings) -> list[Coroutine[Any, Any, None]]:
    """What keeps processes alive, and decides how many instances there are to be; nothing where there is nothing to
    run. Most servers never start a process, and load nothing of this."""
    resolvers, replicas = _launching(desk, settings), _replicas(desk, settings)
    if replicas is not None:
        from mcp_server.domain.deployments.places import scope_of
        from mcp_server.domain.deployments.programs import Programs

        resolvers |= {scope_of(name): replicas for name in desk.option(Programs).known}
    if not resolvers:
        return []
    from mcp_server.integrations.processes.runner import LocalRunner
    from mcp_server.runtime.autoscaler import Autoscaler
    from mcp_server.runtime.supervisor import Supervisor, SupervisorOptions

    log_bytes_max = settings.supervisor.log_kb * 1024
    seen = None if replicas is None else replicas.lead
    options = SupervisorOptions(new_id("server"), logs_folder(settings), resolvers, log_bytes_max, seen)
    supervisor = Supervisor(desk, LocalRunner(), options)
    scaling = [Autoscaler(desk, lambda: supervisor.is_in_charge).run()] if settings.launchers else []
    return [supervisor.run(), *scaling]


def _launching(desk: Desk, settings: Settings) -> "dict[str, Resolve]":
    """What says what is to run as instances of agents, by scope."""
    if not settings.launchers:
        return {}
    from mcp_server.domain.agents.launchers import Launchers
    from mcp_server.domain.scaling.transactions import scope_of
    from mcp_server.runtime.launching import Launching

    launching = Launching(desk.option(Launchers), settings.database_url)
    return {scope_of(name): launching for name in settings.launchers}


def _replicas(desk: Desk, settings: Settings) -> "Replicas | None":
    """What says what is to run as replicas of services; None where no program for them is declared."""
    if not any(isinstance(one, ProcessSettings) for one in settings.targets.values()):
        return None
    from mcp_server.domain.processes.running import Command
    from mcp_server.runtime.replicas import Replicas

    argv = (sys.executable, "-P", "-S", "-m", "mcp_server.integrations.processes.proxy")
    proxy = Command(argv, {"PYTHONPATH": str(Path(__file__).parent.parent)})
    return Replicas(desk, logs_folder(settings), proxy)


async def _resume(desk: Desk, settings: Settings) -> None:
    """Answer Workers again that were told where."""
    if values_file(settings).exists():
        from mcp_server.deploying import Workers

        await desk.option(Workers).service.resume()


@contextlib.asynccontextmanager
async def _targets(desk: Desk, settings: Settings) -> AsyncGenerator[None]:
    """What Workers on this machine ask for, and the connections that targets hold: both of what was used."""
    await _resume(desk, settings)
    try:
        yield
    finally:
        workers: Workers | None = desk.made(WORKERS)
        if workers is not None:
            await workers.service.close()
        targets: Targets | None = desk.made(TARGETS)
        if targets is not None:
            await targets.close()


def _mailer(settings: Settings) -> LazyMailer:
    return LazyMailer(lambda: make_mailer(mailer_options(settings)))


def _rendering(services: Services) -> "Rendering":
    from mcp_server.domain.email.templates import Rendering

    del services
    return Rendering(_render)


def _render(what: str, source: str, variables: Mapping[str, Any], *, html: bool) -> str:
    from mcp_server.integrations.templating import render  # most servers never fill in a template

    return render(what, source, variables, html=html)


async def _compose(
    services: Services, call: Call, calls: Sequence[CalledTool], argument: str, *, later: Grant | None = None
) -> list[Composed]:
    from mcp_server.protocol.composing import compose  # who lists approvals has no tools

    return await compose(services, call, calls, argument, later=later)


def _late_words(services: Services) -> "LateWords":
    from mcp_server.domain.email.transport import LateWords

    del services
    return LateWords(_words)


async def _words(services: Services, told: Mapping[str, Any]) -> str | None:
    from mcp_server.domain.calls.inviting import Inviting  # most servers never ask anybody into a call

    return await services.get(Inviting).text(told)


def _metrics(settings: Settings) -> Metrics:
    if settings.transport == "stdio" and settings.metrics_port is None:
        return NoMetrics()
    metrics = PrometheusMetrics()
    if settings.metrics_port is not None:
        metrics.serve(settings.metrics_port)
    return metrics
