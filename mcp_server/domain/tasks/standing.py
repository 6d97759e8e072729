"""Where a task stands: what writes answer with, and what it waits for."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import PRIORITY_NAMES
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import SECOND, Micros, iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none, short

FIRINGS_SHOWN = 5
UNFINISHED_NAMED_MAX = 5
COUNTED_OFF_MAX = 3
"""So many tasks of one call are known by their place in it."""


class TaskState(View):
    """Where a task stands after a write: its caller knows what it is."""

    id: str
    title: str | None = None
    status: str
    priority: str | None = None
    agent_id: str | None = None
    waits_for: list[str] | None = None
    run_at: str | None = None
    again_in_seconds: float | None = None
    next_firings: list[str] | None = None
    approval: str | None = None
    attempt: int | None = None
    progress: dict[str, Any] | None = None
    cancel_requested: bool | None = None
    cancel_reason: str | None = None
    pause_reason: str | None = None
    finished_at: str | None = None
    edited: list[str] | None = None
    replayed: bool | None = None
    repeated: bool | None = None


def task_state(row: Row, replayed: bool | None = None, now: Micros | None = None) -> TaskState:
    """Where a task stands; of a schedule, its next firings, where `now` is given."""
    return TaskState.adopt(
        {
            "id": row["id"],
            "title": row["title"],
            "status": row["status"],
            "priority": PRIORITY_NAMES[row["priority"]],
            "agent_id": row["agent_id"],
            "waits_for": waits_for(row),
            "run_at": runs_at(row),
            "again_in_seconds": None,
            "next_firings": next_firings(row, now),
            "approval": approval_of(row) if row["schedule"] is None else None,
            "attempt": row["attempt"],
            "progress": progress_of(row),
            "cancel_requested": bool(row["cancel_requested"]) or None,
            "cancel_reason": cancel_reason(row),
            "pause_reason": pause_reason(row),
            "finished_at": iso_or_none(row["finished_at"]),
            "edited": None,
            "replayed": replayed or None,
            "repeated": None,
        }
    )


async def created_states(done: Iterable[tuple[Row, bool]], now: Micros) -> list[TaskState]:
    """Tasks that were just created, each with whether it was before; when one fires next takes a while to find."""
    states, created = list[TaskState](), list(done)
    titled = len(created) > COUNTED_OFF_MAX
    for row, replayed in created:
        states.append(_created(row, replayed, now, titled=titled))
        if row["schedule"] is not None:
            await asyncio.sleep(0)
    return states


def _created(row: Row, replayed: bool, now: Micros, *, titled: bool) -> TaskState:
    """A task that was just created, in the place of what its creator said of it; of many, with its title, since nobody
    counts so far."""
    waits = waits_for(row, row["waits_on"])  # on what it depends was said
    state = task_state(row, replayed, now)
    title = short(row["title"]) if titled else None
    said = {"title": title, "attempt": None, "waits_for": waits} | _unusual(state)
    return state.evolved(said if not replayed else {})


def _unusual(state: TaskState) -> dict[str, Any]:
    """A priority is told where it is not the usual one: several words stand for it."""
    return {"priority": None} if state.priority == "normal" else {}


def controlled_state(row: Row, now: Micros, edited: list[str] | None = None) -> TaskState:
    """A task after an action: what is as it is where nothing was said is left out; with what an edit changed."""
    state = task_state(row, now=now).evolved({"edited": edited})
    return state.evolved(_unusual(state) | ({} if state.attempt else {"attempt": None}))


def ended_state(row: Row) -> TaskState:
    """A task whose attempt its worker has just ended: what the worker does not know of it."""
    state = task_state(row)
    attempt = state.attempt if state.status != "completed" else None
    known = {"title": None, "priority": None, "progress": None, "finished_at": None}
    return state.evolved(known | {"attempt": attempt, "again_in_seconds": _again_in_seconds(row)})


def _again_in_seconds(row: Row) -> float | None:
    """How long after its attempt failed a task is tried again; None where that is at once, or never."""
    is_put_off = row["status"] == "pending" and row["run_at"] is not None
    return round((row["run_at"] - row["updated_at"]) / SECOND, 1) if is_put_off else None


def approval_of(row: Row) -> str | None:
    """Where the approval of a task stands: one that nobody decided about in time was not rejected by anybody, and about
    one that was cancelled meanwhile nobody is asked any more."""
    if row["approval"] == "required" and row["status"] in TERMINAL:
        return "withdrawn"
    return "expired" if row["approval"] == "rejected" and row["approved_by"] is None else row["approval"]


def cancel_reason(row: Row) -> str | None:
    """Why a task was cancelled, or is to be; one that goes on all the same has none."""
    return row["cancel_reason"] if row["status"] == "cancelled" or row["cancel_requested"] else None


def pause_reason(row: Row) -> str | None:
    """Why a task is paused, where that was said."""
    return row["cancel_reason"] if row["status"] == "paused" else None


def runs_at(row: Row) -> str | None:
    """When a task starts at the earliest, or a schedule fires next; one that is paused or cancelled does not fire, and
    what has ended starts no more."""
    is_over = row["status"] in TERMINAL or (row["schedule"] is not None and row["status"] != "pending")
    return None if is_over else iso_or_none(row["run_at"])


def took_seconds(row: Row) -> float | None:
    """How long the last attempt at a task that has ended took."""
    started_at, finished_at = row["started_at"], row["finished_at"]
    return None if started_at is None or finished_at is None else round((finished_at - started_at) / SECOND, 3)


def leased_until(row: Row) -> str:
    """Until when a worker has a task without a report: not beyond the end of its timeout, which no report puts off."""
    expires_at, deadline_at = row["lease_expires_at"], row["deadline_at"]
    return iso(expires_at if deadline_at is None else min(expires_at, deadline_at))


def progress_of(row: Row) -> dict[str, Any] | None:
    """What was last reported. Of a task that has ended, how far it came and not what it was about to do; one that is
    completed is at 100 per cent, whatever that was, and at no step any more."""
    told: dict[str, Any] | None = json_or_none(row["progress"])
    if told is None or row["status"] not in TERMINAL:
        return told
    is_done = row["status"] == "completed"
    left = {name: value for name, value in told.items() if name not in _LEFT_BEHIND[is_done]}
    full = {"percent": 100.0} if is_done and "percent" in left else {}
    return left | full or None


_LEFT_BEHIND = {True: ("message", "step"), False: ("message",)}
"""What the last report says no more of a task that has ended, for those that are completed and others."""


def waits_for(row: Row, ended: int = 0, unfinished: Sequence[str] = (), asked: str = "") -> list[str] | None:
    """What a pending task waits for, in words.

    Args:
        row: the task's.
        ended: how much of what it depends on is over, which is said elsewhere.
        unfinished: the ids of the rest, where they are known.
        asked: what is known of the question to people that is open about it.
    """
    if row["status"] != "pending":
        return None
    reasons = [_unfinished(row, row["waits_on"] - ended, unfinished)] if row["waits_on"] > ended else []
    if row["approval"] == "required":
        reasons.append(f"a person's approval{asked}")
    if row["run_at"] is not None:
        reasons.append(f"its time, {iso(row['run_at'])}" if row["schedule"] is None else _next_time(row))
    return reasons or None


def _next_time(row: Row) -> str:
    """When a schedule fires next, also by the clocks of its zone."""
    spec = ScheduleSpec.model_validate_json(row["schedule"])
    there = "" if spec.timezone == "UTC" else f" ({spec.local(row['run_at'])} in {spec.timezone})"
    return f"its next time, {iso(row['run_at'])}{there}"


def _unfinished(row: Row, count: int, known: Sequence[str]) -> str:
    """That so many dependencies are not done yet, and which, where they are few and known."""
    said = f"{count} unfinished {'dependency' if count == 1 else 'dependencies'}"
    ids = known or json.loads(row["depends_on"])
    return f"{said} ({', '.join(ids)})" if len(ids) == count <= UNFINISHED_NAMED_MAX else said


def next_firings(row: Row, now: Micros | None) -> list[str] | None:
    """When a pending schedule fires next; nothing where it is not known how late it is."""
    if row["schedule"] is None or now is None or row["status"] != "pending":
        return None
    firings = ScheduleSpec.model_validate_json(row["schedule"]).firings(row["run_at"], FIRINGS_SHOWN - 1)
    return [iso(at) for at in (row["run_at"], *firings)]
