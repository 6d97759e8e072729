"""Use cases of approvals: agents ask, people decide, and what waited goes on exactly once."""

from typing import Any

from mcp_server.domain.approvals import transactions
from mcp_server.domain.approvals.links import ApprovalLinks, Opened
from mcp_server.domain.approvals.model import (
    Approval,
    ApprovalPolicy,
    FindApprovals,
    RequestApproval,
    Via,
    answer_of,
    approval_id_of,
    no_approval,
)
from mcp_server.domain.approvals.transactions import Asked, GiveAnswer
from mcp_server.domain.approvals.views import ApprovalView, RequestedApproval, approval_view
from mcp_server.domain.tasks.views import TaskView, task_full
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import Listed, Query, decode_cursor, fetch_page, like
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.writes import Write

_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve"},
        "reason": {"type": "string", "title": "Reason"},
    },
    "required": ["approve"],
}
SHOWN_CHARACTERS_MAX = 2000


class ApprovalService:
    """Request, decide, find; and the links that approvers get by mail.

    `request` asks people about an action of the caller's own, or whether a task may start.
    """

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._links = services.get(ApprovalLinks)
        self.policy = services.option(ApprovalPolicy)
        self.request = Write(context, Permission.APPROVALS_REQUEST, self._reachable, transactions.request, _requested)

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
        command = GiveAnswer(_approval_id(approval_id), given, seen_hash)
        decided = await self._database.write(transactions.answer, self._context.origin(call), command)
        return approval_view(decided.approval.fields()), task_full(decided.task.fields())

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
        Approval.adopt(dict(row)).require_open(self._context.clock())
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

    async def find(self, call: Call, command: FindApprovals) -> Listed[ApprovalView]:
        """Approvals, newest first, without their details."""
        call.actor.require(Permission.APPROVALS_READ)
        query = (
            Query("approvals_find")
            .where("approval_status", approval_status=command.status)
            .where(
                "approval_approver",
                approval_approver=like(command.approver and dump_json(command.approver.lower())),
            )
            .where("approval_task", approval_task=command.task_id)
        )
        if command.cursor is not None:
            at, after_id = decode_cursor(command.cursor, (int, str))
            query = query.where("approval_after", after_at=at, after_id=after_id)
        page = await fetch_page(self._database, query, command.limit, ("created_at", "id"))
        return Listed([approval_view(row, full=False) for row in page.rows], page.next_cursor, page.omitted)

    async def still_open(self, approval_id: str, opened_at: int) -> Approval | None:
        """An approval that was asked at a moment; None where it is decided, or has been asked anew since."""
        row = await self._database.fetch_one("approval_by_id", id=approval_id)
        if row is None or (row["status"], row["opened_at"]) != ("pending", opened_at):
            return None
        return Approval.adopt(dict(row))

    async def link(self, approval_id: str, approver: str) -> str | None:
        """Where an approver decides in a browser; None where this server shows no such page."""
        if self.policy.links_base is None:
            return None
        return await self._links.make(self.policy.links_base, await self._row(approval_id), approver)

    async def open_link(self, token: str) -> Opened:
        """What a link leads to.

        Raises:
            NotFound: the link is not one of this server's, or was made for a question that has been asked anew.
        """
        return await self._links.open(token)

    async def _reachable(self, call: Call, command: RequestApproval) -> RequestApproval:
        del call
        command.needed()
        self.policy.require_reachable(command)
        return command

    async def _row(self, approval_id: str) -> Row:
        row = await self._database.fetch_one("approval_by_id", id=_approval_id(approval_id))
        if row is None:
            raise no_approval(approval_id)
        return row


async def _requested(call: Call, asked: Asked) -> RequestedApproval:
    del call
    approval = approval_view(asked.approval.fields())
    mailed = [person for person in approval.approvers or () if "@" in person]
    return RequestedApproval(approval=approval, links_sent_to=mailed)


def question(row: Row) -> str:
    """What a person is asked, in full as far as a client can show it."""
    details = "" if row["details"] in (None, "{}") else f"\n{row['details'][:SHOWN_CHARACTERS_MAX]}"
    asked = f"{row['title']}\n{row['action']}{details}"
    return f"May this happen?\n{asked}\nAsked by {row['requested_by']}. SHA-256 of this: {row['action_hash'][:16]}"


def _approval_id(text: str) -> str:
    return approval_id_of(text) if text.startswith("task_") else text
