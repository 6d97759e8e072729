"""The command line. Everything heavy is imported inside the commands, so that `--help` is instant."""

import gc
import sys
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
_SERVING = [
    click.option("--transport", type=click.Choice(["stdio", "http", "sse"]), help="Default: stdio."),
    click.option("--host", help="Address to listen on; default 127.0.0.1."),
    click.option("--port", type=int, help="TCP port; default 8765."),
    click.option("--allowed-hosts", help="Further Host header values to accept, comma-separated."),
    click.option("--tokens-file", type=click.Path(path_type=Path), help="Bearer tokens for HTTP (docs/http.md)."),
    click.option("--user", help="Who the caller is on stdio; default local."),
    click.option("--role", type=click.Choice(["admin", "operator", "agent", "viewer"]), help="Default: admin."),
    click.option("--read-only", is_flag=True, default=None, help="Offer only tools that change nothing."),
    click.option("--toolsets", help="Only these toolsets, comma-separated: agents, tasks, state, system."),
    click.option("--exclude-tools", help="Not these tools, comma-separated."),
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
@_with(_SETTINGS + _SERVING)
@click.pass_context
def cli(context: click.Context, **flags: Any) -> None:
    """The operations desk for AI agents, over MCP. Without a command it serves on stdio."""
    if context.invoked_subcommand is None:
        _serve(flags)
    elif any(value is not None for value in flags.values()):
        raise click.UsageError(f"Put options after the command: {context.invoked_subcommand} --...")


@cli.command("serve")
@_with(_SETTINGS + _SERVING)
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
def doctor_command(as_json: bool, **flags: Any) -> None:
    """Check database, permissions, versions and configuration. Exit code 0: fine, 1: a problem, 2: bad settings."""
    from mcp_server.doctor import run_doctor

    sys.exit(run_doctor(flags, as_json=as_json))


def _serve(flags: dict[str, Any]) -> None:
    # Importing the SDK makes a great many objects that live for ever; collecting among them only costs time.
    gc.disable()
    import anyio

    from mcp_server.config import load_settings
    from mcp_server.domain.errors import OpsError

    try:
        settings = load_settings(**flags)
        from mcp_server.app import serve
        from mcp_server.observability.logs import configure_logs

        configure_logs(settings.log_level, settings.log_format)
        gc.freeze()
        gc.enable()
        anyio.run(serve, settings)
    except OpsError as error:
        click.echo(f"data-mcp-server-agent: {error.message}", err=True)
        sys.exit(2 if error.code == "validation" else 1)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="data-mcp-server-agent")


if __name__ == "__main__":
    main()
