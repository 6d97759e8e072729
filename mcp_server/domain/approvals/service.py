"""Use cases of approvals: agents ask, people decide, and what waited goes on exactly once."""

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.approvals import asking, transactions
from mcp_server.domain.approvals.answers import Answer, said_yes
from mcp_server.domain.approvals.asking import NewRequest
from mcp_server.domain.approvals.awaiting import Awaiting, waits_no_more
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval, Vote, form_of, read_vote
from mcp_server.domain.approvals.fitting import expected_versions, overtaken
from mcp_server.domain.approvals.handed import handed_over, open_of
from mcp_server.domain.approvals.links import ApprovalLinks, Opened, said_again
from mcp_server.domain.approvals.listing import listed
from mcp_server.domain.approvals.model import Approval, ApprovalPolicy, Seen, approval_id_of, key_of, no_approval
from mcp_server.domain.approvals.people import (
    is_mailbox,
    no_decider,
    nobody_yet,
    person_key,
    require_known,
    stands_for_the_user,
)
from mcp_server.domain.approvals.principals import realm_of
from mcp_server.domain.approvals.question import DIALOG_CHARACTERS_MAX, notice_text, question_text
from mcp_server.domain.approvals.seals import QuestionSeal, Seals
from mcp_server.domain.approvals.showing import Shown, cannot_ask
from mcp_server.domain.approvals.transactions import CALLS_KIND, Asked, GiveAnswer
from mcp_server.domain.approvals.views import (
    OWN_QUESTIONS,
    ApprovalView,
    RequestedApproval,
    approval_state,
    approval_view,
    decided_approval,
)
from mcp_server.domain.approvals.voting import Voter, require_voter, user_at
from mcp_server.domain.approvals.words import Runs, asked_as, called
from mcp_server.domain.people.service import Standing
from mcp_server.domain.state.service import StateService
from mcp_server.domain.tasks.service import TaskService
from mcp_server.domain.tasks.views import TaskView, task_full
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call, Grant, Question
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.composing import Composed, Composing, warned
from mcp_server.kernel.errors import AtCapacity, Busy, LeaseLost, OpsError, Unavailable
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.paging import Listed, Page, Query, fetch_page
from mcp_server.kernel.privacy import seen_by
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.kernel.waiting import wait_until
from mcp_server.kernel.writes import Write, require_possible

RUN_WAIT_SECONDS = 10.0
"""How long who decides waits for what comes of the calls that were approved."""


