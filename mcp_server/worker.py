"""`worker`: claims tasks and runs a command for each, or does the server's own tasks with `--system`."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog

from mcp_server.app import background, configured_desk, new_id
from mcp_server.config import Settings
from mcp_server.domain.agents import AgentSpec, Capability, InstanceSpec
from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.users import Actor
from mcp_server.persistence.database import Database
from mcp_server.runtime.command_worker import CommandWorker, WorkerOptions
from mcp_server.runtime.signals import on_signals
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk

log = structlog.stdlib.get_logger("datamcp.worker")


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """What the command line asked for."""

    agent: str
    command: tuple[str, ...]
    concurrency: int
    kinds: tuple[str, ...]
    capabilities: tuple[str, ...]
    lease_seconds: float
    label: str | None


async def run_worker(settings: Settings, request: WorkerRequest) -> None:
    """Work for one agent until SIGTERM or SIGINT, then finish what runs; a second signal hands it back at once.

    Raises:
        OpsError: the database cannot be used, or the request makes no sense.
    """
    async with _desk(settings) as desk:
        call = Call(Actor(kind="user", id=settings.user, permissions=settings.role.permissions), new_id("call"))
        agent_id, instance_id = await _introduce(desk, call, request)
        options = WorkerOptions(
            agent_id,
            instance_id,
            request.command,
            request.concurrency,
            request.kinds or None,
            request.lease_seconds,
        )
        worker = CommandWorker(desk, call, options)

        def stop() -> None:
            (worker.abort if worker.drain.is_set() else worker.drain).set()

        with on_signals(stop):
            log.info("working", agent_id=agent_id, instance_id=instance_id, command=request.command[0])
            await worker.run()
    log.info("stopped")


async def run_system_worker(settings: Settings) -> None:
    """Do the server's own tasks, timers included, until SIGTERM or SIGINT."""
    async with _desk(settings):
        stop = asyncio.Event()
        with on_signals(stop.set):
            log.info("working", kind="system")
            await stop.wait()
    log.info("stopped")


@contextlib.asynccontextmanager
async def _desk(settings: Settings) -> AsyncGenerator[Desk]:
    database = await Database.open(settings.database_url, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        desk = configured_desk(database, settings)
        async with background(desk, settings):
            yield desk
    finally:
        await database.close()


async def _introduce(desk: Desk, call: Call, request: WorkerRequest) -> tuple[str, str | None]:
    """The agent, registered where it is new, and this process as its instance."""
    name = request.agent
    if name.startswith("agent_"):
        name = (await desk.agents.get(call, name)).name
    try:
        capabilities = tuple(_capability(text) for text in request.capabilities)
        spec = AgentSpec(name=name, kind="worker", capabilities=capabilities, max_concurrent_tasks=request.concurrency)
    except ValueError as error:
        raise ValidationFailed(f"{name!r} or one of its capabilities is not a name: {error}") from None
    host, pid = socket.gethostname(), os.getpid()
    instance = InstanceSpec(label=request.label or f"{host}-{pid}", host=host, pid=pid)
    agent, instance_id, _ = await desk.agents.register(call, spec, instance, keep=True)
    return agent.id, instance_id


def _capability(text: str) -> Capability:
    name, _, version = text.partition("@")
    return Capability(name=name, version=version or None)
