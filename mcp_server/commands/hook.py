"""`hook` and `status` for those who ask for help, mistype, or give settings first; and what a hook cannot do lightly.

Nearly every run of the two ends in `mcp_server.hooks` before this module is loaded.
"""

import sys
from typing import Any

import click

from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group
from mcp_server.hooks import entry
from mcp_server.hooks.answers import CLIENT
from mcp_server.hooks.clients import EVENTS, MOMENTS
from mcp_server.kernel.lines import quoted

GROUPS = (Group.STORE, Group.IDENTITY)
LEAVE = "leave"


@click.command("hook", cls=SettingsCommand, groups=GROUPS)
@click.argument("event")
@click.option("--client", type=click.Choice(sorted(EVENTS)), help="Whose hook it is.  [default: claude-code]")
@click.option("--agent", help="Name or id of the agent that speaks in the session.")
@click.option("--seconds", type=float, help="How long `hook wait` waits at most.")
@click.option("--since", type=int, hidden=True)
@click.option("--instance", hidden=True)
@click.option("--alone", is_flag=True, hidden=True)
def hook(event: str, since: int | None, instance: str | None, alone: bool, **flags: Any) -> None:
    """Answer a client's hook for EVENT, whose data stands on stdin (docs/wake.md).

    EVENT is SessionStart, PreToolUse, UserPromptSubmit, Stop, PostToolUse or SessionEnd, or what the client calls
    that; `wait`, which ends once something came; or `git-pre-commit`, which refuses to commit what another holds.
    """
    if event == LEAVE:
        del flags["client"], flags["seconds"]
        _leave(since or 0, instance, alone, **flags)
        return
    moment = entry.moment_of(event, flags["client"] or CLIENT)
    if moment is None:
        known = ", ".join([*MOMENTS.values(), entry.GIT])
        raise click.BadParameter(f"there is no event {quoted(event)}; there are {known}.", param_hint="EVENT")
    sys.exit(entry.run(entry.Line("hook", moment, _said(flags))))


@click.command("status", cls=SettingsCommand, groups=GROUPS)
@click.option("--agent", help="Name or id of the agent whose it is.")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def status(**flags: Any) -> None:
    """Say in one line what is unread, leased, ready, locked and open."""
    sys.exit(entry.run(entry.Line("status", None, _said(flags))))


def _leave(since: int, instance: str | None, alone: bool, agent: str | None, **flags: Any) -> None:
    from mcp_server.commands.leaving import Ended, leave  # loads what writes

    ended = Ended(agent or "", since, instance, alone)
    run(flags, lambda settings: leave(settings, ended))


def _said(flags: dict[str, Any]) -> dict[str, str]:
    """The flags that were given, as the light way reads them."""
    return {name: str(value) for name, value in flags.items() if value not in (None, False)}
