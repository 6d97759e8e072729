"""The tool that reads the event log."""

from functools import partial

from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.service import HELD_BACK_SECONDS
from mcp_server.domain.events.views import EventView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.quoting import named
from mcp_server.kernel.views import View
from tools.spec import READ, Tool, listed


class ReadResult(View):
    """Events, the cursor from which to go on, and whether `limit` cut them: then more are there already."""

    events: list[EventView]
    cursor: str | None = None
    more: bool | None = None
    hint: str | None = None


async def read(desk: Desk, call: Call, args: ReadEvents) -> ReadResult:
    """Events after a cursor, or the chain that led to one."""
    if args.led_to is not None:
        return ReadResult(events=await desk.events.led_to(call, args.led_to, args.limit))
    events, cursor = await desk.events.read(call, args)
    hints = [] if events else _nothing_of(args)
    is_newest = args.after is None if args.newest_first else len(events) < args.limit
    if is_newest:
        hints += await _held_back(desk)
    is_cut = len(events) == args.limit and await _is_more(desk, call, args, cursor)
    cursor = cursor if is_cut or not args.newest_first else None
    return ReadResult(events=events, cursor=cursor, more=is_cut or None, hint=" ".join(hints) or None)


async def _is_more(desk: Desk, call: Call, args: ReadEvents, cursor: str | None) -> bool:
    """Whether anything of what was asked for stands behind a full page."""
    if cursor is None:
        return False
    beyond = args.model_copy(update={"after": cursor, "limit": 1, "wait_seconds": 0})
    return bool((await desk.events.read(call, beyond))[0])


async def _held_back(desk: Desk) -> list[str]:
    """What is lacking at the end of the log, and through whom: what a caller has just written may be among it."""
    held_back = await desk.log_held_back(HELD_BACK_SECONDS)
    if held_back is None:
        return []
    return [
        "The newest events, perhaps of your own last calls, are saved but not shown yet: an older transaction is still "
        f"open, {held_back['by']}. {held_back['remedy']} What is true now, the other tools tell."
    ]


def _nothing_of(args: ReadEvents) -> list[str]:
    """What may be meant where nothing was found: ids are taken as they are, and there may be none like it."""
    said: list[str] = []
    if args.aggregate_id is not None:
        said.append(
            f"No event asked for is about {named(args.aggregate_id)}: a thing is named by its id (task_...), a "
            "document as namespace/key, a lock by its name."
        )
    if args.correlation_id is not None:
        said.append(
            f"No event has correlation_id {named(args.correlation_id)}: it is copied from an event; what happened"
            " to one thing is found by aggregate_id."
        )
    return said


def _end(result: ReadResult) -> str:
    return "More may be there: go on with" if result.more else "That is all; later ones come"


def _say(result: ReadResult) -> str:
    more = "" if result.cursor is None else f"{_end(result)} after='{result.cursor}'."
    return " ".join(filter(None, (listed(len(result.events), "event", None), result.hint, more)))


TOOLS = (
    Tool(
        name="events_read",
        title="Read what happened",
        description="The audit trail: every change, oldest first, after a cursor; waits if asked.",
        toolset="system",
        permission=Permission.EVENTS_READ,
        hints=READ,
        arguments=ReadEvents,
        result=ReadResult,
        does=lambda desk: partial(read, desk),
        say=_say,
    ),
)