class ApprovalService:
    """Request, decide, find; and the links that approvers get by mail.

    `request` asks people about an action of the caller's own, or whether a task may start.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = context = services.context
        self._database = context.database
        self._composing = services.option(Composing)
        self._links = services.get(ApprovalLinks)
        self._seals = services.get(Seals)
        self._standing = services.get(Standing)
        self._speaking = services.get(Speaking)
        self._awaiting = Awaiting(self._database, services.get(TaskService))
        self.policy = services.option(ApprovalPolicy)
        self.request = Write(context, Permission.APPROVALS_REQUEST, self._reachable, asking.request, self._asked)

    async def decide(
        self, call: Call, voter: Voter, approval_id: str, vote: Vote, seen: Seen
    ) -> tuple[ApprovalView, TaskView]:
        """Take in a person's answer, whatever the channel. Once enough have answered, the task goes on or is cancelled
        in the same transaction.

        Args:
            call: of the person; agents and the server itself are refused.
            voter: who answers, as the channel has proved it.
            approval_id: of the approval, or of its task.
            vote: the answer.
            seen: what the person was shown.

        Raises:
            PermissionDenied: the voter may not decide, or is not asked.
            InvalidTransition: somebody has decided already, or the time is over.
            Conflict: what was shown is not what is asked now.
        """
        require_voter(call, voter)
        at, reason = iso(self._context.clock()), vote.reason or None
        given = Answer(voter.name, vote.approve, voter.via, at, reason, vote.choice, vote.text)
        command = GiveAnswer(_approval_id(approval_id), given, seen)
        person = call.spoken_by(None, call.lease_token)  # an agent may have put the question; it did not decide
        decided = await self._context.write(person, transactions.answer, command)
        return approval_view(decided.approval.fields()), task_full(decided.task.fields())

    async def ask(self, call: Call, approval_id: str) -> ApprovalView:
        """Ask the person at the caller's client, and take in the answer; one who looks away has decided nothing. Where
        a yes runs calls, wait a moment for what comes of them.

        Raises:
            PermissionDenied: the caller is an agent, or this person is not asked.
            Unavailable: the client cannot ask; the message says why.
            InvalidTransition: it is decided already.
            ValidationFailed: the answer is none; the question stays open.
        """
        user_at(call, "client")
        shown = await self._whole(approval := await self._approval(approval_id))
        shown.require_useful()
        question, _ = await self._question(call, shown)
        waiting = [] if approval.about else await self._awaiting.before(call, approval.task_id)
        told = await call.ask(question)
        if told is None:
            raise cannot_ask(shown, question)
        if told.mode == "url":  # the person decides on the page
            return await self.get(call, approval.id)
        decided = await self._run_by_now(call, await self._told(call, shown, told.action, told.content))
        return decided.evolved({"waiting": await self._awaiting.after(call, decided, waiting) or None})

    async def pending(self, call: Call, approval_id: str) -> tuple[Question, QuestionSeal] | None:
        """What a client asks its user of itself, with what seals the answer; None where it is not for this user to
        answer."""
        try:
            user_at(call, "client")
            approval = await self._approval(approval_id)
            return await self._question(call, await self._whole(approval))
        except OpsError:
            return None

    async def answered(self, call: Call, approval_id: str, action: Any, content: Any) -> ApprovalView:
        """Take in what a client's user answered to the form that `pending` gave.

        Raises:
            OpsError: as `decide` and `ask` say.
        """
        approval = await self._approval(approval_id)
        return await self._told(call, Shown(approval, question_text(approval)), action, content)

    async def shown(self, call: Call, approval_id: str) -> Shown:
        """The whole question, for a person who looks at it here.

        Raises:
            NotFound: no such approval.
        """
        return await self._whole(await self._seen(call, approval_id))

    async def get(self, call: Call, approval_id: str) -> ApprovalView:
        """One approval with everything, by its id or its task's.

        Raises:
            NotFound: no such approval, or one about another's mail.
        """
        return await self._viewed((await self._seen(call, approval_id)).fields(), full=True)

    async def find(self, call: Call, command: FindApprovals) -> Listed[ApprovalView]:
        """Approvals, newest first, without their details; of an approver, those that it is named in or answered."""
        page = await self._page(call, command)
        return Listed([await self._viewed(row, full=False) for row in page.rows], page.next_cursor, page.omitted)

    async def put_to_anyone(self, call: Call, command: FindApprovals) -> list[str]:
        """The ids of those of a list that name nobody."""
        rows = (await self._page(call, command)).rows
        return [row["id"] for row in rows if not json.loads(row["approvers"])]

    async def granted_by(self, call: Call, ids: Sequence[str]) -> dict[str, list[str]]:
        """Of several approvals, those that the caller may see, who said yes to each."""
        if not call.actor.may(Permission.APPROVALS_READ):
            return {}
        query = seen_by(call, Query("approvals_seen_among", parameters=(("ids", dump_json(ids)),)), (OWN_QUESTIONS,))
        rows = await self._database.fetch_all(query.statement, filters=query.filters, **dict(query.parameters))
        return {row["id"]: said_yes(row["answers"]) for row in rows}

    async def _page(self, call: Call, command: FindApprovals) -> Page:
        call.actor.require(Permission.APPROVALS_READ)
        query = seen_by(call, listed(command), (OWN_QUESTIONS,))
        return await fetch_page(self._database, query, command.limit, ("created_at", "id"))

    async def held_by(self, call: Call, agent_id: str) -> Holding | None:
        """The open questions of an agent, for who may speak as it."""
        call.actor.require(Permission.APPROVALS_READ)
        known = await self._speaking.may_speak_as(call.actor, agent_id)
        return await open_of(self._database, agent_id) if known else None

    async def still_open(self, approval_id: str, opened_at: int) -> Approval | None:
        """An approval that was asked at a moment; None where it is decided, or has been asked anew since."""
        row = await self._database.fetch_one("approval_by_id", id=approval_id)
        if row is None or (row["status"], row["opened_at"]) != ("pending", opened_at):
            return None
        return Approval.adopt(dict(row))

    async def known(self, approval_id: str) -> Approval | None:
        """An approval as it is now, for what shows it to who is asked."""
        row = await self._database.fetch_one("approval_by_id", id=approval_id)
        return None if row is None else Approval.adopt(dict(row))

    async def link(self, approval_id: str, name: str) -> str | None:
        """Where one who is asked decides in a browser; None where this server shows no such page."""
        if self.policy.links_base is None:
            return None
        return await self._links.make(self.policy.links_base, await self._approval(approval_id), name)

    async def open_link(self, token: str) -> Opened:
        """What a link leads to.

        Raises:
            NotFound: the link is not one of this server's, or was made for a question that has been asked anew.
        """
        approval, voter = await self._links.open(token)
        return Opened(approval, voter, (await self._whole(approval)).text)

    async def _told(self, call: Call, shown: Shown, action: Any, content: Any) -> ApprovalView:
        vote = read_vote(action, content, _form_of(shown.approval))
        if vote is None:
            return await self.get(call, shown.approval.id)
        decided, _ = await self.decide(call, user_at(call, "client"), shown.approval.id, vote, shown.seen)
        return decided

    async def _run_by_now(self, call: Call, decided: ApprovalView) -> ApprovalView:
        """What was decided, once the calls that a yes runs have been made or cannot be any more, or after some time."""
        if not decided.calls or decided.status != "approved":
            return decided

        async def look() -> Approval:
            return await self._approval(decided.id)

        now = await wait_until(self._context, call, look, Approval.has_run, RUN_WAIT_SECONDS, ("approval",))
        return approval_view(now.fields())

    async def _question(self, call: Call, shown: Shown) -> tuple[Question, QuestionSeal]:
        """The question for the user who calls.

        Raises:
            OpsError: it is not for this user to answer, or not any more.
        """
        approval, text, _ = shown
        person = approval.asks(call.actor.id, self._context.clock())
        seal = self._seals.of(call, approval)
        page = await self.link(approval.id, person)
        form = text if len(text) <= DIALOG_CHARACTERS_MAX else None
        return Question(form, _form_of(approval), page, notice_text(approval), seal), seal

    async def _whole(self, approval: Approval) -> Shown:
        """The whole question, before it that a yes does nothing any more where a document has moved on."""
        stale = await self._overtaken(approval.status, approval.calls)
        return Shown(approval, "\n\n".join((*stale[::-1], question_text(approval))), "\n".join(stale) or None)

    async def _overtaken(self, status: str, calls: str | None) -> list[str]:
        """Why a yes would do nothing any more, for each document that has moved on."""
        if status != "pending":
            return []
        found: list[str] = []
        for document, expected in expected_versions(calls):
            now = await self._services.get(StateService).standing(document)
            found += [] if now.version == expected else [overtaken(document, expected, now)]
        return found

    async def _viewed(self, row: Row, *, full: bool) -> ApprovalView:
        """An approval as callers see it, with what has moved where it waits in vain, and whose it is by now."""
        stale = await self._overtaken(row["status"], row["calls"])
        handed = await handed_over(self._database, self._speaking, row)
        return approval_view(row, full=full).evolved({"overtaken": stale or None, "handed_over": handed})

    async def _reachable(self, call: Call, command: RequestApproval) -> NewRequest:
        words = [name for name in command.people() if stands_for_the_user(name) and name != call.actor.id]
        nobody = [name for name in words if await self._standing.profile(name) is None]
        check_all(command.needed, partial(self.policy.require_reachable, command), partial(require_known, call, nobody))
        if not command.calls:
            return NewRequest(command)
        asked = Grant(tuple(command.people()), command.needed(), ())
        changes = await self._composing.compose(self._services, call, command.calls, "calls", later=asked)
        if not await self._is_asked(call, command):
            await self._require_possible(call, changes)
        kept = RawJson(dump_json(asked_as(call)._asdict()))
        runs = Runs(called(changes), kept, any(one.is_private for one in changes))
        lasts = min(filter(None, (one.lasts_seconds for one in changes)), default=None)
        return NewRequest(command, runs, f"{CALLS_KIND}{realm_of(call.actor)}", lasts, warned(changes))

    async def _is_asked(self, call: Call, command: RequestApproval) -> bool:
        """Whether something is asked under this key already: then nothing is asked now."""
        key = key_of(command, call.actor.label)
        said: dict[str, Any] = {"key": key.idempotency_key, "owner": key.key_owner}
        return key.idempotency_key is not None and await self._database.fetch_one("approval_by_key", **said) is not None

    async def _require_possible(self, call: Call, changes: Sequence[Composed]) -> None:
        """Refuse to ask people about what could not be done now, whatever they say; what passes by itself may be asked
        about."""
        with contextlib.suppress(Busy, Unavailable, LeaseLost, AtCapacity):
            await require_possible(call, self._context, changes)

    async def _asked(self, call: Call, asked: Asked) -> RequestedApproval:
        row = asked.approval.fields()
        waiting = await self._awaiting.now(call, asked.waited())
        if asked.approval.status != "pending":
            # Nobody is asked any more, so nothing is told of who could answer until when.
            decided = decided_approval(approval_view(row)).approval
            return RequestedApproval(approval=decided.evolved({"waiting": waiting or None}))
        over, people = waits_no_more(waiting), asked.approval.people()
        told = people if asked.told and self.policy.mails_links() else []
        return RequestedApproval(
            approval=approval_state(row, reminded=asked.reminds),
            waiting_task_id=None if over else asked.for_task(),
            links_sent_to=[person for person in told if await self._is_mailed(person)],
            asks_user_here=_asks_here(call, people),
            warnings=[
                *said_again(asked, self.policy),
                *over,
                *(asked.warnings or ()),
                *await self._strangers(call, people),
            ]
            or None,
        )

    async def _strangers(self, call: Call, people: Sequence[str]) -> list[str]:
        """What there is to say of those who are asked by the name of no known user."""
        names = [one for one in people if not is_mailbox(one) and person_key(one) != person_key(call.actor.id)]
        unknown = [one for one in names if await self._standing.profile(one) is None]
        return [(nobody_yet if await self._speaking.by_id(one) is None else no_decider)(one) for one in unknown]

    async def _is_mailed(self, person: str) -> bool:
        """Whether mail reaches a person."""
        if is_mailbox(person):
            return True
        profile = await self._standing.profile(person)
        return profile is not None and profile.address is not None

    async def _seen(self, call: Call, approval_id: str) -> Approval:
        """One that the caller may see."""
        call.actor.require(Permission.APPROVALS_READ)
        query = Query("approval_seen_by_id", parameters=(("id", _approval_id(approval_id)),))
        query = seen_by(call, query, (OWN_QUESTIONS,))
        row = await self._database.fetch_one(query.statement, filters=query.filters, **dict(query.parameters))
        return _adopted(row, approval_id)

    async def _approval(self, approval_id: str) -> Approval:
        return _adopted(await self._database.fetch_one("approval_by_id", id=_approval_id(approval_id)), approval_id)


def _form_of(approval: Approval) -> dict[str, Any]:
    takes = approval.takes()
    return form_of(takes.choices, free_text=takes.free_text)


def _adopted(row: Row | None, approval_id: str) -> Approval:
    if row is None:
        raise no_approval(approval_id)
    return Approval.adopt(dict(row))


def _asks_here(call: Call, people: Sequence[str]) -> bool:
    """Whether the user who calls is among those who are asked."""
    return call.actor.kind == "user" and (not people or person_key(call.actor.id) in map(person_key, people))


def _approval_id(text: str) -> str:
    return approval_id_of(text) if text.startswith("task_") else text
