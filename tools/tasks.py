"""Tools of the task queue."""

from collections import Counter
from functools import partial

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import (
    ClaimTasks,
    ControlTasks,
    CreateTasks,
    FindTasks,
    FinishTask,
    ReportTask,
    WaitForTasks,
)
from mcp_server.domain.tasks.results import (
    ClaimedTasks,
    ControlledTasks,
    CreatedTasks,
    FinishedTask,
    ReportedTask,
    WaitedTasks,
)
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.views import View
from tools.spec import ADD, DESTROY, READ, UPDATE, Tool, listed


class FindArguments(FindTasks):
    """See `tasks_find`."""

    task_id: str | None = None


class FindResult(View):
    """One task in full, or a list with counts by status."""

    task: TaskView | None = None
    tasks: list[TaskView] | None = None
    counts: dict[str, int] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One task by its id, or a filtered list."""
    if args.task_id is not None:
        return FindResult(task=await desk.tasks.get(call, args.task_id))
    tasks, next_cursor, omitted = await desk.tasks.find(call, args)
    counts = await desk.tasks.counts(call)
    return FindResult(tasks=tasks, counts=counts, next_cursor=next_cursor, omitted=omitted)


def _say_created(result: CreatedTasks) -> str:
    created = ", ".join(f"{task.id} ({task.status})" for task in result.tasks)
    return " ".join((f"Created {created}.", *(f"But {warning}" for warning in result.warnings or ())))


def _say_found(result: FindResult) -> str:
    if result.task is not None:
        waits = f" It waits: {'; '.join(result.task.waits_for)}." if result.task.waits_for else ""
        return f"Task {result.task.id} ({quoted(result.task.title)}) is {result.task.status}.{waits}"
    return listed(len(result.tasks or ()), "task", result.omitted)


def _say_claimed(result: ClaimedTasks) -> str:
    if result.claims:
        return f"Claimed {len(result.claims)}. Report before the lease expires; finish with its lease_token."
    reasons = ", ".join(
        f"{count} {reason.replace('_', ' ')}" for reason, count in (result.nothing_because or {}).items()
    )
    return f"Nothing to claim: {reasons or 'there are no unfinished tasks'}."


def _say_reported(result: ReportedTask) -> str:
    stop = " Cancellation was asked for: stop and finish now." if result.cancel_requested else ""
    return f"Lease on {result.task.id} extended to {result.lease_expires_at}.{stop}"


def _say_finished(result: FinishedTask) -> str:
    if result.repeated:
        return f"Already recorded: {result.task.id} is {result.task.status}."
    return f"Task {result.task.id} is {result.task.status}; released {len(result.released)}."


def _say_controlled(result: ControlledTasks) -> str:
    refused = "; ".join(refusal.message for refusal in result.refused or ())
    return f"{len(result.tasks)} changed." + (f" Refused: {refused}" if refused else "")


async def ticket(desk: Desk, call: Call, args: WaitForTasks) -> TaskView | None:
    """The task that a client takes a handle of; there is none for several."""
    one = args.one()
    return None if one is None else await desk.tasks.get(call, one)


def _say_waited(result: WaitedTasks) -> str:
    if result.task is not None:
        said = f"Task {result.task.id} is {result.task.status}"
    else:
        counts = Counter(task.status for task in result.tasks or ())
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
    return said + ("." if result.reached else "; not reached yet, call again.")


TOOLS = (
    Tool(
        name="tasks_create",
        title="Create tasks",
        description="Put work into the queue: up to 100 tasks, all or none. A repeated idempotency_key returns the "
        "first task.",
        toolset="tasks",
        permission=Permission.TASKS_CREATE,
        hints=ADD,
        arguments=CreateTasks,
        result=CreatedTasks,
        write=lambda desk: desk.tasks.create,
        say=_say_created,
    ),
    Tool(
        name="tasks_find",
        title="Find tasks",
        description="See work: task_id for one in full, else a filtered list, newest first, with counts.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        does=lambda desk: partial(find, desk),
        say=_say_found,
    ),
    Tool(
        name="tasks_claim",
        title="Claim tasks",
        description="Take up work for an agent: the best tasks it can do, leased to it. Waits for work if asked. An "
        "empty answer says why.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=ADD,
        arguments=ClaimTasks,
        speaks="agent_id",
        result=ClaimedTasks,
        does=lambda desk: desk.tasks.claim,
        say=_say_claimed,
    ),
    Tool(
        name="tasks_report",
        title="Report progress",
        description="While working: keep the lease, store progress, learn whether to stop.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=UPDATE,
        arguments=ReportTask,
        own_lease=True,
        result=ReportedTask,
        write=lambda desk: desk.tasks.report,
        say=_say_reported,
    ),
    Tool(
        name="tasks_finish",
        title="Finish a task",
        description="End a claimed task with its result, or with an error. Safe to repeat.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=UPDATE,
        arguments=FinishTask,
        own_lease=True,
        result=FinishedTask,
        write=lambda desk: desk.tasks.finish,
        say=_say_finished,
    ),
    Tool(
        name="tasks_control",
        title="Control tasks",
        description="Change tasks from outside. retry or discard dead letters (failed, timed_out); a running task "
        "hears of cancel at its next report.",
        toolset="tasks",
        permission=Permission.TASKS_CONTROL,
        hints=DESTROY,
        arguments=ControlTasks,
        result=ControlledTasks,
        write=lambda desk: desk.tasks.control,
        say=_say_controlled,
    ),
    Tool(
        name="tasks_wait",
        title="Wait for tasks",
        description="Wait until a task ends, starts or changes, instead of polling; task_ids for several.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        hints=READ,
        arguments=WaitForTasks,
        result=WaitedTasks,
        does=lambda desk: desk.tasks.wait,
        ticket=ticket,
        say=_say_waited,
    ),
)
