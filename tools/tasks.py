"""Tools of the task queue."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.task_rules import TaskAction, TaskStatus
from mcp_server.domain.task_spec import FailureSpec, Priority, ProgressSpec, TaskSpec, UsageSpec
from mcp_server.domain.users import Permission
from mcp_server.domain.values import Line, Time
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.tasks import LEASE_SECONDS_DEFAULT, TaskFilter, Until
from mcp_server.services.views import TaskView
from tools.spec import ADD, DESTROY, READ, UPDATE, Arguments, Listing, Result, Tool, Waiting, listed

LeaseSeconds = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]


class CreateArguments(Arguments):
    """See `tasks_create`."""

    tasks: tuple[TaskSpec, ...] = Field(min_length=1, max_length=100)


class CreateResult(Result):
    """The tasks in the order given."""

    tasks: list[TaskView]


async def create(desk: Desk, call: Call, args: CreateArguments) -> CreateResult:
    """Create tasks, all or none."""
    return CreateResult.model_construct(tasks=await desk.tasks.create(call, args.tasks))


class FindArguments(Listing):
    """See `tasks_find`."""

    task_id: str | None = None
    status: TaskStatus | None = None
    agent_id: str | None = None
    kind: str | None = None
    tag: str | None = None
    parent_id: str | None = None
    text: str | None = None
    ready: bool | None = None
    blocked: bool | None = None
    include_system: bool = False


class FindResult(Result):
    """One task in full, or a list with counts by status."""

    task: TaskView | None = None
    tasks: list[TaskView] | None = None
    counts: dict[str, int] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One task by its id, or a filtered list."""
    if args.task_id is not None:
        return FindResult.model_construct(task=await desk.tasks.get(call, args.task_id))
    narrowed = TaskFilter(**args.model_dump(exclude={"task_id", "limit", "cursor"}))
    tasks, next_cursor, omitted = await desk.tasks.find(call, narrowed, limit=args.limit, cursor=args.cursor)
    counts = await desk.tasks.counts(call)
    return FindResult.model_construct(tasks=tasks, counts=counts, next_cursor=next_cursor, omitted=omitted)


class ClaimArguments(Waiting):
    """See `tasks_claim`."""

    agent_id: str
    instance_id: str | None = None
    max_tasks: int = Field(default=1, ge=1, le=100)
    kinds: tuple[str, ...] | None = Field(default=None, max_length=64)
    lease_seconds: LeaseSeconds = LEASE_SECONDS_DEFAULT


class ClaimView(Result):
    """A task and the lease on it."""

    task: TaskView
    lease_token: int
    lease_expires_at: str


class ClaimResult(Result):
    """The claimed tasks; or why there were none."""

    claims: list[ClaimView]
    nothing_because: dict[str, int] | None = None


async def claim(desk: Desk, call: Call, args: ClaimArguments) -> ClaimResult:
    """Lease the best tasks that the agent can do."""
    claims, reasons = await desk.tasks.claim(
        call,
        args.agent_id,
        instance_id=args.instance_id,
        max_tasks=args.max_tasks,
        kinds=args.kinds,
        lease_seconds=args.lease_seconds,
        wait_seconds=args.wait_seconds,
    )
    views = [
        ClaimView.model_construct(task=c.task, lease_token=c.lease_token, lease_expires_at=c.lease_expires_at)
        for c in claims
    ]
    return ClaimResult.model_construct(claims=views, nothing_because=reasons)


class ReportArguments(Arguments):
    """See `tasks_report`."""

    task_id: str
    lease_token: int
    progress: ProgressSpec | None = None
    extend_seconds: LeaseSeconds | None = None


class ReportResult(Result):
    """The task, its new expiry, and whether to stop."""

    task: TaskView
    lease_expires_at: str
    cancel_requested: bool


async def report(desk: Desk, call: Call, args: ReportArguments) -> ReportResult:
    """Extend the lease and keep the progress."""
    task = await desk.tasks.report(call, args.task_id, args.lease_token, args.progress, args.extend_seconds)
    assert task.lease is not None, "a reported task is leased"
    return ReportResult.model_construct(
        task=task, lease_expires_at=task.lease.expires_at, cancel_requested=bool(task.cancel_requested)
    )


class FinishArguments(Arguments):
    """See `tasks_finish`."""

    task_id: str
    lease_token: int
    outcome: Literal["completed", "failed"]
    result: Any = None
    error: FailureSpec | None = None
    usage: UsageSpec | None = None


class FinishResult(Result):
    """The task, the tasks it released, and whether this finish was a repeat."""

    task: TaskView
    released: list[str]
    repeated: bool


