"""The command line. Everything heavy is imported inside the commands, so that `--help` is instant."""

import gc
import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from mcp_server import __version__

_SETTINGS = [
    click.option("--config", type=click.Path(path_type=Path), help="TOML file with any of these settings."),
    click.option("--database", help="sqlite:///path or postgresql://...; default: the user data folder."),
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"])),
    click.option("--log-format", type=click.Choice(["json", "console"])),
]
_IDENTITY = [
    click.option("--user", help="Who the caller is on stdio; default local."),
    click.option("--role", type=click.Choice(["admin", "operator", "agent", "viewer"]), help="Default: admin."),
]
_SERVING = [
    click.option("--transport", type=click.Choice(["stdio", "http", "sse"]), help="Default: stdio."),
    click.option("--host", help="Address to listen on; default 127.0.0.1."),
    click.option("--port", type=int, help="TCP port; default 8765."),
    click.option("--allowed-hosts", help="Further Host header values to accept, comma-separated."),
    click.option("--tokens-file", type=click.Path(path_type=Path), help="Bearer tokens for HTTP (docs/http.md)."),
    click.option("--read-only", is_flag=True, default=None, help="Offer only tools that change nothing."),
    click.option(
        "--toolsets", help="Only these toolsets, comma-separated: agents, tasks, state, communication, system."
    ),
    click.option("--exclude-tools", help="Not these tools, comma-separated."),
    click.option("--console-port", type=int, help="On stdio: serve the page for approvals on this loopback port."),
    click.option("--public-url", help="Under which people reach this server's pages."),
    click.option("--metrics-port", type=int, help="Serve Prometheus metrics on this loopback port."),
]


def _with(options: list[Any]) -> Any:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="data-mcp-server-agent")
@_with(_SETTINGS + _SERVING + _IDENTITY)
@click.pass_context
def cli(context: click.Context, **flags: Any) -> None:
    """The operations desk for AI agents, over MCP. Without a command it serves on stdio."""
    if context.invoked_subcommand is None:
        _serve(flags)
    elif any(value is not None for value in flags.values()):
        raise click.UsageError(f"Put options after the command: {context.invoked_subcommand} --...")


@cli.command("serve")
@_with(_SETTINGS + _SERVING + _IDENTITY)
def serve_command(**flags: Any) -> None:
    """Serve MCP clients (the default command)."""
    _serve(flags)


@cli.command("demo")
def demo_command() -> None:
    """Show the main job: a real server and client on a throw-away database."""
    from mcp_server.demo import run_demo

    sys.exit(run_demo())


