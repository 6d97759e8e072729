"""Use cases of email: check, compose and queue a mail; find what became of it."""

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from mcp_server.domain.approvals.commands import ApprovalSpec
from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.email import transactions
from mcp_server.domain.email.alike import alike_to, sent_just_before
from mcp_server.domain.email.allowance import fates, outside, over_the_limit, this_hour
from mcp_server.domain.email.attachments import DOCUMENT_TYPE, OCTETS, Attachment, AttachmentSpec, document_file
from mcp_server.domain.email.commands import EmailSpec, FindEmails, SendEmail
from mcp_server.domain.email.model import Composed, Email, OutcomeStatus, no_email
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.email.remarks import not_filled, open_addresses, passed, twice, without_dots
from mcp_server.domain.email.templates import NAMESPACE, Rendering, fill_in, no_template, read_template
from mcp_server.domain.email.threads import answered, subject_of_reply
from mcp_server.domain.email.transactions import NewEmail, Queued
from mcp_server.domain.email.views import (
    OWN_MAILS,
    AttachmentView,
    EmailState,
    EmailView,
    SentEmail,
    TemplateView,
    email_state,
    email_view,
)
from mcp_server.domain.search.finding import NO_CURSOR, Sought, fetch_page_holding
from mcp_server.domain.state.commands import FindDocuments, GetDocument
from mcp_server.domain.state.service import StateService
from mcp_server.domain.state.views import DocumentView
from mcp_server.domain.tasks.standing import task_state
from mcp_server.kernel.addresses import shown_address
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import SYSTEM_CALL, Call
from mcp_server.kernel.checks import found_by, noting, refuse
from mcp_server.kernel.errors import LimitExceeded, NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, dump_json, sha256_text
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.paging import LIMIT_MAX, Listed, Query, after_all, decode_cursor
from mcp_server.kernel.privacy import seen_by
from mcp_server.kernel.quoting import named, quoted
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import iso, micros
from mcp_server.kernel.writes import Write

_FILLED_AT_ONCE_MAX = 2


