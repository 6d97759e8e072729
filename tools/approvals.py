"""Tools of approvals."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval
from mcp_server.domain.approvals.views import (
    AnswerView,
    ApprovalState,
    ApprovalView,
    DecidedApproval,
    RequestedApproval,
    WaitingTask,
    decided_approval,
)
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.meaning import ApprovalId
from mcp_server.kernel.paging import LIMIT_MAX, floors
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.views import View
from tools.hints import as_asked
from tools.nothing import no_such_questions
from tools.spec import ADD, READ, Tool, listed, several


async def ticket(desk: Desk, call: Call, args: RequestApproval) -> TaskView:
    """Ask people, for a client that takes handles."""
    asked = await desk.approvals.request(call, args)
    return await desk.tasks.get(call, asked.approval.task_id)


_BEFORE = "It was asked under this key before, and nothing was asked now: a new key asks anew."
_PERSON_ANSWERS = "the user is asked, and you supply no answer"


class DecideArguments(Frozen):
    """See `approvals_decide`."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **dict[str, str].fromkeys(
            (
                "decision",
                "approve",
                "approved",
                "granted",
                "answer",
                "vote",
                "choice",
                "status",
                "reason",
                "note",
                "comment",
                "text",
            ),
            _PERSON_ANSWERS,
        ),
        **dict[str, str].fromkeys(
            ("action", "cancel", "withdraw"), "tasks_control(action='cancel') of its task withdraws it"
        ),
    }

    approval_id: ApprovalId = Field(description="Or the id of its task")


async def decide(desk: Desk, call: Call, args: DecideArguments) -> DecidedApproval:
    """Have the person at the client asked."""
    decided = await desk.approvals.ask(call, args.approval_id)
    result = decided_approval(decided)
    return result.evolved({"approval": result.approval.evolved(await _let_start(desk, call, decided))})


async def _let_start(desk: Desk, call: Call, decided: ApprovalView) -> dict[str, Any]:
    """How the task stands that a yes lets start, where it is somebody's and the caller may see it."""
    if decided.status != "approved" or not call.actor.may(Permission.TASKS_READ):
        return {}
    task = await desk.tasks.get(call, decided.task_id)
    return {} if task.kind.startswith("system.") else {"task_status": task.status, "waits_for": task.waits_for}


def _say_let_start(approval: ApprovalState) -> str:
    if approval.task_status not in ("queued", "pending"):
        return _say_waiting(approval)
    waits = f"still waits for {'; '.join(approval.waits_for)}" if approval.waits_for else "can be claimed now"
    return f" {approval.task_id} {waits}.{_say_waiting(approval)}"


def _say_waiting(approval: ApprovalState) -> str:
    """How those stand that waited for the answer."""
    is_open = approval.status == "pending"
    return "".join(
        f" {one.id} {'goes on waiting for it' if is_open else _stands(one)}." for one in approval.waiting or ()
    )


def _stands(task: WaitingTask) -> str:
    whose = f" by {task.agent_id} alone" if task.agent_id else ""
    if task.waits_for:
        return f"still waits for {'; '.join(task.waits_for)}"
    return f"can be claimed now{whose}" if task.status == "queued" else f"is {task.status}"


class FindArguments(FindApprovals):
    """See `approvals_find`."""

    approval_id: ApprovalId | None = None


