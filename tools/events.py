"""The tool that reads the event log."""

from functools import partial

from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.views import EventView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.views import View
from tools.spec import READ, Tool, listed


class ReadResult(View):
    """Events, and the cursor from which to go on."""

    events: list[EventView]
    cursor: str | None = None


async def read(desk: Desk, call: Call, args: ReadEvents) -> ReadResult:
    """Events after a cursor, or the chain that led to one."""
    if args.led_to is not None:
        return ReadResult(events=await desk.events.led_to(call, args.led_to, args.limit))
    events, cursor = await desk.events.read(call, args)
    return ReadResult(events=events, cursor=cursor)


TOOLS = (
    Tool(
        name="events_read",
        title="Read what happened",
        description="The audit trail: every change, oldest first, after a cursor; waits for more if asked.",
        toolset="system",
        permission=Permission.EVENTS_READ,
        hints=READ,
        arguments=ReadEvents,
        result=ReadResult,
        does=lambda desk: partial(read, desk),
        say=lambda r: (
            f"{listed(len(r.events), 'event', None)} " + ("" if r.cursor is None else f"Go on with after='{r.cursor}'.")
        ),
    ),
)
