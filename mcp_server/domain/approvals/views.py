"""What callers see of approvals."""

import json
from collections.abc import Sequence
from typing import Any

from mcp_server.domain.approvals.answers import as_told
from mcp_server.domain.approvals.outcomes import Outcome, outcome_of
from mcp_server.domain.approvals.people import person_key
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none

OWN_QUESTIONS = Private(Permission.APPROVALS_CONTROL, "approval_own")
"""In lists of approvals: those about a mail are for who asked and who is asked."""

_CALLS_SHOWN = 5


class AnswerView(View):
    """One person's answer: whether it granted, or what it chose or said, which may be a no of its own."""

    by: str
    granted: bool | None = None
    via: str
    at: str
    choice: str | None = None
    text: str | None = None
    note: str | None = None


class WaitingTask(View):
    """A task that waits for an answer, or was to: how it stands, for whom alone it is, and for what it waits yet."""

    id: str
    title: str
    status: str
    agent_id: str | None = None
    waits_for: list[str] | None = None
    cancel_reason: str | None = None


class ApprovalView(View):
    """One question to people; `about` is what a task asked about will do, `calls` what a yes runs, `outcome` what came
    of those; `reminds_at` when its people are reminded, unless they were; `overtaken` says why a yes would do nothing
    any more, `handed_over` to whom it went whose asker left, `waiting` what became of the tasks that waited for it.
    Lists leave what is long out, and tell of calls what each `says` to people."""

    id: str
    status: str
    title: str
    action: str
    details: Any = None
    about: Any = None
    calls: list[dict[str, Any]] | None = None
    says: list[str] | None = None
    choices: list[str] | None = None
    free_text: bool | None = None
    action_hash: str
    approvers: list[str] | None = None
    needed: int
    answers: list[AnswerView] | None = None
    not_answered: list[str] | None = None
    overtaken: list[str] | None = None
    answer: str | None = None
    task_id: str
    requested_by: str
    handed_over: dict[str, str] | None = None
    created_at: str
    expires_at: str | None = None
    reminds_at: str | None = None
    decided_at: str | None = None
    ran_at: str | None = None
    outcome: dict[str, Any] | None = None
    waiting: list[WaitingTask] | None = None


def approval_view(row: Row, *, full: bool = True) -> ApprovalView:
    """An approval as callers see it."""
    answers = [_answer(answer) for answer in json.loads(row["answers"])]
    approvers: list[str] = json.loads(row["approvers"])
    calls, came_of_it = json_or_none(row["calls"]), outcome_of(row)
    view = ApprovalView(
        id=row["id"],
        status=came_of_it.word(),
        title=row["title"],
        action=row["action"],
        details=json_or_none(row["details"]),
        about=json_or_none(row["about"]),
        calls=calls,
        choices=json_or_none(row["choices"]),
        free_text=bool(row["free_text"]) or None,
        action_hash=row["action_hash"],
        approvers=approvers or None,
        needed=row["needed"],
        answers=answers or None,
        not_answered=_not_answered(row["status"], approvers, answers),
        answer=came_of_it.answer,
        task_id=row["task_id"],
        requested_by=row["requested_by"],
        created_at=iso(row["created_at"]),
        expires_at=iso_or_none(row["expires_at"]),
        reminds_at=_reminds_at(row),
        decided_at=iso_or_none(row["decided_at"]),
        ran_at=iso_or_none(row["ran_at"]),
        outcome=_outcome(came_of_it, full=full),
    )
    return view if full else view.evolved(_UNLISTED | {"says": _said(calls) if calls else None})


_UNLISTED = dict.fromkeys(("details", "about", "calls", "reminds_at"))
"""What lists leave out."""


def _reminds_at(row: Row) -> str | None:
    return iso_or_none(row["remind_at"]) if row["status"] == "pending" else None


def _answer(kept: dict[str, Any]) -> AnswerView:
    told: dict[str, Any] = {"granted": None, **as_told(kept)}
    return AnswerView(**told)


def _said(calls: list[dict[str, Any]]) -> list[str]:
    """What the first calls say to people, and how many more there are."""
    says = [one["says"] for one in calls[:_CALLS_SHOWN]]
    return says if len(calls) <= _CALLS_SHOWN else [*says, f"and {len(calls) - _CALLS_SHOWN} more calls"]


def _outcome(outcome: Outcome, *, full: bool) -> dict[str, Any] | None:
    if full or outcome.told is None or outcome.status != "stale":
        return None if outcome.told is None else dict(outcome.told)
    return {name: outcome.told[name] for name in ("code", "message")}


class ApprovalState(View):
    """Where a question stands: who asked it knows what it says, but for what each call `says` to people; whether it
    was asked before, and its people are `reminded`. Once it is decided, by whose answers; how the task stands that may
    start, and for what it waits yet, and those that waited for the answer (`waiting`); of how many calls that a yes
    runs, and what came of those."""

    id: str
    status: str
    says: list[str] | None = None
    choices: list[str] | None = None
    free_text: bool | None = None
    action_hash: str
    approvers: list[str] | None = None
    expires_at: str | None = None
    reminded: bool | None = None
    needed: int
    answers: list[AnswerView] | None = None
    not_answered: list[str] | None = None
    answer: str | None = None
    task_id: str
    task_status: str | None = None
    waits_for: list[str] | None = None
    waiting: list[WaitingTask] | None = None
    decided_at: str | None = None
    calls: int | None = None
    ran_at: str | None = None
    outcome: dict[str, Any] | None = None

    def came_of_it(self) -> str:
        """What came of it, in words."""
        return Outcome(self.status, self.task_id, self.answer, self.calls or 0, self.outcome).said()


def approval_state(row: Row, *, reminded: bool = False) -> ApprovalState:
    """A question that was just put, stood under the same key, or reminds its people."""
    calls = json_or_none(row["calls"])
    return ApprovalState(
        id=row["id"],
        status=outcome_of(row).word(),
        says=_said(calls) if calls else None,
        choices=json_or_none(row["choices"]),
        free_text=bool(row["free_text"]) or None,
        action_hash=row["action_hash"],
        approvers=json.loads(row["approvers"]) or None,
        expires_at=iso_or_none(row["expires_at"]),
        reminded=reminded or None,
        needed=row["needed"],
        task_id=row["task_id"],
    )


class RequestedApproval(View):
    """The approval, who gets a link by mail, whether the user at this client is asked, which task waits for the answer
    that it is given with its claim, and what may not be meant; of one that was decided before, what became of it."""

    approval: ApprovalState
    waiting_task_id: str | None = None
    links_sent_to: list[str] | None = None
    asks_user_here: bool | None = None
    warnings: list[str] | None = None


class DecidedApproval(View):
    """An approval after its person was asked."""

    approval: ApprovalState


def decided_approval(view: ApprovalView) -> DecidedApproval:
    """What became of a question, without what it says."""
    return DecidedApproval(
        approval=ApprovalState(
            id=view.id,
            status=view.status,
            action_hash=view.action_hash,
            needed=view.needed,
            answers=view.answers,
            not_answered=view.not_answered,
            answer=view.answer,
            task_id=view.task_id,
            waiting=view.waiting,
            decided_at=view.decided_at,
            calls=len(view.calls or ()) or None,
            ran_at=view.ran_at,
            outcome=view.outcome,
        )
    )


def _not_answered(status: str, approvers: Sequence[str], answers: Sequence[AnswerView]) -> list[str] | None:
    """Who is asked and has not answered yet, as long as that is waited for."""
    if status != "pending":
        return None
    answered = {person_key(one.by) for one in answers}
    return [person for person in approvers if person_key(person) not in answered] or None
