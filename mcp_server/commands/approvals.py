"""`approvals`: a person lists what waits for a decision, and decides."""

import sys
from typing import Any

import click

from mcp_server.app import configured_desk
from mcp_server.commands.groups import HandingOn
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.domain.approvals.model import FindApprovals
from mcp_server.domain.approvals.views import ApprovalView
from mcp_server.domain.areas import AREAS
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import LIMIT_MAX
from mcp_server.persistence.database import Database

GROUPS = (Group.STORE, Group.IDENTITY, Group.MAIL)


@click.group("approvals", cls=HandingOn)
def approvals() -> None:
    """See what waits for a person's approval, and decide."""


@approvals.command("list", cls=SettingsCommand, groups=GROUPS)
def list_command(**flags: Any) -> None:
    """List what waits for an approval."""
    run(flags, list_approvals)


@approvals.command("approve", cls=SettingsCommand, groups=GROUPS)
@click.argument("approval_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
def approve_command(approval_id: str, yes: bool, **flags: Any) -> None:
    """Approve APPROVAL_ID, or the task of that id."""
    run(flags, lambda settings: decide(settings, approval_id, granted=True, reason=None, ask=not yes))


@approvals.command("reject", cls=SettingsCommand, groups=GROUPS)
@click.argument("approval_id")
@click.option("--reason", help="Why; kept with the answer.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
def reject_command(approval_id: str, reason: str | None, yes: bool, **flags: Any) -> None:
    """Reject APPROVAL_ID, or the task of that id: what waits for it is cancelled."""
    run(flags, lambda settings: decide(settings, approval_id, granted=False, reason=reason, ask=not yes))


async def list_approvals(settings: Settings) -> None:
    """Print every approval that is open, oldest last."""
    database = await Database.open(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        desk = configured_desk(database, settings)
        waiting, _, omitted = await desk.approvals.find(
            _call(settings), FindApprovals(status="pending", limit=LIMIT_MAX)
        )
    finally:
        await database.close()
    for approval in waiting:
        click.echo(f"{approval.id}  {approval.created_at}  {approval.title}")
    if omitted:
        click.echo(f"... and {omitted} more")
    if not waiting:
        click.echo("Nothing waits for an approval.")


async def decide(settings: Settings, approval_id: str, *, granted: bool, reason: str | None, ask: bool) -> None:
    """Show what would happen, ask, and record the decision.

    Raises:
        OpsError: there is nothing to decide, or this person may not.
    """
    database = await Database.open(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        desk, call = configured_desk(database, settings), _call(settings)
        shown = await desk.approvals.get(call, approval_id)
        _show(shown)
        if ask and not click.confirm(f"{'Approve' if granted else 'Reject'} this?"):
            click.echo("Nothing was decided.")
            sys.exit(1)
        approval, task = await desk.approvals.decide(
            call,
            shown.id,
            granted=granted,
            via="command line",
            reason=reason,
            seen_hash=shown.action_hash,
        )
        left = approval.needed - sum(answer.granted for answer in approval.answers or ())
        more = f"; {left} more must approve" if approval.status == "pending" else ""
        click.echo(f"{approval.id} is {approval.status}{more}. Task {task.id} is {task.status}.")
    finally:
        await database.close()


def _show(approval: ApprovalView) -> None:
    for name in ("title", "action", "details", "requested_by", "created_at", "expires_at", "approvers"):
        value = getattr(approval, name)
        if value is not None:
            click.echo(f"{name:>12}: {value if isinstance(value, str) else dump_json(value)}")


def _call(settings: Settings) -> Call:
    return Call(Actor(kind="user", id=settings.user, permissions=settings.role.permissions), new_id("call"))