async def finish(desk: Desk, call: Call, args: FinishArguments) -> FinishResult:
    """End an attempt."""
    if (args.outcome == "failed") != (args.error is not None):
        raise ValidationFailed("outcome 'failed' needs `error`, and only 'failed' takes it.")
    if args.outcome == "failed" and args.result is not None:
        raise ValidationFailed("A failed attempt has no `result`; put what it found into error.message.")
    task, released, repeated = await desk.tasks.finish(
        call, args.task_id, args.lease_token, result=args.result, failure=args.error, usage=args.usage
    )
    return FinishResult.model_construct(task=task, released=released, repeated=repeated)


class ControlArguments(Arguments):
    """See `tasks_control`."""

    task_ids: tuple[str, ...] = Field(min_length=1, max_length=100)
    action: TaskAction
    priority: Priority | None = None
    run_at: Time | None = None
    reason: Line | None = None


class RefusalView(Result):
    """A task that the action was refused for."""

    id: str
    code: str
    message: str


class ControlResult(Result):
    """The tasks that changed, and those that did not."""

    tasks: list[TaskView]
    refused: list[RefusalView] | None = None


async def control(desk: Desk, call: Call, args: ControlArguments) -> ControlResult:
    """Apply one action to several tasks."""
    tasks, refused = await desk.tasks.control(
        call, args.task_ids, args.action, priority=args.priority, run_at=args.run_at, reason=args.reason
    )
    views = [RefusalView.model_construct(**refusal) for refusal in refused]
    return ControlResult.model_construct(tasks=tasks, refused=views or None)


class WaitArguments(Waiting):
    """See `tasks_wait`."""

    task_id: str
    until: Until = "terminal"
    wait_seconds: float = Field(default=30, ge=0, le=50, allow_inf_nan=False)


class WaitResult(Result):
    """The task as it is now."""

    task: TaskView
    reached: bool


async def wait(desk: Desk, call: Call, args: WaitArguments) -> WaitResult:
    """Wait for a task to end, start or change."""
    task, reached = await desk.tasks.wait(call, args.task_id, args.until, args.wait_seconds)
    return WaitResult.model_construct(task=task, reached=reached)


def _say_found(result: FindResult) -> str:
    if result.task is not None:
        return f"Task {result.task.id} ({result.task.title}) is {result.task.status}."
    return listed(len(result.tasks or ()), "task", result.omitted)


def _say_claimed(result: ClaimResult) -> str:
    if result.claims:
        return f"Claimed {len(result.claims)}. Report before the lease expires; finish with its lease_token."
    reasons = ", ".join(
        f"{count} {reason.replace('_', ' ')}" for reason, count in (result.nothing_because or {}).items()
    )
    return f"Nothing to claim: {reasons or 'there are no unfinished tasks'}."


def _say_reported(result: ReportResult) -> str:
    stop = " Cancellation was asked for: stop and finish now." if result.cancel_requested else ""
    return f"Lease on {result.task.id} extended to {result.lease_expires_at}.{stop}"


def _say_finished(result: FinishResult) -> str:
    if result.repeated:
        return f"Already recorded: {result.task.id} is {result.task.status}."
    return f"Task {result.task.id} is {result.task.status}; released {len(result.released)}."


def _say_controlled(result: ControlResult) -> str:
    refused = "; ".join(refusal.message for refusal in result.refused or ())
    return f"{len(result.tasks)} changed." + (f" Refused: {refused}" if refused else "")


TOOLS = (
    Tool(
        name="tasks_create",
        title="Create tasks",
        description="Put work into the queue: up to 100 tasks, all or none. A repeated idempotency_key returns the "
        "first task.",
        toolset="tasks",
        permission=Permission.TASKS_CREATE,
        hints=ADD,
        arguments=CreateArguments,
        result=CreateResult,
        run=create,
        say=lambda r: "Created " + ", ".join(f"{task.id} ({task.status})" for task in r.tasks) + ".",
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
        run=find,
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
        arguments=ClaimArguments,
        result=ClaimResult,
        run=claim,
        say=_say_claimed,
    ),
    Tool(
        name="tasks_report",
        title="Report progress",
        description="While working: keep the lease, store progress, learn whether to stop.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=UPDATE,
        arguments=ReportArguments,
        result=ReportResult,
        run=report,
        say=_say_reported,
    ),
    Tool(
        name="tasks_finish",
        title="Finish a task",
        description="End a claimed task with its result, or with an error. Safe to repeat.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=UPDATE,
        arguments=FinishArguments,
        result=FinishResult,
        run=finish,
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
        arguments=ControlArguments,
        result=ControlResult,
        run=control,
        say=_say_controlled,
    ),
    Tool(
        name="tasks_wait",
        title="Wait for a task",
        description="Wait until a task ends, starts or changes, instead of polling.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        hints=READ,
        arguments=WaitArguments,
        result=WaitResult,
        run=wait,
        ticket=lambda desk, call, args: desk.tasks.get(call, args.task_id),
        say=lambda r: f"Task {r.task.id} is {r.task.status}" + ("." if r.reached else "; not reached yet, call again."),
    ),
)
