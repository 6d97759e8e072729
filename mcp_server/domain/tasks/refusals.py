"""What the task queue says no to, in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mcp_server.domain.tasks.rules import EDITED_WHILE_RUNNING, TERMINAL
from mcp_server.kernel.errors import Conflict, InvalidTransition, LeaseLost, NotFound
from mcp_server.kernel.quoting import named, quoted

_EVERY = ("all", "any", "*", "every", "everything")


def no_task(task_id: str, titled: Sequence[str] = ()) -> NotFound:
    """The refusal for an id that names no task; it may be the title of some."""
    if task_id.casefold() in _EVERY:
        return NotFound(
            f"{named(task_id)} is no task's id.",
            next="Name each: tasks_find(status='queued') and the like give their ids.",
            details={"task_id": task_id},
        )
    found = f"tasks_find(text={quoted(task_id)}) finds it" if len(titled) != 1 else f"this one's is {titled[0]}"
    by_title = "" if task_id.startswith("task_") else f" A title is no id: {found}."
    return NotFound(
        f"There is no task {named(task_id)}.",
        next=f"List tasks with tasks_find.{by_title}",
        details={"task_id": task_id},
    )


_MEANT: Mapping[str, Sequence[str]] = {
    "cancel": ("discard",),
    "resume": ("run_now", "retry"),
    "retry": ("resume", "run_now"),
    "discard": ("cancel",),
    "set_priority": ("edit",),
    "reschedule": ("retry",),
    "run_now": ("resume", "retry", "set_priority"),
}
"""What comes nearest to an action that is not possible, the nearest first; nothing that takes away more than it."""

_CALLED: Mapping[str, str] = {"set_priority": ", priority='critical'", "edit": ", changes={'priority': ...}"}


def illegal(task_id: str, status: str, action: str, legal: Sequence[str], *, repeats: bool) -> InvalidTransition:
    """The refusal of an action that the status does not allow, with the call that comes nearest to it.

    Args:
        task_id: which task.
        status: its status.
        action: what was asked for.
        legal: what is possible.
        repeats: whether it is a schedule.
    """
    return InvalidTransition(
        f"Task {task_id} is {status}, so {action} is not possible.",
        next=_nearest(task_id, action, legal) if legal else _anew(task_id, repeats=repeats),
        details={"task_id": task_id, "status": status, "legal": list(legal)},
    )


def _nearest(task_id: str, action: str, legal: Sequence[str]) -> str:
    near = next(filter(legal.__contains__, _MEANT.get(action, ())), None)
    call = f"Nearest to it: tasks_control(task_ids=['{task_id}'], action='{near}'{_CALLED.get(near or '', '')}). "
    return f"{call if near else ''}Legal now: {', '.join(legal)}."


def _anew(task_id: str, *, repeats: bool) -> str:
    spec = "{title, schedule: {cron}}" if repeats else "{title}"
    shown = f"tasks_find(task_id='{task_id}') shows what came of it; tasks_create(tasks=[{spec}]) makes another."
    return f"{shown} Legal now: nothing, it is finished."


def servers_own(task_id: str) -> InvalidTransition:
    """The refusal to change or give away what the server itself does."""
    return InvalidTransition(
        f"Task {task_id} is the server's own work, so it is not changed and not given to an agent.",
        next="It can be cancelled, paused, resumed and retried; a mail that waits can also be rescheduled. For other "
        f"content, cancel it and call again what made it: commit takes tasks_control(task_ids=['{task_id}'], "
        "action='cancel') and that call as one.",
        details={"task_id": task_id},
    )


def not_while_running(task_id: str, names: Sequence[str]) -> InvalidTransition:
    """The refusal to change what a worker has been given already."""
    can = ", ".join(sorted(EDITED_WHILE_RUNNING))
    return InvalidTransition(
        f"Task {task_id} is running, and its worker was given {', '.join(names)} with its claim. Nothing of it was "
        "changed.",
        next=f"While it runs, changes may hold {can}. Else take it from its worker and change it in one commit: "
        f"tasks_control(task_ids=['{task_id}'], action='assign', agent_id=null), then action='edit'.",
        details={"task_id": task_id, "status": "running", "fixed": list(names)},
    )


def being_cancelled(task_id: str) -> InvalidTransition:
    """The refusal to give away what is to end."""
    return InvalidTransition(
        f"Task {task_id} is running and is being cancelled: its worker stops at its next report.",
        next="Wait for its end with tasks_wait; then retry it, or create another.",
        details={"task_id": task_id, "status": "running"},
    )


def no_schedule(task_id: str) -> InvalidTransition:
    """The refusal to make a schedule of what runs once."""
    return InvalidTransition(
        f"Task {task_id} is no schedule, so it has no cron expression to change.",
        next="Give run_at to move it; or cancel it, and create one: tasks_create(tasks=[{title, schedule: {cron}}]).",
        details={"task_id": task_id},
    )


def unanswered(task_id: str, legal: Sequence[str]) -> InvalidTransition:
    """The refusal to run at once what people are asked about."""
    return InvalidTransition(
        f"Task {task_id} waits for people to approve it, so run_now is not possible.",
        next=f"approvals_decide(approval_id='{task_id}') has the user at this client asked. Legal now: "
        f"{', '.join(legal)}.",
        details={"task_id": task_id, "status": "pending", "approval": "required", "legal": list(legal)},
    )


def still_unfinished(schedule_id: str, task_id: str, status: str) -> InvalidTransition:
    """The refusal to fire a schedule whose firings do not overlap."""
    return InvalidTransition(
        f"The last firing of {schedule_id}, {task_id}, is {status}, and its firings do not overlap.",
        next=f"Wait for it (tasks_wait), or have them overlap: tasks_control(task_ids=['{schedule_id}'], "
        "action='edit', schedule={'overlap': 'allow'}).",
        details={"task_id": schedule_id, "unfinished": task_id, "status": status},
    )


def nothing_to_decide(task_id: str, status: str, approval: str | None) -> InvalidTransition:
    """The refusal of an answer to a task that waits for none."""
    return InvalidTransition(
        f"Task {task_id} is {status} and waits for no approval.",
        next="Nothing is left to decide.",
        details={"task_id": task_id, "status": status, "approval": approval},
    )


def too_late_to_ask(task_id: str, status: str, *, asks_anew: bool) -> InvalidTransition:
    """The refusal to ask people whether a task may start that has started, or has ended."""
    retry = f"tasks_control(task_ids=['{task_id}'], action='retry')"
    anew = f"{retry} brings it back as it was, and asks anew whether it may start."
    return InvalidTransition(
        f"Task {task_id} is {status}, so nobody can be asked any more whether it may start.",
        next=anew if asks_anew else "Ask before a task is claimed: tasks_create(requires_approval=true).",
        details={"task_id": task_id, "status": status},
    )


class Standing(NamedTuple):
    """Where a task stands whose lease is asked for: at which attempt, and whose lease it is or, of one that has ended,
    who ended it; until when, and whether that is over."""

    task_id: str
    status: str
    attempt: int
    agent_id: str | None
    until: str | None
    expired: bool


def lease_lost(now: Standing) -> LeaseLost:
    """The refusal of a worker whose lease is not the current one: who has the task now, and what to do then."""
    state, do = _left_to(now)
    return LeaseLost(
        f"This lease_token does not hold task {now.task_id}: {state}.",
        next=f"Nothing was changed. {do}",
        details={"task_id": now.task_id, "status": now.status, "attempt": now.attempt}
        | ({} if now.agent_id is None else {"agent_id": now.agent_id}),
    )


def _left_to(now: Standing) -> tuple[str, str]:
    """How the task stands, and what is left to do for who worked on it."""
    if now.expired:
        over = f"its lease ran out at {now.until}, at attempt {now.attempt}"
        return over, "It goes back to the queue: tasks_claim may take it up again, unless another is faster."
    if now.status == "running":
        found = f"messages_send(to=['{now.agent_id}'], body=...) tells its holder what you found"
        fresh = "If that is you, tasks_claim(resume=true) gives a fresh token"
        holder = f"{now.agent_id} holds it until {now.until}, at attempt {now.attempt}"
        return holder, f"{fresh}; else stop working on it: {found}."
    return _ended(now) if now.status in TERMINAL else _given_back(now)


def _ended(now: Standing) -> tuple[str, str]:
    by = "" if now.agent_id is None else f" by {now.agent_id}"
    shown = f"tasks_find(task_id='{now.task_id}') shows what came of it"
    return f"it is {now.status}{by}, at attempt {now.attempt}", f"Stop working on it; {shown}."


def _given_back(now: Standing) -> tuple[str, str]:
    again = "once it is queued, tasks_claim may take it up again"
    return f"it is {now.status} after attempt {now.attempt}, and nobody holds it", f"Stop working on it; {again}."


def parent_refused(parent_id: str, status: str, reason: str | None) -> Conflict:
    """The refusal of a task that hangs on one which people refused."""
    why = "" if reason is None else f"The reason: {quoted(reason)}. "
    return Conflict(
        f"The dependency {parent_id} was refused, so nothing that hangs on it runs.",
        next=f"{why}Retry it first, which asks anew: tasks_control(task_ids=['{parent_id}'], action='retry').",
        details={"task_id": parent_id, "status": status},
    )


def parent_ended(parent_id: str, status: str) -> Conflict:
    """The refusal of a task that would be cancelled as soon as it is there."""
    return Conflict(
        f"The dependency {parent_id} has already ended as {status}, so this task would be cancelled at once.",
        next=f"Retry it first: tasks_control(task_ids=['{parent_id}'], action='retry').",
        details={"task_id": parent_id, "status": status},
    )


def finished_otherwise(task_id: str, status: str) -> Conflict:
    """The refusal of a worker that ends an attempt again, and says something else of it."""
    return Conflict(
        f"Under this lease_token the attempt at {task_id} was ended already, with another outcome, result or `also`; "
        f"the task is {status}.",
        next="Nothing was changed, and nothing of `also` has landed. What is still to be done goes into calls of its "
        f"own, or into commit; tasks_find(task_id='{task_id}') shows what was recorded.",
        details={"task_id": task_id, "status": status, "repeated": False},
    )


def no_lease() -> LeaseLost:
    """The refusal of a token that holds no task at all."""
    return LeaseLost(
        "This lease_token holds no task any more, so nothing was changed.",
        next="Stop working on its task. tasks_claim(resume=true) gives fresh tokens for what you still hold.",
    )
