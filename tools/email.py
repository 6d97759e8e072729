"""Tools of email."""

from pydantic import Field

from mcp_server.domain.emails import EmailSpec, EmailStatus
from mcp_server.domain.errors import ValidationFailed
from mcp_server.domain.users import Permission
from mcp_server.services.communication_views import EmailView, TemplateView
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import TaskView
from tools.spec import READ, Arguments, Hints, Listing, Result, Tool, listed


class SendArguments(EmailSpec, Arguments):
    """See `email_send`."""

    dry_run: bool = Field(default=False, description="Show what would be sent, and send nothing")


class SendResult(Result):
    """The email, and the task that sends it."""

    email: EmailView
    task: TaskView | None = None


async def send(desk: Desk, call: Call, args: SendArguments) -> SendResult:
    """Queue one mail, or preview it."""
    email = await desk.emails.send(call, args, dry_run=args.dry_run)
    task = None if email.task_id is None else await desk.tasks.get(call, email.task_id)
    return SendResult.model_construct(email=email, task=task)


async def ticket(desk: Desk, call: Call, args: SendArguments) -> TaskView:
    """Queue one mail for a client that takes handles."""
    if args.dry_run:
        raise ValidationFailed("A dry run has no task to wait for.", next="Call it without the tasks extension.")
    email = await desk.emails.send(call, args)
    return await desk.tasks.get(call, email.task_id or "")


class FindArguments(Listing):
    """See `email_find`."""

    email_id: str | None = Field(default=None, description="Full detail of one")
    to: str | None = None
    status: EmailStatus | None = None
    template: str | None = None
    templates: bool = Field(default=False, description="List the templates instead")


class FindResult(Result):
    """One email, or a list, or the templates."""

    email: EmailView | None = None
    emails: list[EmailView] | None = None
    templates: list[TemplateView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One mail, or a list."""
    if args.templates:
        return FindResult.model_construct(templates=await desk.emails.templates(call))
    if args.email_id is not None:
        return FindResult.model_construct(email=await desk.emails.get(call, args.email_id))
    emails, next_cursor, omitted = await desk.emails.find(
        call, to=args.to, status=args.status, template=args.template, limit=args.limit, cursor=args.cursor
    )
    return FindResult.model_construct(emails=emails, next_cursor=next_cursor, omitted=omitted)


def _say_sent(result: SendResult) -> str:
    email = result.email
    if email.id is None:
        return f"{email.status} by provider {email.provider}. Nothing was sent."
    waiting = " It waits for a person's approval." if email.approval_id is not None else ""
    return f"{email.id} is {email.status} for provider {email.provider}.{waiting} See tasks_wait or email_find."


def _say_found(result: FindResult) -> str:
    if result.templates is not None:
        return listed(len(result.templates), "template", None)
    if result.email is not None:
        return f"{result.email.id} is {result.email.status}."
    return listed(len(result.emails or ()), "email", result.omitted)


TOOLS = (
    Tool(
        name="email_send",
        title="Send an email",
        description="Queue an email; it goes out once, later with send_at. Templates are documents in namespace "
        "email-templates: {subject, text, html, variables}.",
        toolset="communication",
        permission=Permission.EMAILS_SEND,
        hints=Hints(read_only=False, destructive=False, idempotent=False, open_world=True),
        arguments=SendArguments,
        result=SendResult,
        run=send,
        say=_say_sent,
        ticket=ticket,
    ),
    Tool(
        name="email_find",
        title="Find emails",
        description="What became of an email at each recipient; list emails or templates.",
        toolset="communication",
        permission=Permission.EMAILS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        run=find,
        say=_say_found,
    ),
)
