"""The tool that reads the event log."""

from collections.abc import Sequence
from functools import partial
from itertools import chain

from pydantic import ValidationError

from mcp_server.domain.areas import load_every
from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.service import HELD_BACK_SECONDS, Page
from mcp_server.domain.events.things import LIKE_AN_ID, THINGS_MAX
from mcp_server.domain.events.views import EventView
from mcp_server.domain.state.commands import FindDocuments
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.paging import AtLeast, Listed
from mcp_server.kernel.quoting import named
from mcp_server.kernel.times import Micros
from mcp_server.kernel.views import View
from tools.spec import READ, Tool, listed

load_every()  # whose event it is, and what is told of it, each area says; here that is loaded beside the event loop


class ReadResult(View):
    """Events, the cursor from which to go on, and whether `limit` cut them: then more are there already."""

    events: list[EventView]
    cursor: str | None = None
    more: bool | None = None
    hint: str | None = None


def _waited_in_vain(desk: Desk, args: ReadEvents) -> list[str]:
    waited = args.wait_seconds and not args.is_over(desk.context.clock())
    return ["None came while this waited."] if waited else []


async def read(desk: Desk, call: Call, args: ReadEvents) -> ReadResult:
    """Events after a cursor, or the chain that led to one."""
    if args.led_to is not None:
        return ReadResult(events=await desk.events.led_to(call, args.led_to, args.limit))
    children = await _children_of(desk, call, args)
    if args.children:
        args = args.about(one.id for one in children.items)
    page = await desk.events.page(call, args)
    hints = _say_beside(args, children, page.events) if page.events else await _no_events(desk, call, args)
    is_newest = args.after is None if args.newest_first else not page.more
    if is_newest:
        hints += await _held_back(desk)
    hints = [*desk.events.taken_otherwise(call, args), *hints]
    events = await _with_titles(desk, call, args, page.events)
    cursor = _goes_on(page, args, desk.context.clock())
    return ReadResult(events=events, cursor=cursor, more=page.more or None, hint=" ".join(hints) or None)


def _goes_on(page: Page, args: ReadEvents, now: Micros) -> str | None:
    """The cursor; none where nothing came by the time that was asked for, and nothing more can."""
    return page.cursor if page.events or page.more or not args.is_over(now) else None


async def _with_titles(desk: Desk, call: Call, args: ReadEvents, events: Sequence[EventView]) -> list[EventView]:
    """Events with the title of the task that each is about, once of each, where none of them says it: else what
    happened since yesterday takes a call for every id. Who asks about one thing knows it."""
    wanted = [] if args.aggregate_id is not None and not args.children else _untitled(events)
    left = await desk.tasks.titles(call, wanted) if wanted else {}
    return [one.evolved({"about": left.pop(one.aggregate_id, None)}) for one in events] if left else list(events)


def _untitled(events: Sequence[EventView]) -> list[str]:
    """The tasks of which no event tells the title."""
    told = {one.aggregate_id for one in events if "title" in one.data}
    return sorted({one.aggregate_id for one in events if one.aggregate_type == "task"} - told)


async def _no_events(desk: Desk, call: Call, args: ReadEvents) -> list[str]:
    return await _nothing_of(desk, call, args) + _waited_in_vain(desk, args)


def _say_beside(args: ReadEvents, children: Listed[TaskView], events: Sequence[EventView]) -> list[str]:
    """What there is to read beside what was asked about."""
    if not (args.aggregate_id or "").startswith("approval_"):
        left = _say_left_out(args.things()[0], children) if args.children and children.next_cursor else []
        return [*_say_children(children.items, asked=args.children), *left]
    ran = not args.children and any(one.type == "approval.ran" for one in events)
    return ["What its calls wrote has events of its own: children=true reads those, too."] if ran else []


def _say_left_out(task_id: str, children: Listed[TaskView]) -> list[str]:
    """Whose events are not read, of a task with more children than one call looks up."""
    at_least = "at least " if isinstance(children.omitted, AtLeast) else ""
    return [
        f"These are its own events and those of its {len(children.items)} newest children; it has {at_least}"
        f"{children.omitted} more, which tasks_find(parent_id='{task_id}', cursor='{children.next_cursor}') lists: "
        f"events_read(aggregate_id=[...]) reads those of up to {THINGS_MAX}."
    ]


def _say_children(children: Sequence[TaskView], *, asked: bool) -> list[str]:
    # What was asked for and is there stands in the answer; what was not and is not there is nobody's question.
    said = {
        (True, False): ["It has no children."],
        (False, True): ["Its children have events of their own: children=true reads those, too."],
    }
    return said.get((asked, bool(children)), [])


async def _children_of(desk: Desk, call: Call, args: ReadEvents) -> Listed[TaskView]:
    """The children of the one task that is asked about, as many as are looked up beside it: the newest."""
    task = args.aggregate_id or ""
    if not (
        task.startswith("task_")
        and LIKE_AN_ID.fullmatch(task)
        and call.actor.may(Permission.TASKS_READ)
        and call.is_offered("tasks")
    ):
        return Listed([], None, None)
    return await desk.tasks.find(call, FindTasks(parent_id=task, limit=THINGS_MAX - 1))


async def _held_back(desk: Desk) -> list[str]:
    """What is lacking at the end of the log, and through whom: what a caller has just written may be among it."""
    held_back = await desk.log_held_back(HELD_BACK_SECONDS)
    if held_back is None:
        return []
    return [
        "The newest events, perhaps of your own last calls, are saved but not shown yet: an older transaction is still "
        f"open, {held_back['by']}. {held_back['remedy']} What is true now, the other tools tell."
    ]


async def _nothing_of(desk: Desk, call: Call, args: ReadEvents) -> list[str]:
    """What may be meant where nothing was found: ids are taken as they are, and there may be none like it."""
    said = await desk.events.users_near(args)
    things = args.things()
    if things:
        meant = dict.fromkeys(chain.from_iterable([await _documents_near(desk, call, one) for one in things]))
        said.append(
            f"No event asked for is about {' or '.join(map(named, things))}: a thing is named by its id (task_...), a "
            f"document as namespace/key, a lock by its name. {did_you_mean(list(meant))}".rstrip()
        )
    if args.correlation_id is not None:
        said.append(
            f"No event has correlation_id {named(args.correlation_id)}: it is copied from an event; what happened"
            " to one thing is found by aggregate_id."
        )
    return said


async def _documents_near(desk: Desk, call: Call, thing: str) -> list[str]:
    """Documents of the same namespace that may be meant."""
    namespace, _, key = thing.partition("/")
    if not key or not call.actor.may(Permission.STATE_READ):
        return []
    try:
        found = (await desk.state.find(call, FindDocuments(namespace=namespace, limit=100)))[0]
    except (OpsError, ValidationError):
        return []
    return near(thing, [f"{one.namespace}/{one.key}" for one in found])


def _backwards(events: Sequence[EventView]) -> str:
    """What goes with the cursor of a list that begins with the newest: without it, it would lead back to them."""
    return ", newest_first=true" if len(events) > 1 and events[0].seq > events[-1].seq else ""


def _end(result: ReadResult) -> str:
    if result.more and _backwards(result.events):
        return "Older ones are there: call again with"
    if result.more:
        return "More is there: go on with"
    return "That is all; later ones come" if result.events else "Later ones come"


def _say(result: ReadResult) -> str:
    more = "" if result.cursor is None else f"{_end(result)} after='{result.cursor}'{_backwards(result.events)}."
    types = [one.type for one in result.events]
    return " ".join(filter(None, (listed(len(types), "event", None, types), result.hint, more)))


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
