"""The command line. It names the commands, and imports the one that runs, so that `--help` is instant."""

import gc
import os
import sys

from mcp_server.commands.output import break_on_no_character, told_where_it_cannot_be_written

TYPE_CHECKING = False  # `typing` takes as long to load as a hook to answer
if TYPE_CHECKING:
    import click

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
    "hook": ("mcp_server.commands.hook:hook", "Answer a client's hook, or git's, in tens of milliseconds."),
    "status": ("mcp_server.commands.hook:status", "Say in one line how things stand, for status lines and scripts."),
    "user": ("mcp_server.commands.user:user", "Manage users: who may use this server, as what."),
    "key": ("mcp_server.commands.key:key", "Manage keys: by what users and agents prove who they are."),
    "approvals": ("mcp_server.commands.approvals:approvals", "See what waits for a person's approval, and decide."),
}
"""Where each command is, and its line in the list."""


def command_line() -> "click.Group":
    """The command line as click has it."""
    from mcp_server.commands.root import root

    return root(COMMANDS)


def main() -> None:
    """Entry point of the console script: the process is ours alone."""
    break_on_no_character()
    if sys.argv[1:2] in (["hook"], ["status"], ["approvals"]):  # an editor waits for these: they load what they need
        from mcp_server.hooks.entry import run, understood

        gc.disable()
        line = understood(sys.argv[1:])
        code = None if line is None else run(line)
        if code is not None:
            os._exit(code)  # all is written and closed; to take Python apart takes a tenth of the time
        gc.enable()
    from mcp_server.runtime.light import begin_light

    begin_light()
    with told_where_it_cannot_be_written():
        command_line()(prog_name="data-mcp-server-agent")


if __name__ == "__main__":
    main()
