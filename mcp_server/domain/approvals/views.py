"""What callers see of approvals."""

import json
from typing import Any

from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none

OWN_QUESTIONS = Private(Permission.APPROVALS_CONTROL, "approval_own")
"""In lists of approvals: those about a mail are for who asked and who is asked."""


class AnswerView(View):
    """One person's answer."""

    by: str
    granted: bool
    via: str
    at: str
    choice: str | None = None
    text: str | None = None
    note: str | None = None


class ApprovalView(View):
    """One question to people; `about` is what a task asked about will do, `calls` what a yes runs, `outcome` what came
    of those. Lists leave these and the details out, but for what has moved where nothing was done."""

    id: str
    status: str
    title: str
    action: str
    details: Any = None
    about: Any = None
    calls: list[dict[str, Any]] | None = None
    choices: list[str] | None = None
    free_text: bool | None = None
    action_hash: str
    approvers: list[str] | None = None
    needed: int
    answers: list[AnswerView] | None = None
    task_id: str
    requested_by: str
    created_at: str
    expires_at: str | None = None
    decided_at: str | None = None
    ran_at: str | None = None
    outcome: dict[str, Any] | None = None


def approval_view(row: Row, *, full: bool = True) -> ApprovalView:
    """An approval as callers see it."""
    answers = [AnswerView(**answer) for answer in json.loads(row["answers"])]
    return ApprovalView(
        id=row["id"],
        status=row["status"],
        title=row["title"],
        action=row["action"],
        details=json_or_none(row["details"]) if full else None,
        about=json_or_none(row["about"]) if full else None,
        calls=json_or_none(row["calls"]) if full else None,
        choices=json_or_none(row["choices"]),
        free_text=bool(row["free_text"]) or None,
        action_hash=row["action_hash"],
        approvers=json.loads(row["approvers"]) or None,
        needed=row["needed"],
        answers=answers or None,
        task_id=row["task_id"],
        requested_by=row["requested_by"],
        created_at=iso(row["created_at"]),
        expires_at=iso_or_none(row["expires_at"]),
        decided_at=iso_or_none(row["decided_at"]),
        ran_at=iso_or_none(row["ran_at"]),
        outcome=_outcome(row, full=full),
    )


def _outcome(row: Row, *, full: bool) -> dict[str, Any] | None:
    told = json_or_none(row["outcome"])
    if full or told is None:
        return told
    return {name: told[name] for name in ("code", "message")} if row["status"] == "stale" else None


class ApprovalState(View):
    """Where a question stands: who asked it knows what it says."""

    id: str
    status: str
    action_hash: str
    approvers: list[str] | None = None
    expires_at: str | None = None
    needed: int
    task_id: str


def approval_state(row: Row) -> ApprovalState:
    """A question that was just put, or stood under the same key."""
    return ApprovalState(
        id=row["id"],
        status=row["status"],
        action_hash=row["action_hash"],
        approvers=json.loads(row["approvers"]) or None,
        expires_at=iso_or_none(row["expires_at"]),
        needed=row["needed"],
        task_id=row["task_id"],
    )


class RequestedApproval(View):
    """The approval, who gets a link by mail, and whether the user at this client is asked."""

    approval: ApprovalState
    links_sent_to: list[str]
    asks_user_here: bool
    warnings: list[str] | None = None


class DecidedState(View):
    """What has become of a question, by whose answers; of how many calls that a yes runs, and what came of those."""

    id: str
    status: str
    action_hash: str
    needed: int
    answers: list[AnswerView] | None = None
    task_id: str
    decided_at: str | None = None
    calls: int | None = None
    ran_at: str | None = None
    outcome: dict[str, Any] | None = None
    documents: list[str] | None = None


class DecidedApproval(View):
    """An approval after its person was asked."""

    approval: DecidedState


def decided_approval(view: ApprovalView) -> DecidedApproval:
    """What became of a question, without what it says."""
    return DecidedApproval(
        approval=DecidedState(
            id=view.id,
            status=view.status,
            action_hash=view.action_hash,
            needed=view.needed,
            answers=view.answers,
            task_id=view.task_id,
            decided_at=view.decided_at,
            calls=len(view.calls or ()) or None,
            ran_at=view.ran_at,
            outcome=view.outcome,
            documents=_documents(view) if view.ran_at is not None else None,
        )
    )


def _is_blind(called: dict[str, Any]) -> bool:
    """Whether a call replaces a document whatever that is by then."""
    says = {"expected_version", "base_version"} & called["arguments"].keys()
    return called["tool"] in ("state_set", "state_restore") and not says


def _document(arguments: dict[str, Any]) -> str:
    return f"{arguments['namespace']}/{arguments['key']}"


def blind_writes(calls: str | None) -> list[str] | None:
    """What is to be known of calls that replace documents, whatever these are when people have decided."""
    documents = [_document(one["arguments"]) for one in json_or_none(calls) or () if _is_blind(one)]
    return [
        f"The call that writes {named(document)} says no expected_version: it replaces also what others write meanwhile"
        for document in documents
    ] or None


def _documents(view: ApprovalView) -> list[str] | None:
    """The documents that its calls wrote; what else they made has ids."""
    return [_document(one["arguments"]) for one in view.calls or () if one["tool"].startswith("state_")] or None