class EmailService:
    """Send and find mails, and list templates. `queue` puts a mail into the outbox."""

    def __init__(self, services: Services) -> None:
        self._context = context = services.context
        self._database = context.database
        self._state = services.get(StateService)
        self._rendering = services.option(Rendering)
        self._filling = asyncio.Semaphore(_FILLED_AT_ONCE_MAX)
        self.policy = services.option(EmailPolicy)
        self.queue = Write(context, Permission.EMAILS_SEND, self._composed, transactions.queue, self._queued)

    async def send(self, call: Call, command: SendEmail) -> SentEmail:
        """Queue a mail; with `dry_run`, show what would be sent, and what would happen to it at each recipient.

        Raises:
            ValidationFailed: a template or attachment that does not work.
            PermissionDenied: to somebody the operator does not allow, and nobody is there to be asked.
            LimitExceeded: too large, or too many in this hour.
            IdempotencyConflict: the key was used for another mail.
        """
        if not command.dry_run:
            return await self.queue(call, command)
        call.actor.require(Permission.EMAILS_SEND)
        content = await self._compose(call, await self._threaded(call, command))
        warnings = [*(await self._warnings(call, command, content)), *open_addresses(command.to, command.cc)]
        warnings += not_filled(content.subject, content.text, content.html) + without_dots(command.everyone())
        warnings += passed(command.send_at, self._context.clock())
        return SentEmail(email=_preview(self.policy, command, content), warnings=warnings or None)

    async def _warnings(self, call: Call, command: SendEmail, content: Composed) -> list[str]:
        """What would keep a mail from being queued now; and that it went out before."""
        origin = self._context.origin(call)
        since, until = this_hour(origin.at)
        rows = await self._database.fetch_all("emails_since", since=since, until=until)
        refused = over_the_limit([dict(row) for row in rows], self.policy.per_hour, len(command.everyone()))
        said = [] if refused is None else [f"It would be refused now. {refused.message}"]
        rows = await self._database.fetch_all("emails_alike", **alike_to(content, origin.at))
        alike = sent_just_before(rows, command, origin)
        return said if alike is None else [*said, twice(alike, "this one would go out, too")]

    async def filled(self, call: Call, command: SendEmail) -> tuple[SendEmail, dict[str, Any]] | None:
        """A mail with what its template and its attached documents hold now, and all that will go out; None where it
        says all by itself.

        Raises:
            OpsError: as `send` does.
        """
        says_all = command.template is None and command.subject is not None
        if says_all and all(one.namespace is None for one in command.attachments):
            return None
        content = await self._compose(call, await self._threaded(call, command))
        files = tuple(
            AttachmentSpec(name=file.name, media_type=file.media_type, content_base64=file.content_base64)
            for file in content.attachments
        )
        said = {"subject": content.subject, "text": content.text, "html": content.html, "attachments": files}
        whole = command.model_copy(update=said | {"template": None, "variables": None})
        return whole, json.loads(dump_json(_shown(self.policy.sender, command, content)))

    async def queue_approval_mail(self, approval: Approval, approver: str, address: str, *, reminder: bool) -> None:
        """Queue the mail that asks one approver; its text, with the link, is made only when it goes out."""
        told = {"approval_id": approval.id, "opened_at": approval.opened_at, "approver": approver, "reminder": reminder}
        about = dump_json(told)
        subject = one_line(f"{'Reminder: y' if reminder else 'Y'}our approval is needed: {approval.title}", 200)
        key = f"approval mail {sha256_text(about)}"
        spec = EmailSpec(to=(address,), subject=subject, text=approval.id, idempotency_key=key)
        new = self._new(spec, Composed(subject, None, None, (), None))._replace(approval_mail=about)
        await self._database.write(transactions.queue, self._context.origin(SYSTEM_CALL), new)

    async def find(self, call: Call, command: FindEmails) -> Listed[EmailView]:
        """Mails, newest first: the caller's own, and with control everybody's."""
        call.actor.require(Permission.EMAILS_READ)
        query = _narrowed(seen_by(call, Query("emails_find"), (OWN_MAILS,)), command)
        sought = Sought("email", command.to, NO_CURSOR)
        if command.cursor is not None:
            at, email_id = decode_cursor(query.listed, command.cursor, (int, str))
            query, sought = query.where("email_after", after_at=at, after_id=email_id), sought._replace(before=at)
        # Each status has its own index, in which it is in order.
        first, *others = [query.where("email_status", email_status=status) for status in command.statuses()]
        page = await fetch_page_holding(self._database, sought, first, command.limit, ("created_at", "id"), also=others)
        return Listed([email_view(row, full=False) for row in page.rows], page.next_cursor, page.omitted)

    async def get(self, call: Call, email_id: str) -> EmailView:
        """One mail with everything, by its id or that of its task.

        Raises:
            NotFound: no such mail, or another's.
        """
        call.actor.require(Permission.EMAILS_READ)
        of_task = await self._database.fetch_one("email_of_task", task_id=email_id)
        email_id = email_id if of_task is None else of_task["id"]
        query = seen_by(call, Query("email_by_id", parameters=(("id", email_id),)), (OWN_MAILS,))
        row = await self._database.fetch_one(query.statement, filters=query.filters, **dict(query.parameters))
        if row is None:
            raise no_email(email_id)
        return email_view(row)

    async def templates(self, call: Call) -> list[TemplateView]:
        """Every template with its variables; one that does not work, with the reason."""
        call.actor.require(Permission.EMAILS_READ)
        documents = (await self._state.find(call, FindDocuments(namespace=NAMESPACE, limit=100))).items
        found: list[TemplateView] = []
        for document in documents:
            whole = await self._state.get(call, GetDocument(namespace=NAMESPACE, key=document.key))
            try:
                template = read_template(document.key, whole.value)
            except OpsError as error:
                found.append(TemplateView(name=document.key, version=document.version, problem=error.message))
                continue
            view = TemplateView(
                name=document.key,
                version=document.version,
                subject=template.subject,
                variables=template.names(),
            )
            found.append(view)
        return found

    async def track(self, told: Sequence[tuple[str, str, OutcomeStatus, str | None]]) -> int:
        """Keep what a provider's webhook tells: email id, address, status, message. How many were news."""
        origin, news = self._context.origin(SYSTEM_CALL), 0
        for email_id, address, status, message in told:
            news += await self._database.write(transactions.track, origin, email_id, address, status, message)
        return news

    async def _composed(self, call: Call, command: EmailSpec) -> NewEmail:
        refused = found_by(partial(self._require_allowed, command))
        spec = await self._threaded(call, command)
        content = await self._compose(call, spec, refused)
        return self._new(spec, content)._replace(approval=self._approval(command, content))

    async def _threaded(self, call: Call, spec: EmailSpec) -> EmailSpec:
        """A mail that answers another by that one's message id, which stands in the headers of both; about the same,
        where it does not say about what.

        Raises:
            NotFound: there is no such mail that the caller may see.
        """
        email_id = answered(spec.reply_to)
        if email_id is None:
            return spec
        first = await self.get(call, email_id)
        says_it = spec.template is not None or spec.subject is not None
        subject = {} if says_it else {"subject": subject_of_reply(first.subject or "")}
        return spec.model_copy(update={"reply_to": first.message_id} | subject)

    def _new(self, spec: EmailSpec, content: Composed) -> NewEmail:
        return NewEmail(spec, content, self.policy.provider, self.policy.sender, self.policy.per_hour)

    async def _queued(self, call: Call, done: Queued) -> SentEmail:
        task = None if done.task is None else task_state(done.task)
        email = email_state(done.email, replayed=done.replayed)
        warnings = [] if done.alike is None else [twice(done.alike, "both go out")]
        warnings += not_filled(*(done.email[name] for name in ("subject", "text", "html")))
        warnings += without_dots(Email.adopt(done.email).everyone())
        return SentEmail(email=email, task=task, warnings=warnings or None)

    async def _compose(self, call: Call, spec: EmailSpec, refused: OpsError | None = None) -> Composed:
        """The mail's content; a refusal says what is wrong with the mail before it is read, too."""
        attachments = await self._attached(call, spec, refused)
        if spec.template is None:
            content = Composed(spec.subject or "", spec.text, spec.html, attachments, None)
        else:
            document = await self._template(call, spec.template)
            template = read_template(spec.template, document.value)
            async with self._filling:
                subject, text, html = await asyncio.to_thread(
                    fill_in, spec.template, template, spec.variables or {}, self._rendering.render
                )
            content = Composed(subject, text, html, attachments, f"{spec.template}@{document.version}")
        content.require_small()
        return content

    async def _template(self, call: Call, key: str) -> DocumentView:
        """The document of a template.

        Raises:
            NotFound: there is none; it names those that look like it.
        """
        try:
            return await self._state.get(call, GetDocument(namespace=NAMESPACE, key=key))
        except NotFound as error:
            known = (await self._state.find(call, FindDocuments(namespace=NAMESPACE, limit=LIMIT_MAX))).items
            raise no_template(key, [one.key for one in known], error.details) from None

    async def _attached(self, call: Call, spec: EmailSpec, refused: OpsError | None) -> tuple[Attachment, ...]:
        found = [] if refused is None else [refused]
        attachments: list[Attachment] = []
        for attachment in spec.attachments:
            with noting(found):
                attachments.append(await self._attachment(call, attachment))
        refuse(found)
        return tuple(attachments)

    async def _attachment(self, call: Call, spec: AttachmentSpec) -> Attachment:
        if spec.content_base64 is not None:
            try:
                raw = base64.b64decode(spec.content_base64, validate=True)
            except (binascii.Error, ValueError):
                raise ValidationFailed(f"The content of the attachment {quoted(spec.name)} is not base64.") from None
            return _attached(spec.name, spec.media_type or OCTETS, raw)
        address = {"namespace": spec.namespace, "key": spec.key}
        document = await self._state.get(call, GetDocument.model_validate(address))
        media_type = spec.media_type or DOCUMENT_TYPE
        raw = document_file(document.value, media_type)
        origin = f"{document.namespace}/{document.key}@{document.version}"
        return _attached(spec.name, media_type, raw)._replace(document=origin)

    def _strangers(self, spec: EmailSpec) -> list[str]:
        return list(map(shown_address, outside(spec, self.policy)))

    def _require_allowed(self, spec: EmailSpec) -> None:
        """Refuse whom the operator does not allow, where nobody is there to be asked."""
        strangers = [] if self.policy.approvers else self._strangers(spec)
        if strangers:
            raise PermissionDenied(
                f"This server may not send to {', '.join(map(named, strangers))}.",
                next=f"Allowed: {', '.join(self.policy.allow)} (DATAMCP_EMAIL_ALLOW).",
                details={"refused": strangers, "allowed": list(self.policy.allow)},
            )

    def _approval(self, spec: EmailSpec, content: Composed) -> ApprovalSpec | None:
        """The question to people, where the mail is not allowed without one."""
        strangers = self._strangers(spec)
        if not strangers:
            return None
        return ApprovalSpec(
            title=f"Send email: {content.subject}"[:200],
            action=f"Send this email. Not on the list of allowed recipients: {', '.join(strangers)}.",
            details=_shown(self.policy.sender, spec, content),
            approvers=self.policy.approvers,
        )


