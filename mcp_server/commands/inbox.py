"""`inbox`: a person reads what agents and people wrote, acknowledges and answers."""

import json
from typing import Any, NamedTuple

import click

from mcp_server.commands.options import AS_JSON, SettingsCommand
from mcp_server.commands.running import run
from mcp_server.commands.services import services_on
from mcp_server.config import Group, Settings
from mcp_server.domain.messages.model import ReadMessages, SendMessage
from mcp_server.domain.messages.service import MessageService
from mcp_server.domain.messages.views import InboxView, MessageView
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.call import Call
from mcp_server.kernel.ids import new_id
from mcp_server.kernel.lines import fenced, one_line
from mcp_server.kernel.paging import LIMIT_MAX
from mcp_server.kernel.views import dumped


class Wanted(NamedTuple):
    """What a person asks of the inbox."""

    everything: bool
    read: bool
    thread: str | None
    ack: tuple[str, ...]
    send: tuple[str, str] | None
    reply: tuple[str, str] | None
    as_json: bool


@click.command("inbox", cls=SettingsCommand, groups=(Group.STORE, Group.IDENTITY))
@click.option("--all", "everything", is_flag=True, help="Also what was read already.")
@click.option("--read", is_flag=True, help="Count what is shown as read.")
@click.option("--thread", metavar="ID", help="Show a whole thread instead.")
@click.option("--ack", metavar="ID", multiple=True, help="Acknowledge a message first. May be repeated.")
@click.option("--send", nargs=2, metavar="TO BODY", help="Send a message instead, to an agent or user:NAME.")
@click.option("--reply", nargs=2, metavar="THREAD BODY", help="Answer all in a thread instead.")
@AS_JSON
def inbox(
    everything: bool,
    read: bool,
    thread: str | None,
    ack: tuple[str, ...],
    send: tuple[str, str] | None,
    reply: tuple[str, str] | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Show your unread messages."""
    if everything and (read or thread is not None):
        raise click.UsageError("--all shows the whole inbox as it is; it goes neither with --read nor with --thread.")
    wanted = Wanted(everything, read, thread, ack, send, reply, as_json)
    run(flags, lambda settings: attend(settings, wanted))


async def attend(settings: Settings, wanted: Wanted) -> None:
    """Send, or show what there is.

    Raises:
        OpsError: it may not be, or names nothing.
    """
    actor = Actor(kind="user", id=settings.user, permissions=settings.role.permissions, is_local=True)
    call = Call(actor, new_id("call"))
    async with services_on(settings) as services:
        messages = services.get(MessageService)
        for to, body in filter(None, (wanted.send,)):
            await _send(messages, call, SendMessage(to=(to,), body=body), wanted)
        for thread_id, body in filter(None, (wanted.reply,)):
            await _send(messages, call, SendMessage(thread_id=thread_id, body=body), wanted)
        if wanted.send is None and wanted.reply is None:
            _show(await _found(messages, call, wanted), wanted)


async def _send(messages: MessageService, call: Call, command: SendMessage, wanted: Wanted) -> None:
    sent = await messages.send(call, command)
    if wanted.as_json:
        click.echo(json.dumps(dumped(sent)))
        return
    skipped = f" No longer there: {', '.join(sent.skipped)}." if sent.skipped else ""
    click.echo(f"{sent.message.id} sent to {', '.join(sent.message.to)}.{skipped}")


async def _found(messages: MessageService, call: Call, wanted: Wanted) -> InboxView:
    command = ReadMessages(thread_id=wanted.thread, acknowledge=wanted.ack, limit=LIMIT_MAX)
    if not wanted.everything:
        return await (messages.read if wanted.read else messages.look)(call, command)
    page = found = await messages.look(call, command.model_copy(update={"unread_only": False}))
    while len(page.messages) == LIMIT_MAX:
        page = await messages.look(call, ReadMessages(unread_only=False, after=page.cursor, limit=LIMIT_MAX))
        found = page.evolved({"messages": [*found.messages, *page.messages]})
    return found


def _show(found: InboxView, wanted: Wanted) -> None:
    if wanted.as_json:
        click.echo(json.dumps(dumped(found)))
        return
    for message in found.messages:
        _show_message(message)
    click.echo(f"{found.unread} unread.")


def _show_message(message: MessageView) -> None:
    new = "" if message.read_at is not None else "  unread"
    click.echo(f"{message.id}  {message.sent_at}  {message.importance}{new}")
    click.echo(f"  from {one_line(message.sender)} to {one_line(', '.join(message.to))}, thread {message.thread_id}")
    if message.ack_due_at is not None:
        done = message.acknowledged_at
        click.echo(f"  acknowledged {done}" if done else f"  acknowledge by {message.ack_due_at}: --ack {message.id}")
    if message.subject is not None:
        click.echo(f"  subject {one_line(message.subject)}")
    click.echo(fenced(message.body))
    click.echo()
