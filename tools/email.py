"""Tools of email."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Self

from pydantic import model_validator

from mcp_server.domain.approvals.rules import UNKNOWN, Form
from mcp_server.domain.desk import Desk
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.email.templates import NAMESPACE
from mcp_server.domain.email.views import EmailState, EmailView, SentEmail, TemplateView
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.meaning import EmailId
from mcp_server.kernel.paging import floors
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.together import not_together
from mcp_server.kernel.views import View
from tools.facts import EMAIL, as_json, beside
from tools.hints import as_asked
from tools.nothing import nothing_sent
from tools.spec import READ, Alone, Hints, Part, Tool, listed, several

_BODY_SHOWN = 80
_FILLED_SHOWN = 400


async def ticket(desk: Desk, call: Call, args: SendEmail) -> TaskView | None:
    """Queue one mail for a client that takes handles; None where it was sent before and its task is gone."""
    sent = await desk.emails.send(call, args)
    if sent.task is None and sent.email.id is not None:
        return None
    if sent.task is None:
        raise ValidationFailed("A dry run has no task to wait for.", next="Call it without the tasks extension.")
    return await desk.tasks.get(call, sent.task.id)


class FindArguments(FindEmails):
    """See `email_find`."""

    email_id: EmailId | None = None
    templates: bool = False

    @model_validator(mode="after")
    def _lists_one_kind(self) -> Self:
        beside = {name for name in self.model_fields_set - {"templates", "limit"} if getattr(self, name) is not None}
        if self.templates and beside:
            change: dict[str, Any] = dict.fromkeys(beside)
            raise not_together("`templates` lists all templates, and nothing narrows that.", **change)
        return self


class FindResult(View):
    """One email, or a list, or the templates."""

    email: EmailView | None = None
    emails: list[EmailView] | None = None
    templates: list[TemplateView] | None = None
    next_cursor: str | None = None
    omitted: int | None = None
    at_least: list[str] | None = None
    hint: str | None = None


async def find(desk: Desk, call: Call, args: FindArguments) -> FindResult:
    """One mail, or a list."""
    if args.templates:
        return FindResult(templates=await desk.emails.templates(call))
    if args.email_id is not None:
        found = await desk.emails.get(call, args.email_id)
        amiss = as_asked(args, "email_id", found, {"status": "status", "template": "template"})
        return FindResult(email=found, hint=amiss)
    emails, next_cursor, omitted = await desk.emails.find(call, args)
    why = None if emails else await nothing_sent(desk, call, args)
    return FindResult(
        emails=emails, next_cursor=next_cursor, omitted=omitted, at_least=floors(omitted=omitted), hint=why
    )


_KEPT = "Nobody gets mails here: the provider is file."


def _say_sent(result: SentEmail) -> str:
    email = result.email
    waits = result.task is not None and result.task.status == "pending"
    what = "This was a dry run: nothing is queued." if email.id is None else _say_queued(email, waits=waits)
    # What a reader takes for all there is comes first: a mail that is kept must not begin as one that went out.
    return " ".join((_say_provider(email.provider), what, *(result.warnings or ())))


def _say_queued(email: EmailState, *, waits: bool) -> str:
    again = "was queued before under this key, nothing was queued now; it " if email.replayed else ""
    waiting = " It waits for a person's approval." if email.approval_id is not None else ""
    now = f"{_status(email)}{_when(email, waits=waits)}"
    return f"{email.id} {again}is {now}.{waiting} {_say_off(email, waits=waits)}See tasks_wait or email_find."


def _when(email: EmailState, *, waits: bool) -> str:
    if email.send_at is None:
        return ""
    if waits:
        return f" and goes out at {email.send_at}"
    return f"; its send_at, {email.send_at}, has passed, so it goes now" if email.status == "queued" else ""


def _status(email: EmailState | EmailView) -> str:
    """Where it stands. What the file provider has done with a mail is no sending: its status stays what all have."""
    return "kept (status sent)" if (email.provider, email.status) == ("file", "sent") else email.status


def _say_off(email: EmailState, *, waits: bool) -> str:
    if not waits:
        return ""
    # Whoever is asked about a mail saw when it goes.
    moves = ", action='reschedule' with run_at moves it" if email.send_at and email.approval_id is None else ""
    return f"Until then tasks_control(action='cancel', task_ids=['{email.task_id}']) calls it off{moves}. "


def say_kept(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """What there is to say of mails among the results of several calls."""
    mails = [one["email"] for one in results if "email" in one]
    return [_KEPT] if any(mail.get("provider") == "file" for mail in mails) else []


def _say_provider(provider: str) -> str:
    return _KEPT if provider == "file" else f"Its provider is {provider}."


def _say_found(result: FindResult) -> str:
    if result.templates is not None:
        return listed(len(result.templates), "template", None)
    if result.email is not None:
        kept = _say_provider(result.email.provider)
        return f"{result.email.id} is {_status(result.email)}. {kept} {result.hint or ''}".rstrip()
    mails = result.emails or ()
    return " ".join(filter(None, (listed(len(mails), "email", result.omitted), result.hint, *_say_where(mails))))


def _say_where(mails: Iterable[EmailView]) -> list[str]:
    # That nobody gets them is said once of all: each tells only the file that it is in.
    return list(dict.fromkeys(_KEPT for one in mails if _is_kept(one)))


def _is_kept(email: EmailView) -> bool:
    return email.provider == "file"


def _says(args: SendEmail) -> str:
    to = several(list(map(named, args.everyone())))
    return f"Send an email to {to}: {_words(args) if args.template is None else _template(args)}{beside(args, EMAIL)}."


def _words(args: SendEmail) -> str:
    # Whoever says yes to it should not have to open the call to see what it is about.
    subject = "" if args.subject is None else f"{quoted(args.subject)}: "
    return f"{subject}{quoted(args.text or args.html or '', _BODY_SHOWN)}"


def _template(args: SendEmail) -> str:
    given = f" with {as_json(args.variables)}" if args.variables else ""
    return f"the template {named(args.template or '')}{given}"


def _comes_to(asked: SendEmail, filled: SendEmail) -> str:
    """What goes out where the call itself does not say that: what its template makes, or the subject of a reply."""
    if asked.template is None and asked.subject is not None:
        return ""
    begins = quoted(filled.text or filled.html or "", _FILLED_SHOWN)
    return f" It comes to {quoted(filled.subject or '')}: {begins}."


def _to_everyone(args: SendEmail, said: dict[str, Any]) -> list[Form]:
    """A mail goes to all its addresses alike; what a template makes of it is not looked up."""
    everyone = [*args.to, *args.cc, *args.bcc]
    content = {} if args.template is None else dict.fromkeys(("subject", "text", "html"), UNKNOWN)
    return [Form("email_send", said | content | dict.fromkeys(("to", "cc", "bcc"), everyone))]


def _documents(args: SendEmail) -> list[str]:
    template = [] if args.template is None else [f"{NAMESPACE}/{args.template}"]
    return template + [f"{one.namespace}/{one.key}" for one in args.attachments if one.namespace is not None]


def _with_documents(args: SendEmail, values: Mapping[str, str]) -> SendEmail:
    attachments = tuple(
        one if (value := values.get(f"{one.namespace}/{one.key}")) is None else one.holding(value)
        for one in args.attachments
    )
    return args if attachments == args.attachments else args.model_copy(update={"attachments": attachments})


TOOLS = (
    Tool(
        name="email_send",
        title="Send an email",
        description="Queue an email, sent once, later with send_at; cancelling its task calls it off. Templates "
        "are documents in namespace email-templates: {subject, text, html, variables}.",
        toolset="communication",
        permission=Permission.EMAILS_SEND,
        hints=Hints(read_only=False, destructive=False, idempotent=False, open_world=True),
        arguments=SendEmail,
        result=SentEmail,
        does=lambda desk: desk.emails.send,
        write=lambda desk: desk.emails.queue,
        part=Part(
            _says,
            makes=lambda args: ["email", "task"],
            made=lambda done: [done.email["id"], done.email["task_id"]],
            alone=lambda args: Alone("a dry run writes nothing") if args.dry_run else None,
            refers={"to": "address", "cc": "address", "bcc": "address"},
            forms=_to_everyone,
            is_private=True,
            reads=_documents,
            put_in=_with_documents,
            content=lambda desk, call, args: desk.emails.filled(call, args),
            comes_to=_comes_to,
        ),
        foreseen=lambda desk: desk.emails.queue,
        others_words=False,
        say=_say_sent,
        ticket=ticket,
    ),
    Tool(
        name="email_find",
        title="Find emails",
        description="What became of emails at each recipient; or templates.",
        toolset="communication",
        permission=Permission.EMAILS_READ,
        hints=READ,
        arguments=FindArguments,
        result=FindResult,
        does=lambda desk: partial(find, desk),
        say=_say_found,
    ),
)