class FindResult(View):
    """One approval, or a list."""

    approval: ApprovalView | None = None
    approvals: list[ApprovalView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One approval, or a list."""
    if args.approval_id is not None:
        found = await desk.approvals.get(call, args.approval_id)
        is_answered = args.status == "answered" and found.status in ("approved", "rejected")
        others = args.model_copy(update={"status": None}) if is_answered else args
        amiss = as_asked(others, "approval_id", found, {"status": "status", "task_id": "task_id"})
        return FindResult(approval=found, hint=amiss)
    approvals, next_cursor, omitted = await desk.approvals.find(call, args)
    return FindResult(
        approvals=approvals,
        next_cursor=next_cursor,
        omitted=omitted,
        at_least=floors(omitted=omitted),
        hint=await _put_to_anyone(desk, call, args)
        or (None if approvals else await no_such_questions(desk, call, args)),
    )


async def _put_to_anyone(desk: Desk, call: Call, args: FindArguments) -> str | None:
    """Which of the newest open questions name nobody, where those of one who is named are asked for: they are theirs,
    too."""
    if args.approver is None or args.status not in (None, "pending"):
        return None
    newest = FindApprovals(status="pending", task_id=args.task_id, limit=LIMIT_MAX)
    free = await desk.approvals.put_to_anyone(call, newest)
    return f"Put to anyone who may decide, so not listed: {several(free)}." if free else None


def _say(approval: ApprovalView | ApprovalState) -> str:
    return f"{approval.id} is {approval.status}."


def _say_asked(result: RequestedApproval) -> str:
    approval = result.approval
    if approval.status == "pending":
        return _say_open(result, approval)
    return f"{_say_decided(approval)}{_say_waiting(approval)} {_BEFORE}"


def _say_open(result: RequestedApproval, approval: ApprovalState) -> str:
    here = (
        f"approvals_decide(approval_id='{approval.id}') has the user at this client asked now; "
        if result.asks_user_here
        else "the user at this client is not among them; "
    )
    waits = f"tasks_wait(task_id='{approval.task_id}') waits for people elsewhere."
    given = result.waiting_task_id and f" {result.waiting_task_id} waits for the answer; its claim brings it."
    how = "Reminded, once" if approval.reminded else "Asked"
    asked = f"{_say(approval)} {how}: {_whom(approval)}; {here}{waits}{_until(approval)}{_takes(approval)}{given or ''}"
    return " ".join((asked, *(f"But {one}" for one in result.warnings or ())))


def _whom(approval: ApprovalState) -> str:
    return several(list(map(named, approval.approvers))) if approval.approvers else "anyone who may decide"


def _until(approval: ApprovalState | ApprovalView) -> str:
    # Silence is no consent, and what waits for it does not wait for ever.
    return f" Unanswered by {approval.expires_at}, {approval.task_id} is cancelled." if approval.expires_at else ""


def _takes(approval: ApprovalState) -> str:
    taken = [f"one of {several([*map(quoted, approval.choices)], 20)}"] if approval.choices else []
    taken += ["an answer in own words"] if approval.free_text else []
    return f" It takes {' or '.join(taken)}." if taken else ""


def _say_decided(approval: ApprovalState) -> str:
    anew = ["Whatever is done now is asked about anew with approvals_request."] if approval.status == "stale" else []
    if approval.answer is not None:
        return f"{approval.id} is answered: {quoted(approval.answer)}."
    return " ".join(filter(None, (_say(approval), *_say_answers(approval), approval.came_of_it(), *anew)))


def _say_answers(approval: ApprovalState) -> list[str]:
    """Who said what, where the status alone does not tell: how many are missing, and why somebody said no."""
    given = approval.answers or ()
    said = [f"{named(one.by)} said no{_why(one.note)}." for one in given if one.granted is False]
    if approval.status != "pending" or not given:
        return said
    missing = several(list(map(named, approval.not_answered or ()))) or "others"
    counts = f"{len(given)} answered, {approval.needed} must {_agree(given)}; {missing} did not answer yet."
    return [*said, counts]


def _agree(given: Sequence[AnswerView]) -> str:
    # A question that is open to more than yes and no is answered, and nothing is approved by that.
    return "agree" if any(map(_is_open, given)) else "approve"


def _is_open(answer: AnswerView) -> bool:
    return answer.granted is None


def _why(reason: str | None) -> str:
    """Every channel takes a reason, so where there is none, nobody need be asked for it."""
    return "; no reason was given, though one could be" if reason is None else f": {quoted(reason)}"


def _say_found(approval: ApprovalView) -> str:
    told = decided_approval(approval).approval
    return " ".join((_say_decided(told), *_say_awaited(approval), *(approval.overtaken or ())))


def _say_awaited(approval: ApprovalView) -> list[str]:
    """Who is still to answer and until when, and how they are reminded."""
    if approval.status != "pending":
        return []
    again = f"They are reminded at {approval.reminds_at}, or once it is asked again with task_id='{approval.task_id}'."
    reminded = again if approval.reminds_at and approval.approvers else ""
    return list(filter(None, (_say_missing(approval), _until(approval).strip(), reminded)))


def _say_missing(approval: ApprovalView) -> str:
    if approval.approvers is None:
        return "Anyone who may decide can answer."
    # Of one that is answered in part, the sentence on its answers says who is missing.
    return "" if approval.answers else f"{several(list(map(named, approval.not_answered or ())))} did not answer yet."


def _say_listed(result: FindResult) -> str:
    approvals = result.approvals or ()
    moved = [one.id for one in approvals if one.overtaken]
    stale = f"What is asked has been overtaken: {several(moved)}." if moved else None
    told = listed(len(approvals), "approval", result.omitted, [one.status for one in approvals])
    return " ".join(filter(None, (told, stale, result.hint)))


TOOLS = (
    Tool(
        name="approvals_request",
        title="Ask for an approval",
        description="Ask people before you do something, saying exactly what. Then approvals_decide asks the user "
        "here, tasks_wait(approval.task_id) waits for others.",
        toolset="communication",
        permission=Permission.APPROVALS_REQUEST,
        hints=ADD,
        arguments=RequestApproval,
        result=RequestedApproval,
        write=lambda desk: desk.approvals.request,
        others_words=False,
        say=_say_asked,
        ticket=ticket,
    ),
    Tool(
        name="approvals_decide",
        title="Have the user decide",
        description="Have the user at this client asked; you supply no answer. Tells what came of it.",
        toolset="communication",
        permission=Permission.TASKS_APPROVE,
        hints=ADD,
        arguments=DecideArguments,
        result=DecidedApproval,
        does=lambda desk: partial(decide, desk),
        say=lambda r: f"{_say_decided(r.approval)}{_say_let_start(r.approval)}",
        asks_person=True,
    ),
    Tool(
        name="approvals_find",
        title="Find approvals",
        description="What waits for people, and what they decided. Cancelling its task withdraws a question.",
        toolset="communication",
        permission=Permission.APPROVALS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        does=lambda desk: partial(find, desk),
        say=lambda r: f"{_say_found(r.approval)} {r.hint or ''}".rstrip() if r.approval else _say_listed(r),
    ),
)
