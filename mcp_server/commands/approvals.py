"""`approvals`: a person lists what waits for a decision, and decides."""

import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import Any

import click

from mcp_server.app import configured_desk
from mcp_server.commands.groups import HandingOn
from mcp_server.commands.options import SettingsCommand
from mcp_server.commands.running import run
from mcp_server.config import Group, Settings
from mcp_server.domain.approvals.commands import REASON_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, FindApprovals, Vote
from mcp_server.domain.approvals.voting import user_at
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.lines import one_line, quoted
from mcp_server.kernel.paging import LIMIT_MAX
from mcp_server.persistence.database import Database

GROUPS = (Group.STORE, Group.IDENTITY, Group.MAIL)


@click.group("approvals", cls=HandingOn)
def approvals() -> None:
    """See what waits for a person's approval, and decide."""


@approvals.command("list", cls=SettingsCommand, groups=GROUPS)
def list_command(**flags: Any) -> None:
    """List what waits for an approval; at a terminal, with the link of each who is asked."""
    run(flags, list_approvals)


@approvals.command("approve", cls=SettingsCommand, groups=GROUPS)
@click.argument("approval_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
def approve_command(approval_id: str, yes: bool, **flags: Any) -> None:
    """Approve APPROVAL_ID, or the task of that id."""
    run(flags, lambda settings: decide(settings, approval_id, Vote(approve=True), ask=not yes))


@approvals.command("reject", cls=SettingsCommand, groups=GROUPS)
@click.argument("approval_id")
@click.option("--reason", help="Why; kept with the answer.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
def reject_command(approval_id: str, reason: str | None, yes: bool, **flags: Any) -> None:
    """Reject APPROVAL_ID, or the task of that id: what waits for it is cancelled."""
    vote = _no(reason)
    run(flags, lambda settings: decide(settings, approval_id, vote, ask=not yes))


@approvals.command("answer", cls=SettingsCommand, groups=GROUPS)
@click.argument("approval_id")
@click.option("--choice", help="One of the choices that it shows.")
@click.option("--text", help="An answer of your own, where it takes one.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
def answer_command(approval_id: str, choice: str | None, text: str | None, yes: bool, **flags: Any) -> None:
    """Answer APPROVAL_ID, a question with choices or one that takes a text."""
    if text is not None and len(text) > TEXT_CHARACTERS_MAX:
        raise click.BadParameter(f"it has {TEXT_CHARACTERS_MAX} characters at most.", param_hint="--text")
    vote = Vote(approve=True, choice=choice, text=text)
    run(flags, lambda settings: decide(settings, approval_id, vote, ask=not yes))


async def list_approvals(settings: Settings) -> None:
    """Print every approval that is open, newest first; to a person at a terminal, also where its people decide."""
    async with _desk(settings) as desk:
        waiting, _, omitted = await desk.approvals.find(
            _call(settings), FindApprovals(status="pending", limit=LIMIT_MAX)
        )
        # What is piped is read by a program: links are for a person's eyes, and for one who may decide.
        shows_links = sys.stdout.isatty() and Permission.TASKS_APPROVE in settings.role.permissions
        for approval in waiting:
            click.echo(f"{approval.id}  {approval.created_at}  {one_line(approval.title)}")
            for name in (approval.approvers or [settings.user]) if shows_links else ():
                link = await desk.approvals.link(approval.id, name)
                if link is not None:
                    click.echo(f"    {one_line(name)}: {link}")
    if omitted:
        click.echo(f"... and {omitted} more")
    if not waiting:
        click.echo("Nothing waits for an approval.")


async def decide(settings: Settings, approval_id: str, vote: Vote, *, ask: bool) -> None:
    """Show what would happen, ask, and record the decision.

    Raises:
        OpsError: there is nothing to decide, or this person may not.
    """
    async with _desk(settings) as desk:
        call = _call(settings)
        shown = await desk.approvals.shown(call, approval_id)
        click.echo(shown.text)
        if ask and not click.confirm(f"{_verb(vote)} this?"):
            click.echo("Nothing was decided.")
            sys.exit(1)
        voter = user_at(call, "command line")
        approval, task = await desk.approvals.decide(call, voter, shown.approval.id, vote, shown.seen)
        left = approval.needed - sum(answer.granted is not False for answer in approval.answers or ())
        more = f"; {left} more must approve" if approval.status == "pending" else ""
        status = approval.status if approval.answer is None else f"answered: {quoted(approval.answer)}"
        click.echo(f"{approval.id} is {status}{more}. Task {task.id} is {task.status}.")


@contextlib.asynccontextmanager
async def _desk(settings: Settings) -> AsyncGenerator[Desk]:
    database = await Database.open(settings.database_url, AREAS, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        yield configured_desk(database, settings)
    finally:
        await database.close()


def _verb(vote: Vote) -> str:
    if not vote.approve:
        return "Reject"
    return "Approve" if vote.choice is None and vote.text is None else "Answer"


def _no(reason: str | None) -> Vote:
    if reason is not None and len(reason) > REASON_CHARACTERS_MAX:
        raise click.BadParameter(f"it has {REASON_CHARACTERS_MAX} characters at most.", param_hint="--reason")
    return Vote(approve=False, reason=reason)


def _call(settings: Settings) -> Call:
    return Call(Actor(kind="user", id=settings.user, permissions=settings.role.permissions), new_id("call"))
