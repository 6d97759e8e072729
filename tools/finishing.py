"""How `tasks_finish` answers: what came of one attempt, or of several."""

from collections import Counter
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import FinishSome
from mcp_server.domain.tasks.results import RefusalView
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.kernel.call import Call
from mcp_server.kernel.quoting import named
from mcp_server.kernel.views import View
from tools.email import say_kept
from tools.repeats import say_repeats
from tools.spec import Alone, counted

_RETRY = "tasks_control(action='retry') does"
_AGAIN = frozenset(("queued", "pending"))
"""How a task stands whose attempt failed and is not the last."""


class FinishResult(View):
    """What came of the finish of one task, or of several: see `FinishedTask`, `FinishedTasks`."""

    task: TaskState | None = None
    tasks: list[TaskState] | None = None
    released: list[str]
    still_waiting: dict[str, list[str]] | None = None
    freed: list[str] | None = None
    repeated: bool | None = None
    made: list[str] | None = None
    also: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None
    refused: list[RefusalView] | None = None


async def finish(desk: Desk, call: Call, args: FinishSome) -> FinishResult:
    """End one attempt, or several."""
    if not args.tasks:
        return FinishResult(**(await desk.tasks.finish_with(call, args.one())).fields())
    return FinishResult(**(await desk.tasks.finish_many(call, args.all())).fields())


def say_finished(result: FinishResult) -> str:
    if result.tasks is not None:
        return _say_finished_many(result.tasks, result)
    landed = result.also or ()
    also = (*say_repeats(landed, "also"), *say_kept(landed), *(f"But {one}" for one in result.warnings or ()))
    return " ".join((_say_ended(result), *also))


def _say_finished_many(tasks: list[TaskState], result: FinishResult) -> str:
    """How they stand; each that was refused, with why."""
    counts = Counter(task.status for task in tasks)
    again = " (to be tried again)"
    stand = (f"{count} {status}{again if status in _AGAIN else ''}" for status, count in counts.items())
    now = _recorded(", ".join(stand) or "none", len(tasks), sum(bool(task.repeated) for task in tasks))
    refused = "".join(f" Refused: {one.message}" for one in result.refused or ())
    return f"{now}{_say_released(result)}{_say_waiting(result)}.{refused}"


def _recorded(stand: str, count: int, before: int) -> str:
    """How several stand, and how many of them were ended so by an earlier call."""
    if before == count > 0:
        return f"Already recorded: {stand}"
    return f"Recorded: {stand}{f' ({before} of them before)' if before else ''}"


def _say_released(result: FinishResult) -> str:
    count = len(result.released)
    return f"; {count} that waited for it can be claimed now" if count else ""


def _say_ended(result: FinishResult) -> str:
    task = result.task
    assert task is not None, "one was ended"
    if result.repeated:
        then = f" `made` is what landed with it: {', '.join(map(named, result.made))}." if result.made else ""
        return f"Already recorded: {task.id} is {task.status}.{then}"
    also = f", and {counted(len(result.also), 'call')} of `also` landed with it" if result.also else ""
    now = f"It is {task.status}{also}"
    if task.status in _AGAIN:
        return f"{now}: it will be tried again {_when(task)}."
    if task.status == "failed":
        return f"{now}{_tried(task)} and is not tried again by itself: {_RETRY}{_say_held_up(result)}."
    freed = ", ".join(result.freed or ())
    next_of_key = f"; with its concurrency_key free, {freed} can be claimed now" if freed else ""
    return f"{now}{_say_released(result)}{_say_waiting(result)}{next_of_key}."


def _tried(task: TaskState) -> str:
    return f" after attempt {task.attempt}" if (task.attempt or 1) > 1 else ""


def _when(task: TaskState) -> str:
    return "at once" if task.again_in_seconds is None else f"in {task.again_in_seconds:g} seconds, at {task.run_at}"


def _say_waiting(result: FinishResult) -> str:
    waits = (result.still_waiting or {}).items()
    return "".join(f"; {one} still waits for {', '.join(ids)}" for one, ids in waits)


def _say_held_up(result: FinishResult) -> str:
    """What waits until a task that failed is tried again, where something does."""
    waiting = ", ".join(result.still_waiting or ())
    return f", and what depends on it waits for that: {waiting}" if waiting else ""


def says_finish(args: FinishSome) -> str:
    """A call as one of several, in words for people."""
    ended = "; ".join(f"{named(one.task_id)} as {one.outcome}" for one in args.tasks or (args.one(),))
    return f"Finish {ended}."


def why_alone(args: FinishSome) -> Alone | None:
    """Why a finish is no part of a commit: which of its results would be whose?"""
    if not args.also:
        return None
    return Alone(
        "its `also` is a commit of its own", "Put the calls of its `also` here, before it, and leave `also` out."
    )
