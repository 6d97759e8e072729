"""Tools of the task queue."""

from collections import Counter
from functools import partial
from typing import Any

from mcp_server.domain.approvals.rules import Form
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.backlog import in_words
from mcp_server.domain.tasks.commands import (
    ClaimTasks,
    ControlTasks,
    CreateTasks,
    FindTasks,
    FinishSome,
    ReportTask,
    WaitForTasks,
)
from mcp_server.domain.tasks.lines import ClaimsView, TaskLine, claims_view, task_line
from mcp_server.domain.tasks.results import (
    ControlledTasks,
    CreatedTasks,
    ReportedTask,
    WaitedTasks,
)
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.domain.tasks.transactions import Controlled
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import InvalidTransition, OpsError
from mcp_server.kernel.meaning import TaskId
from mcp_server.kernel.paging import floors
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.views import View
from tools.attempts import say_attempts, say_lying
from tools.facts import TASK, beside
from tools.finishing import FinishResult, finish, say_finished, says_finish, why_alone
from tools.hints import TOLD_BY_TASKS, as_asked, hinted
from tools.nothing import no_such_kinds, no_such_tasks
from tools.spec import ADD, DESTROY, READ, UPDATE, Part, Tool, listed, several
from tools.waited import say_waited

_STANDING_SHOWN_MAX = 3
"""Of how many tasks it is said how each stands."""


class FindArguments(FindTasks):
    """See `tasks_find`."""

    task_id: TaskId | None = None


class FindResult(View):
    """One task in full, or a list with counts by status."""

    task: TaskView | None = None
    tasks: list[TaskLine] | None = None
    counts: dict[str, int] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One task by its id, or a filtered list."""
    if args.task_id is not None:
        found = await desk.tasks.get(call, args.task_id)
        return FindResult(task=found, hint=as_asked(args, "task_id", found, TOLD_BY_TASKS))
    tasks, next_cursor, omitted = await desk.tasks.find(call, args)
    counts = await desk.tasks.counts(call)
    why = None if tasks else await no_such_tasks(desk, call, args)
    lines = list(map(task_line, tasks))
    known = floors(omitted=omitted, counts=counts)
    return FindResult(tasks=lines, counts=counts, next_cursor=next_cursor, omitted=omitted, at_least=known, hint=why)


def _say_found(result: FindResult) -> str:
    if result.task is not None:
        waits = f" It waits: {'; '.join(result.task.waits_for)}." if result.task.waits_for else ""
        why = f" ({quoted(result.task.pause_reason)})" if result.task.pause_reason else ""
        said = f"Task {result.task.id} ({quoted(result.task.title)}) is {result.task.status}{why}"
        tried = f"{waits}{say_attempts(result.task.attempts or ())}"
        return f"{said}{say_lying(result.task.lease)}.{tried}{hinted(result.hint)}"
    tasks = result.tasks or ()
    found = listed(len(tasks), "task", result.omitted, [one.status for one in tasks])
    return f"{found} {result.hint or ''}".rstrip()


def _say_created(result: CreatedTasks) -> str:
    counts = Counter(task.status for task in result.tasks)
    said = f"Tasks, in the order given: {', '.join(f'{count} {status}' for status, count in counts.items())}."
    return " ".join((said, *(f"But {warning}" for warning in result.warnings or ())))


async def claim(desk: Desk, call: Call, args: ClaimTasks) -> ClaimsView:
    """Work for an agent, as it needs it."""
    claimed = claims_view(await desk.tasks.claim(call, args), call.label)
    if claimed.claims or not args.kinds:
        return claimed
    # Why it has nothing to resume stays said.
    unknown = await no_such_kinds(desk, call, args.kinds)
    return claimed if unknown is None else claimed.evolved({"no_more_because": unknown})


def _say_claimed(result: ClaimsView) -> str:
    if result.claims:
        why = f" No more: {result.no_more_because}." if result.no_more_because else ""
        return f"Claimed {len(result.claims)}; finish or report in time.{why}"
    reasons = in_words(result.nothing_because or {}, result.such_as or {})
    told = list(filter(None, (reasons, result.no_more_because)))
    return f"Nothing to claim: {'. '.join(told) or 'there are no unfinished tasks'}."


_STOP = (
    " Cancellation was asked for: stop and finish now. outcome='failed' with an error that says where you stopped ends "
    "it as cancelled; outcome='completed' only where all is done."
)


def _say_reported(result: ReportedTask) -> str:
    stop = _STOP if result.cancel_requested else ""
    return f"The lease on {result.task.id} runs until {result.lease_expires_at}.{stop}"


def _say_controlled(result: ControlledTasks) -> str:
    refused = "; ".join(refusal.message for refusal in result.refused or ())
    told = [*(f"But {one}" for one in result.warnings or ()), *((f"Refused: {refused}",) if refused else ())]
    return " ".join((f"{len(result.tasks) - len(result.fired or ())} changed{_now_they_are(result.tasks)}.", *told))


def _now_they_are(tasks: list[TaskState]) -> str:
    """How tasks stand after an action: each of a few, else how many of them how."""
    if len(tasks) <= _STANDING_SHOWN_MAX:
        return "".join(f"{';' if number else ':'} {task.id} {_stands(task)}" for number, task in enumerate(tasks))
    counts = Counter("asked to stop" if task.cancel_requested else task.status for task in tasks)
    return f": {', '.join(f'{count} {how}' for how, count in counts.items())}"


def _stands(task: TaskState) -> str:
    if task.cancel_requested:
        return "is running, and asked to stop"
    if task.approval == "withdrawn":
        return f"is {task.status}, and its question to people is withdrawn"
    return f"{_is(task)}{_edited(task.edited)}"


def _edited(names: list[str] | None) -> str:
    return "" if names is None else f" ({', '.join(names) or 'nothing'} changed)"


def _is(task: TaskState) -> str:
    if task.next_firings:
        return f"fires next at {task.next_firings[0]}"
    return f"is {task.status}{', waiting for ' if task.waits_for else ''}{'; '.join(task.waits_for or ())}"


def _says_create(args: CreateTasks) -> str:
    tasks = [quoted(one.title) + beside(one, TASK) for one in args.tasks]
    return f"Create {listed(len(tasks), 'task', None)[:-1]}: {several(tasks)}."


def _says_control(args: ControlTasks) -> str:
    given = {"priority": args.priority, "agent": args.agent_id, "time": args.run_at} | _says_changes(args)
    told = "".join(f", {name} {named(str(value))}" for name, value in given.items() if value is not None)
    return f"{args.action.replace('_', ' ').capitalize()} {several(list(map(named, args.task_ids)))}{told}."


def _says_changes(args: ControlTasks) -> dict[str, Any]:
    """What becomes of the tasks' definition; the call itself stands beside it in full."""
    said = {} if args.schedule is None else args.schedule.model_dump(include=args.schedule.model_fields_set)
    changed = () if args.changes is None else sorted(args.changes.model_fields_set)
    return said | {"changed:": ", ".join(changed) or None}