@cli.command("doctor")
@_with(_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--replay", is_flag=True, help="Rebuild the database from its events elsewhere, and compare.")
def doctor_command(as_json: bool, replay: bool, **flags: Any) -> None:
    """Check database, permissions, versions and configuration. Exit code 0: fine, 1: a problem, 2: bad settings."""
    from mcp_server.doctor import run_doctor

    sys.exit(run_doctor(flags, as_json=as_json, replay=replay))


@cli.command("worker", context_settings={"ignore_unknown_options": False})
@click.argument("agent", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_with(_SETTINGS + _IDENTITY)
@click.option("--concurrency", type=click.IntRange(1, 100), default=1, show_default=True, help="Commands at once.")
@click.option("--kind", "kinds", multiple=True, help="Only tasks of this kind; may be repeated.")
@click.option("--capability", "capabilities", multiple=True, help="What a new agent can do; may be repeated.")
@click.option("--lease-seconds", type=click.FloatRange(1, 86_400), default=30.0, show_default=True)
@click.option("--label", help="Name of this instance; default: host and process id.")
@click.option("--system", is_flag=True, help="Do the server's own tasks instead of an agent's.")
def worker_command(
    agent: str | None,
    command: tuple[str, ...],
    concurrency: int,
    kinds: tuple[str, ...],
    capabilities: tuple[str, ...],
    lease_seconds: float,
    label: str | None,
    system: bool,
    **flags: Any,
) -> None:
    """Work as AGENT: claim its tasks and run COMMAND for each.

    The task comes as JSON on stdin; the result is what the command prints to stdout, as JSON if it is; each line on
    stderr is reported as progress. Exit code 0 completes the task, any other fails it. On SIGTERM the worker finishes
    what runs and takes up nothing new; a second one hands it back.

    data-mcp-server-agent worker builder --concurrency 2 -- ./build.sh
    """
    if system == (agent is not None) or (agent is not None and not command):
        raise click.UsageError("Give AGENT and, after --, COMMAND; or --system alone.")
    from mcp_server.worker import WorkerRequest, run_system_worker, run_worker

    if system:
        _run(flags, run_system_worker)
    else:
        request = WorkerRequest(agent or "", command, concurrency, kinds, capabilities, lease_seconds, label)
        _run(flags, lambda settings: run_worker(settings, request))


@cli.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@_with(_SETTINGS)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def backup_command(target: Path, force: bool, **flags: Any) -> None:
    """Copy an SQLite database to the file TARGET while servers use it, and check the copy."""
    from mcp_server.upkeep import run_backup

    _run(flags, lambda settings: run_backup(settings, target, force=force))


@cli.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@_with(_SETTINGS)
@click.option("--force", is_flag=True, help="Replace the database if it exists; the old one is kept beside it.")
def restore_command(source: Path, force: bool, **flags: Any) -> None:
    """Put the backup SOURCE in the place of an SQLite database that nobody uses."""
    from mcp_server.upkeep import run_restore

    _run(flags, lambda settings: run_restore(settings, source, force=force))


@cli.command("export")
@click.argument("target")
@_with(_SETTINGS)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def export_command(target: str, force: bool, **flags: Any) -> None:
    """Write everything a database holds as JSON Lines to TARGET; - is stdout. Servers may go on using it."""
    from mcp_server.upkeep import run_export

    _run(flags, lambda settings: run_export(settings, target, force=force))


@cli.command("import")
@click.argument("source")
@_with(_SETTINGS)
def import_command(source: str, **flags: Any) -> None:
    """Fill an empty database, SQLite or PostgreSQL, from the export SOURCE, all or nothing; - is stdin."""
    from mcp_server.upkeep import run_import

    _run(flags, lambda settings: run_import(settings, source))


@cli.group("approvals")
def approvals_group() -> None:
    """See what waits for a person's approval, and decide."""


@approvals_group.command("list")
@_with(_SETTINGS + _IDENTITY)
def approvals_list_command(**flags: Any) -> None:
    """List what waits for an approval."""
    from mcp_server.approvals import list_approvals

    _run(flags, list_approvals)


@approvals_group.command("approve")
@click.argument("approval_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@_with(_SETTINGS + _IDENTITY)
def approvals_approve_command(approval_id: str, yes: bool, **flags: Any) -> None:
    """Approve APPROVAL_ID, or the task of that id."""
    from mcp_server.approvals import decide

    _run(flags, lambda settings: decide(settings, approval_id, granted=True, reason=None, ask=not yes))


@approvals_group.command("reject")
@click.argument("approval_id")
@click.option("--reason", help="Why; kept with the answer.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@_with(_SETTINGS + _IDENTITY)
def approvals_reject_command(approval_id: str, reason: str | None, yes: bool, **flags: Any) -> None:
    """Reject APPROVAL_ID, or the task of that id: what waits for it is cancelled."""
    from mcp_server.approvals import decide

    _run(flags, lambda settings: decide(settings, approval_id, granted=False, reason=reason, ask=not yes))


def _serve(flags: dict[str, Any]) -> None:
    # Importing the SDK makes a great many objects that live for ever; collecting among them only costs time.
    gc.disable()

    async def serve(settings: Any) -> None:
        from mcp_server.app import serve

        await serve(settings)

    def prepare() -> None:
        importlib.import_module("mcp_server.app")
        gc.freeze()
        gc.enable()

    _run(flags, serve, prepare)


def _run(
    flags: dict[str, Any], main: Callable[[Any], Awaitable[None]], prepare: Callable[[], None] | None = None
) -> None:
    """Read the settings and run a command in an event loop; a refusal becomes a message and an exit code."""
    import anyio

    from mcp_server.config import load_settings
    from mcp_server.domain.errors import OpsError

    try:
        settings = load_settings(**flags)
        from mcp_server.observability.logs import configure_logs

        configure_logs(settings.log_level, settings.log_format)
        if prepare is not None:
            prepare()
        anyio.run(main, settings)
    except OpsError as error:
        click.echo(f"data-mcp-server-agent: {error.message}", err=True)
        sys.exit(2 if error.code == "validation" else 1)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="data-mcp-server-agent")


if __name__ == "__main__":
    main()
