"""`approvals`: a person lists what waits for a decision, and decides."""

import sys

import click

from mcp_server.app import desk_on, new_id
from mcp_server.config import Settings
from mcp_server.domain.users import Actor
from mcp_server.persistence.database import Database
from mcp_server.services.context import LIMIT_MAX, Call
from mcp_server.services.desk import Desk
from mcp_server.services.tasks import TaskFilter


async def list_approvals(settings: Settings) -> None:
    """Print every task that waits for an approval, oldest last."""
    database = await Database.open(settings.database_url, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        waiting = TaskFilter(waits_for_approval=True)
        tasks, _, omitted = await desk_on(database).tasks.find(_call(settings), waiting, limit=LIMIT_MAX, cursor=None)
    finally:
        await database.close()
    for task in tasks:
        click.echo(f"{task.id}  {task.created_at}  {task.title}")
    if omitted:
        click.echo(f"... and {omitted} more")
    if not tasks:
        click.echo("Nothing waits for an approval.")


async def decide(settings: Settings, task_id: str, *, granted: bool, reason: str | None, ask: bool) -> None:
    """Show what would happen, ask, and record the decision.

    Raises:
        OpsError: there is nothing to decide, or this person may not.
    """
    database = await Database.open(settings.database_url, allow_unsafe_sqlite=settings.allow_unsafe_sqlite)
    try:
        desk, call = desk_on(database), _call(settings)
        await _show(desk, call, task_id)
        if ask and not click.confirm(f"{'Approve' if granted else 'Reject'} this?"):
            click.echo("Nothing was decided.")
            sys.exit(1)
        task = await desk.tasks.decide(call, task_id, granted=granted, reason=reason)
        click.echo(f"{task.id} is {task.approval}: {task.status}.")
    finally:
        await database.close()


async def _show(desk: Desk, call: Call, task_id: str) -> None:
    task = await desk.tasks.get(call, task_id)
    for name in ("title", "kind", "description", "input", "created_by", "created_at"):
        value = getattr(task, name)
        if value is not None:
            click.echo(f"{name:>12}: {value}")


def _call(settings: Settings) -> Call:
    return Call(Actor(kind="user", id=settings.user, permissions=settings.role.permissions), new_id("call"))
