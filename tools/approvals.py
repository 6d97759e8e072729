"""Tools of approvals."""

from pydantic import Field

from mcp_server.domain.approvals import ApprovalSpec, ApprovalStatus
from mcp_server.domain.users import Permission
from mcp_server.services.communication_views import ApprovalView
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import TaskView
from tools.spec import ADD, READ, Arguments, Listing, Result, Tool, listed


class RequestArguments(ApprovalSpec, Arguments):
    """See `approvals_request`."""

    task_id: str | None = Field(default=None, description="Let this task wait for it")


class RequestResult(Result):
    """The approval, and who gets a link by mail."""

    approval: ApprovalView
    links_sent_to: list[str]


async def request(desk: Desk, call: Call, args: RequestArguments) -> RequestResult:
    """Ask people."""
    approval, _ = await desk.approvals.request(call, args, args.task_id)
    mailed = [person for person in approval.approvers or () if "@" in person]
    return RequestResult.model_construct(approval=approval, links_sent_to=mailed)


async def ticket(desk: Desk, call: Call, args: RequestArguments) -> TaskView:
    """Ask people, for a client that takes handles."""
    _, task = await desk.approvals.request(call, args, args.task_id)
    return task


class DecideArguments(Arguments):
    """See `approvals_decide`."""

    approval_id: str = Field(description="Or the id of its task")


class ApprovalResult(Result):
    """An approval as it is now."""

    approval: ApprovalView


async def decide(desk: Desk, call: Call, args: DecideArguments) -> ApprovalResult:
    """Have the person at the client asked."""
    return ApprovalResult.model_construct(approval=await desk.approvals.ask(call, args.approval_id))


class FindArguments(Listing):
    """See `approvals_find`."""

    approval_id: str | None = Field(default=None, description="Full detail of one")
    status: ApprovalStatus | None = None
    approver: str | None = None
    task_id: str | None = None


class FindResult(Result):
    """One approval, or a list."""

    approval: ApprovalView | None = None
    approvals: list[ApprovalView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One approval, or a list."""
    if args.approval_id is not None:
        return FindResult.model_construct(approval=await desk.approvals.get(call, args.approval_id))
    approvals, next_cursor, omitted = await desk.approvals.find(
        call, status=args.status, approver=args.approver, task_id=args.task_id, limit=args.limit, cursor=args.cursor
    )
    return FindResult.model_construct(approvals=approvals, next_cursor=next_cursor, omitted=omitted)


def _say(approval: ApprovalView) -> str:
    return f"{approval.id} is {approval.status}."


TOOLS = (
    Tool(
        name="approvals_request",
        title="Ask for an approval",
        description="Ask people before you do something, saying exactly what. Then tasks_wait(approval.task_id).",
        toolset="communication",
        permission=Permission.APPROVALS_REQUEST,
        hints=ADD,
        arguments=RequestArguments,
        result=RequestResult,
        run=request,
        say=lambda r: f"{_say(r.approval)} Wait with tasks_wait(task_id='{r.approval.task_id}').",
        ticket=ticket,
    ),
    Tool(
        name="approvals_decide",
        title="Have the user decide",
        description="Have the user at this client asked; you supply no answer.",
        toolset="communication",
        permission=Permission.TASKS_APPROVE,
        hints=ADD,
        arguments=DecideArguments,
        result=ApprovalResult,
        run=decide,
        say=lambda r: _say(r.approval),
        asks_person=True,
    ),
    Tool(
        name="approvals_find",
        title="Find approvals",
        description="What waits for people, and what they decided.",
        toolset="communication",
        permission=Permission.APPROVALS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        run=find,
        say=lambda r: _say(r.approval) if r.approval else listed(len(r.approvals or ()), "approval", r.omitted),
    ),
)
