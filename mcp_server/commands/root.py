"""The command line as click has it: what comes before every command, and the list of them."""

import click

from mcp_server import __version__
from mcp_server.commands.groups import LazyGroup
from mcp_server.observability.plain import load_structlog
from mcp_server.runtime.ending import end_at_once_on_signals
from mcp_server.runtime.light import load_anyio


def root(commands: dict[str, tuple[str, str]]) -> click.Group:
    """All commands, none of them loaded; `serve` is the one that is meant where none is named.

    Args:
        commands: where each is, and its line in the list.
    """
    group = LazyGroup(
        "data-mcp-server-agent",
        help=_HELP,
        lazy=commands,
        default="serve",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.before_default = _begin_serving
    return click.version_option(__version__, prog_name="data-mcp-server-agent")(group)


def _begin_serving() -> None:
    """What comes before all else that a server loads."""
    end_at_once_on_signals()
    load_anyio()
    load_structlog()


_HELP = """The operations desk for AI agents, over MCP.

Without a command it serves on stdio. Options before a command are the command's; `serve --help` lists all settings.
"""
