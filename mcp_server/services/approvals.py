"""Use cases of approvals: agents ask, people decide, and what waited goes on exactly once."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.approvals import (
    Approval,
    ApprovalSpec,
    ApprovalStatus,
    Via,
    answer_of,
    approval_id_of,
    no_approval,
)
from mcp_server.domain.email_addresses import is_allowed
from mcp_server.domain.emails import EmailPolicy
from mcp_server.domain.errors import NotFound, PermissionDenied, Unavailable
from mcp_server.domain.users import Permission
from mcp_server.domain.values import dump_json
from mcp_server.services.communication_views import ApprovalView, approval_view
from mcp_server.services.context import SYSTEM_CALL, Call, Context, Query, decode_cursor, fetch_page, like
from mcp_server.services.ports import ApprovalTransactions, Row
from mcp_server.services.system_tasks import SystemTasks
from mcp_server.services.views import TaskView, task_full

_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve"},
        "reason": {"type": "string", "title": "Reason"},
    },
    "required": ["approve"],
}
SHOWN_CHARACTERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that was followed: the approval, and as whom one answers there."""

    approval: ApprovalView
    approver: str


class ApprovalService:
    """Request, decide, find; and the links that approvers get by mail."""

    def __init__(
        self,
        context: Context,
        approvals: ApprovalTransactions,
        system: SystemTasks,
        links_base: str | None,
        policy: EmailPolicy,
    ) -> None:
        self._context = context
        self._store = context.store
        self._approvals = approvals
        self._system = system
        self.links_base = links_base
        self.policy = policy
        self._secret: str | None = None

    async def request(self, call: Call, spec: ApprovalSpec, task_id: str | None) -> tuple[ApprovalView, TaskView]:
        """Ask people: about an action of the caller's own, or whether a task may start.

        Raises:
            OpsError: the task does not exist, or has started; the quorum cannot be reached.
        """
        call.actor.require(Permission.APPROVALS_REQUEST)
        spec.needed()
        self._require_allowed(spec)
        context = self._context
        function = self._approvals.request if task_id is None else self._approvals.request_for_task
        about = task_id or context.new_id("task")
        row = await self._store.write(function, context.origin(call), spec, about, context.new_id("task"))
        self._system.created()
        task = await self._store.fetch_one("task_by_id", id=about)
        assert task is not None, "a task that waits is in the hot table"
        return approval_view(row), task_full(task)

    def _require_allowed(self, spec: ApprovalSpec) -> None:
        """An approver's address gets mail too: naming one must not be a way around the operator's list."""
        named = [person for person in spec.approvers if "@" in person]
        known = {person.casefold() for person in self.policy.approvers}
        outside = [p for p in named if p.casefold() not in known and not is_allowed(p, self.policy.allow)]
        if outside:
            raise PermissionDenied(
                f"This server may not send to {', '.join(outside)}, so they cannot be asked.",
                next=f"Allowed: {', '.join(self.policy.allow)} (DATAMCP_EMAIL_ALLOW).",
                details={"refused": outside, "allowed": list(self.policy.allow)},
            )

    async def decide(
        self,
        call: Call,
        approval_id: str,
        *,
        granted: bool,
        via: Via,
        reason: str | None = None,
        seen_hash: str | None = None,
        approver: str | None = None,
    ) -> tuple[ApprovalView, TaskView]:
        """A person's answer. Once enough have answered, the task goes on or is cancelled in the same transaction.

        Args:
            call: of the person; agents and the server itself are refused.
            approval_id: of the approval, or of its task.
            granted: yes or no.
            via: how the answer came.
            reason: in the person's words.
            seen_hash: the hash of what the person was shown.
            approver: who answers, where a link proved it; else the caller.

        Raises:
            PermissionDenied: the caller may not decide, or is not asked.
            InvalidTransition: somebody has decided already, or the time is over.
        """
        if approver is None:
            call.actor.require(Permission.TASKS_APPROVE)
            call.actor.require_person()
        given = answer_of(approver or call.actor.id, granted, via, reason, self._context.clock())
        decided = await self._store.write(
            self._approvals.answer, self._context.origin(call), _approval_id(approval_id), given, seen_hash
        )
        self._system.created()
        return approval_view(decided.approval), task_full(decided.task)

    async def ask(self, call: Call, approval_id: str) -> ApprovalView:
        """Ask the person at the caller's client, and take in the answer; one who looks away has decided nothing.

        Raises:
            PermissionDenied: the caller is an agent, or this person is not asked.
            Unavailable: the client cannot ask; the message says how else to decide.
            InvalidTransition: it is decided already.
        """
        call.actor.require(Permission.TASKS_APPROVE)
        call.actor.require_person()
        row = await self._row(approval_id)
        Approval.trusted(dict(row)).require_open(self._context.clock())
        answer = await call.ask(question(row), _FORM, row["action_hash"])
        if answer is None:
            raise Unavailable(
                "This client cannot ask its user, and a model does not decide.",
                next=f"A person decides by the link in the mail, or with `data-mcp-server-agent approvals approve "
                f"{row['id']}` (or reject). Wait with tasks_wait(task_id='{row['task_id']}').",
                details={"approval_id": row["id"], "task_id": row["task_id"]},
            )
        return await self.answered(call, row["id"], answer, row["action_hash"])

    async def question(self, call: Call, approval_id: str) -> tuple[str, dict[str, Any]]:
        """What a client asks its user, and the form for the answer."""
        call.actor.require(Permission.APPROVALS_READ)
        return question(await self._row(approval_id)), _FORM

    async def answered(self, call: Call, approval_id: str, answer: Any, seen_hash: str | None) -> ApprovalView:
        """Take in what a client's user answered: `{action, content: {approve, reason}}`."""
        if answer.get("action") == "cancel":
            return await self.get(call, approval_id)
        content: dict[str, Any] = answer.get("content") or {}
        granted = answer.get("action") == "accept" and content.get("approve") is True
        reason = content.get("reason")
        approval, _ = await self.decide(
            call,
            approval_id,
            granted=granted,
            via="client",
            reason=reason[:SHOWN_CHARACTERS_MAX] if isinstance(reason, str) and reason else None,
            seen_hash=seen_hash,
        )
        return approval

    async def get(self, call: Call, approval_id: str) -> ApprovalView:
        """One approval with everything, by its id or its task's.

        Raises:
            NotFound: no such approval.
        """
        call.actor.require(Permission.APPROVALS_READ)
        return approval_view(await self._row(approval_id))

    async def find(
        self,
        call: Call,
        *,
        status: ApprovalStatus | None = None,
        approver: str | None = None,
        task_id: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[ApprovalView], str | None, int | None]:
        """Approvals, newest first; the next cursor and how many were left out."""
        call.actor.require(Permission.APPROVALS_READ)
        query = (
            Query("approvals_find")
            .where("approval_status", approval_status=status)
            .where("approval_approver", approval_approver=like(approver and dump_json(approver.lower())))
            .where("approval_task", approval_task=task_id)
        )
        if cursor is not None:
            at, after_id = decode_cursor(cursor, (int, str))
            query = query.where("approval_after", after_at=at, after_id=after_id)
        page = await fetch_page(self._store, query, limit, ("created_at", "id"))
        return [approval_view(row, full=False) for row in page.rows], page.next_cursor, page.omitted

    async def link(self, approval_id: str, approver: str) -> str | None:
        """Where an approver decides in a browser; None where this server shows no such page."""
        if self.links_base is None:
            return None
        row = await self._row(approval_id)
        place = Approval.trusted(dict(row)).people().index(approver)
        signed = await self._signature(row, approver)
        return f"{self.links_base.rstrip('/')}/approvals/{row['id'].removeprefix('approval_')}.{place}.{signed}"

    async def open_link(self, token: str) -> Opened:
        """What a link leads to.

        Raises:
            NotFound: the link is not one of this server's, or was made for a question that has been asked anew.
        """
        wrong = NotFound("This link is not valid, or no longer.", next="Ask for a new one.")
        parts = token.split(".")
        if len(parts) != 3 or not parts[1].isdigit() or len(parts[1]) > 2:
            raise wrong
        row = await self._store.fetch_one("approval_by_id", id=f"approval_{parts[0]}")
        people = [] if row is None else Approval.trusted(dict(row)).people()
        if row is None or int(parts[1]) >= len(people):
            raise wrong
        approver = people[int(parts[1])]
        if not hmac.compare_digest(parts[2].encode(), (await self._signature(row, approver)).encode()):
            raise wrong
        return Opened(approval_view(row), approver)

    async def _signature(self, row: Row, approver: str) -> str:
        if self._secret is None:
            fresh = secrets.token_hex(32)
            origin = self._context.origin(SYSTEM_CALL)
            self._secret = await self._store.write(self._approvals.signing_key, origin, "approval links", fresh)
        bound = dump_json([row["id"], row["opened_at"], row["action_hash"], approver])
        digest = hmac.new(self._secret.encode(), bound.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()

    async def _row(self, approval_id: str) -> Row:
        row = await self._store.fetch_one("approval_by_id", id=_approval_id(approval_id))
        if row is None:
            raise no_approval(approval_id)
        return row


def question(row: Row) -> str:
    """What a person is asked, in full as far as a client can show it."""
    details = "" if row["details"] in (None, "{}") else f"\n{row['details'][:SHOWN_CHARACTERS_MAX]}"
    asked = f"{row['title']}\n{row['action']}{details}"
    return f"May this happen?\n{asked}\nAsked by {row['requested_by']}. SHA-256 of this: {row['action_hash'][:16]}"


def _approval_id(text: str) -> str:
    return approval_id_of(text) if text.startswith("task_") else text
