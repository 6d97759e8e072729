"""`worker`: claims tasks and runs a command for each, or does the server's own tasks with `--system`."""

import asyncio
import os
import socket
import sys
from dataclasses import dataclass, replace
from typing import Any

import click
import structlog

from mcp_server.app import open_desk
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.domain.agents.commands import Capability, InstanceSpec, Register
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.ids import new_id
from mcp_server.persistence.database import without_credentials
from mcp_server.persistence.event_loops import loop_factory
from mcp_server.runtime.command_worker import CommandWorker, WorkerOptions
from mcp_server.runtime.signals import on_signals

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
    env: dict[str, str]
    shares_database: bool


@click.command(
    "worker",
    cls=SettingsCommand,
    groups=(Group.STORE, Group.IDENTITY, Group.MAIL, Group.RETENTION, Group.DEPLOYING, Group.CALLS),
)
@click.argument("agent", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--concurrency", type=click.IntRange(1, 100), default=1, show_default=True, help="Commands at once.")
@click.option("--kind", "kinds", multiple=True, help="Only tasks of this kind; may be repeated.")
@click.option("--capability", "capabilities", multiple=True, help="What a new agent can do; may be repeated.")
@click.option("--lease-seconds", type=click.FloatRange(1, 86_400), default=30.0, show_default=True)
@click.option("--label", envvar="DATAMCP_INSTANCE", help="Name of this instance; default: host and process id.")
@click.option(
    "--env", "named", metavar="NAME", multiple=True, help="COMMAND finds this variable, too; may be repeated."
)
@click.option("--share-database", is_flag=True, help="COMMAND finds the database's password, too.")
@click.option("--system", is_flag=True, help="Do the server's own tasks instead of an agent's.")
def worker(
    agent: str | None,
    command: tuple[str, ...],
    concurrency: int,
    kinds: tuple[str, ...],
    capabilities: tuple[str, ...],
    lease_seconds: float,
    label: str | None,
    named: tuple[str, ...],
    share_database: bool,
    system: bool,
    **flags: Any,
) -> None:
    """Work as AGENT: claim its tasks and run COMMAND for each.

    The task comes as JSON on stdin; the result is what the command prints to stdout, as JSON if it is; each line on
    stderr is reported as progress. Exit code 0 completes the task, any other fails it. On SIGTERM the worker finishes
    what runs and takes up nothing new; a second one hands it back.

    COMMAND finds PATH, HOME and the like in its environment, which database this is and what tells it of its task, and
    nothing else that is not named with --env: passwords and tokens of the server are not its business.

    data-mcp-server-agent worker builder --concurrency 2 -- ./build.sh
    """
    if system == (agent is not None) or (agent is not None and not command):
        raise click.UsageError("Give AGENT and, after --, COMMAND; or --system alone.")
    if system:
        run(flags, run_system_worker)
    else:
        limits = concurrency, kinds, capabilities, lease_seconds, label
        request = WorkerRequest(agent or "", command, *limits, environment_of(named), share_database)
        run(flags, lambda settings: run_worker(settings, request))


async def run_worker(settings: Settings, request: WorkerRequest) -> None:
    """Work for one agent until SIGTERM or SIGINT, then finish what runs; a second signal hands it back at once.

    Raises:
        OpsError: the database cannot be used, or the request makes no sense.
    """
    url = settings.database_url
    require_commands(url)
    async with open_desk(settings) as desk:
        call = Call(Actor(kind="user", id=settings.user, permissions=settings.role.permissions), new_id("call"))
        agent, instance_id = await _introduce(desk, call, request)
        call = replace(call, speaker=agent)
        options = WorkerOptions(
            agent.agent_id,
            instance_id,
            request.command,
            request.concurrency,
            request.kinds or None,
            request.lease_seconds,
            request.env | {"DATAMCP_DATABASE": url if request.shares_database else without_credentials(url)},
        )
        worker = CommandWorker(desk, call, options)

        def stop() -> None:
            (worker.abort if worker.drain.is_set() else worker.drain).set()

        with on_signals(stop):
            log.info("working", agent_id=agent.agent_id, instance_id=instance_id, command=request.command[0])
            await worker.run()
    log.info("stopped")


def require_commands(url: str, system: str = sys.platform) -> None:
    """Refuse where the loop that the database needs starts no commands.

    Raises:
        ValidationFailed: on Windows, with PostgreSQL.
    """
    if loop_factory(url, system) is not None:
        raise ValidationFailed(
            "On Windows, a worker's commands cannot be run on a PostgreSQL database.",
            next="Run this worker under WSL, or use a SQLite database.",
        )


async def run_system_worker(settings: Settings) -> None:
    """Do the server's own tasks, timers included, until SIGTERM or SIGINT."""
    async with open_desk(settings, supervises=True):
        stop = asyncio.Event()
        with on_signals(stop.set):
            log.info("working", kind="system")
            await stop.wait()
    log.info("stopped")


async def _introduce(desk: Desk, call: Call, request: WorkerRequest) -> tuple[Speaker, str | None]:
    """The agent, registered where it is new, and this process as its instance."""
    name = request.agent
    if name.startswith("agent_"):
        name = (await desk.agents.get(call, name)).name
    try:
        capabilities = tuple(_capability(text) for text in request.capabilities)
        host, pid = socket.gethostname(), os.getpid()
        command = Register(
            name=name,
            kind="worker",
            capabilities=capabilities,
            max_concurrent_tasks=request.concurrency,
            instance=InstanceSpec(label=request.label or f"{host}-{pid}", host=host, pid=pid),
        )
    except ValueError as error:
        raise ValidationFailed(f"{name!r} or one of its capabilities is not a name: {error}") from None
    known = await desk.agents.introduce(call, command)
    return Speaker(known.agent.id, known.agent.name), known.instance_id


def environment_of(named: tuple[str, ...]) -> dict[str, str]:
    """What the commands find in their environment.

    Raises:
        UsageError: a variable that is named is not there.
    """
    missing = [name for name in named if name not in os.environ]
    if missing:
        raise click.UsageError(f"There is no {', '.join(missing)} in the environment of this worker (--env).")
    return passed_on(named=named)


def _capability(text: str) -> Capability:
    name, _, version = text.partition("@")
    return Capability(name=name, version=version or None)