def _attached(name: str, media_type: str, raw: bytes) -> Attachment:
    return Attachment(name, media_type, len(raw), base64.b64encode(raw).decode())


def _preview(policy: EmailPolicy, spec: EmailSpec, content: Composed) -> EmailState:
    asks = "would wait for an approval" if policy.approvers else "would be refused"
    return EmailState(
        status=f"dry_run: {asks if outside(spec, policy) else 'would be sent'}",
        recipients=fates(spec, policy),
        provider=policy.provider,
        sender=policy.sender,
        to=list(spec.to),
        cc=list(spec.cc) or None,
        bcc=list(spec.bcc) or None,
        reply_to=spec.reply_to,
        subject=content.subject,
        text=content.text,
        html=content.html,
        attachments=[AttachmentView(**file.told()) for file in content.attachments] or None,
        template=content.template,
        send_at=None if spec.send_at is None else iso(micros(spec.send_at)),
    )


def _shown(sender: str, spec: EmailSpec, content: Composed) -> dict[str, Any]:
    """All that says what will go out, where answers to it go and when; a SHA-256 stands for what files hold.

    Raises:
        LimitExceeded: it is too long to be shown whole, and nobody is asked about what they do not see.
    """
    files = [file.told() | {"sha256": _sha256(file)} for file in content.attachments]
    shown: dict[str, Any] = {
        "from": sender,
        "to": list(spec.to),
        "cc": list(spec.cc),
        "bcc": list(spec.bcc),
        "reply_to": spec.reply_to,
        "send_at": None if spec.send_at is None else iso(micros(spec.send_at)),
        "subject": content.subject,
        "text": content.text,
        "html": content.html,
        "attachments": files,
    }
    size = len(dump_json(shown).encode())
    if size > INPUT_BYTES_MAX:
        raise LimitExceeded(
            f"People are asked about this email and see all of it, but {INPUT_BYTES_MAX} bytes at most. It has {size}.",
            next="Shorten it, or attach what is long.",
            details={"bytes": size, "bytes_max": INPUT_BYTES_MAX},
        )
    return {name: value for name, value in shown.items() if value}


def _sha256(file: Attachment) -> str:
    return hashlib.sha256(base64.b64decode(file.content_base64)).hexdigest()


def _narrowed(query: Query, command: FindEmails) -> Query:
    """A list of mails, narrowed by all but their statuses and recipients."""
    begins = command.template and f"{command.template}@"
    return (
        query.where("email_template", template_low=begins, template_high=begins and after_all(begins))
        .where("email_since", email_since=None if command.since is None else micros(command.since))
        .where("email_until", email_until=None if command.until is None else micros(command.until))
    )
