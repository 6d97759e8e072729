"""The command line. It names the commands, and imports the one that runs, so that `--help` is instant."""

import click

from mcp_server import __version__
from mcp_server.commands.groups import LazyGroup
from mcp_server.commands.output import break_on_no_character
from mcp_server.observability.plain import load_structlog
from mcp_server.runtime.ending import end_at_once_on_signals
from mcp_server.runtime.light import begin_light, load_anyio

COMMANDS = {
    "serve": ("mcp_server.commands.serve:serve", "Serve MCP clients (the default command)."),
    "call": ("mcp_server.commands.call:call", "Call one tool, from a script or a shell."),
    "demo": ("mcp_server.commands.demo:demo", "Show the main job: a real server and client on a throw-away database."),
    "doctor": ("mcp_server.commands.doctor:doctor", "Check database, permissions, versions and configuration."),
    "install": ("mcp_server.commands.install:install", "Put the server into this machine's MCP clients, and prove it."),
    "worker": ("mcp_server.commands.worker:worker", "Work as AGENT: claim its tasks and run COMMAND for each."),
    "backup": ("mcp_server.commands.backup:backup", "Copy an SQLite database to a file, and check the copy."),
    "restore": ("mcp_server.commands.restore:restore", "Put a backup in the place of an SQLite database."),
    "export": ("mcp_server.commands.transfer:export_command", "Write everything a database holds as JSON Lines."),
    "import": ("mcp_server.commands.transfer:import_command", "Fill an empty database from an export."),
    "inbox": ("mcp_server.commands.inbox:inbox", "Read your messages, acknowledge and answer them."),
    "approvals": ("mcp_server.commands.approvals:approvals", "See what waits for a person's approval, and decide."),
}
"""Where each command is, and its line in the list."""


def begin_serving() -> None:
    """What comes before all else that a server loads."""
    end_at_once_on_signals()
    load_anyio()
    load_structlog()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    default="serve",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="data-mcp-server-agent")
def cli() -> None:
    """The operations desk for AI agents, over MCP.

    Without a command it serves on stdio. Options before a command are the command's; `serve --help` lists all settings.
    """


def main() -> None:
    """Entry point of the console script: the process is ours alone."""
    begin_light()
    break_on_no_character()
    cli.before_default = begin_serving
    cli(prog_name="data-mcp-server-agent")


if __name__ == "__main__":
    main()