def _not_all_controlled(done: Controlled) -> OpsError | None:
    if not done.refused:
        return None
    first = done.refused[0]
    details = {"refused": done.refused, "task_id": first["id"]}
    return InvalidTransition(
        f"It was refused for {len(done.refused)} of the tasks. {first['message']}", details=details
    )


def _as_creation(args: ControlTasks, said: dict[str, Any]) -> list[Form]:
    """What changes a task afterwards could have been said when it was created."""
    changed = {name: said[name] for name in ("priority", "agent_id", "run_at") if said.get(name) is not None}
    changed |= said.get("changes") or {}
    # A mail goes out when its task does: a rule about its time is one about this.
    mail = [Form("email_send", {"send_at": changed["run_at"]}, alters=True)] if "run_at" in changed else []
    return [Form("tasks_create", changed | {"tasks": [changed]}, alters=True), *mail] if changed else []


def _task_by_task(args: CreateTasks, said: dict[str, Any]) -> list[Form]:
    """What is said of one task is said by itself, so that a rule about two of its members is about one task."""
    del args
    return [Form("tasks_create", task | {"tasks": [task]}) for task in said["tasks"]]


async def ticket(desk: Desk, call: Call, args: WaitForTasks) -> TaskView | None:
    """The task that a client takes a handle of; there is none for several."""
    one = args.one()
    return None if one is None else await desk.tasks.get(call, one)


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
        foreseen=lambda desk: desk.tasks.create,
        part=Part(
            _says_create,
            makes=lambda args: ["task"] * len(args.tasks),
            made=lambda done: [one.task["id"] for one in done],
            names=frozenset(("tasks.depends_on", "tasks.parent_id")),
            refers={"tasks.agent_id": "agent", "agent_id": "agent"},
            forms=_task_by_task,
            inside=frozenset(TaskSpec.model_fields),
        ),
        unsaid=frozenset(("replayed",)),
        others_words=False,
        say=_say_created,
    ),
    Tool(
        name="tasks_find",
        title="Find tasks",
        description="See work: task_id for one in full, else a list, newest first; counts are of all "
        "unfinished ones and dead letters.",
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
        description="Take up work for an agent: the best tasks it can do, leased to it. Waits if asked. An "
        "empty answer says why.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=ADD,
        arguments=ClaimTasks,
        speaks="agent_id",
        result=ClaimsView,
        does=lambda desk: partial(claim, desk),
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
        part=Part(lambda args: f"Report on {named(args.task_id)}."),
        unsaid=frozenset(("cancel_requested",)),
        say=_say_reported,
    ),
    Tool(
        name="tasks_finish",
        title="Finish a task",
        description="End a claimed task with its result or an error; or several, each for itself. Safe to repeat.",
        toolset="tasks",
        permission=Permission.TASKS_WORK,
        hints=UPDATE,
        arguments=FinishSome,
        own_lease=True,
        result=FinishResult,
        does=lambda desk: partial(finish, desk),
        write=lambda desk: desk.tasks.finish_together,
        part=Part(says_finish, alone=why_alone),
        unsaid=frozenset(("released", "repeated")),
        named=frozenset(("task",)),
        say=say_finished,
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
        part=Part(
            _says_control,
            names=frozenset(("task_ids", "changes.agent_id")),
            failed=_not_all_controlled,
            refers={"agent_id": "agent"},
            forms=_as_creation,
        ),
        say=_say_controlled,
    ),
    Tool(
        name="tasks_wait",
        title="Wait for tasks",
        description="Wait until a task ends, starts or changes; task_ids for several.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        hints=READ,
        arguments=WaitForTasks,
        result=WaitedTasks,
        does=lambda desk: desk.tasks.wait,
        ticket=ticket,
        say=say_waited,
    ),
)
