"""The tool that reads the event log."""

from pydantic import Field

from mcp_server.domain.users import Permission
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import EventView
from tools.spec import READ, Result, Tool, Waiting, listed


class ReadArguments(Waiting):
    """See `events_read`."""

    after: str | None = Field(default=None, description="Cursor of an earlier answer")
    type: str | None = Field(default=None, description="Such as task.completed or task.*")
    aggregate_id: str | None = Field(default=None, description="Id, namespace/key or lock name")
    actor: str | None = None
    correlation_id: str | None = None
    newest_first: bool = False
    led_to: int | None = Field(default=None, ge=1, description="Instead: the chain that led to the event of this seq")
    limit: int = Field(default=20, ge=1, le=100)


class ReadResult(Result):
    """Events, and the cursor from which to go on."""

    events: list[EventView]
    cursor: str | None = None


async def read(desk: Desk, call: Call, args: ReadArguments) -> ReadResult:
    """Events after a cursor, or the chain that led to one."""
    if args.led_to is not None:
        return ReadResult.model_construct(events=await desk.events.led_to(call, args.led_to, args.limit), cursor=None)
    events, cursor = await desk.events.read(
        call,
        after=args.after,
        type_=args.type,
        aggregate_id=args.aggregate_id,
        actor=args.actor,
        correlation_id=args.correlation_id,
        limit=args.limit,
        wait_seconds=args.wait_seconds,
        newest_first=args.newest_first,
    )
    return ReadResult.model_construct(events=events, cursor=cursor)


TOOLS = (
    Tool(
        name="events_read",
        title="Read what happened",
        description="The audit trail: every change, oldest first, after a cursor; waits for more if asked.",
        toolset="system",
        permission=Permission.EVENTS_READ,
        hints=READ,
        arguments=ReadArguments,
        result=ReadResult,
        run=read,
        say=lambda r: (
            f"{listed(len(r.events), 'event', None)} " + ("" if r.cursor is None else f"Go on with after='{r.cursor}'.")
        ),
    ),
)
