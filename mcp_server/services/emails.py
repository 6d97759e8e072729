"""Use cases of email: check, compose and queue a mail; find what became of it."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from mcp_server.domain.approvals import ApprovalSpec
from mcp_server.domain.email_addresses import is_allowed
from mcp_server.domain.email_commands import NewEmail
from mcp_server.domain.emails import (
    Attachment,
    AttachmentSpec,
    Composed,
    EmailPolicy,
    EmailSpec,
    EmailStatus,
    OutcomeStatus,
    no_email,
)
from mcp_server.domain.errors import OpsError, PermissionDenied, ValidationFailed
from mcp_server.domain.mail_templates import NAMESPACE, Render, fill_in, read_template
from mcp_server.domain.task_spec import sha256_text
from mcp_server.domain.users import Permission
from mcp_server.domain.values import dump_json
from mcp_server.services.communication_views import (
    AttachmentView,
    EmailView,
    TemplateView,
    email_view,
)
from mcp_server.services.context import SYSTEM_CALL, Call, Context, Query, decode_cursor, fetch_page, like
from mcp_server.services.ports import EmailTransactions
from mcp_server.services.state import StateService
from mcp_server.services.system_tasks import SystemTasks

_SHOWN_CHARACTERS_MAX = 10_000


class EmailService:
    """Send and find mails, and list templates."""

    def __init__(
        self,
        context: Context,
        emails: EmailTransactions,
        state: StateService,
        system: SystemTasks,
        policy: EmailPolicy,
        render: Render,
    ) -> None:
        self._context = context
        self._store = context.store
        self._emails = emails
        self._state = state
        self._system = system
        self.policy = policy
        self._render = render

    async def send(self, call: Call, spec: EmailSpec, *, dry_run: bool = False) -> EmailView:
        """Queue a mail; with `dry_run`, show what would be sent, and whether it may.

        Raises:
            ValidationFailed: a template or attachment that does not work.
            PermissionDenied: to somebody the operator does not allow, and nobody is there to be asked.
            LimitExceeded: too large, or too many in this hour.
            IdempotencyConflict: the key was used for another mail.
        """
        call.actor.require(Permission.EMAILS_SEND)
        content = await self._compose(call, spec)
        approval = self._approval(spec, content)
        if dry_run:
            return self._preview(spec, content, asks=approval is not None)
        return await self._queue(call, spec, content, approval=approval)

    async def queue_approval_mail(
        self, approval_id: str, opened_at: int, approver: str, title: str, *, reminder: bool
    ) -> EmailView:
        """Queue the mail that asks one approver; its text, with the link, is made only when it goes out."""
        told = {"approval_id": approval_id, "opened_at": opened_at, "approver": approver, "reminder": reminder}
        about = dump_json(told)
        subject = f"{'Reminder: y' if reminder else 'Y'}our approval is needed: {title}"[:200]
        key = f"approval mail {sha256_text(about)}"
        spec = EmailSpec(to=(approver,), subject=subject, text=approval_id, idempotency_key=key)
        return await self._queue(SYSTEM_CALL, spec, Composed(subject, None, None, (), None), about=about)

    async def find(
        self,
        call: Call,
        *,
        to: str | None = None,
        status: EmailStatus | None = None,
        template: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[EmailView], str | None, int | None]:
        """Mails, newest first; the next cursor and how many were left out."""
        call.actor.require(Permission.EMAILS_READ)
        query = (
            Query("emails_find")
            .where("email_to", email_to=like(to and to.lower()))
            .where("email_status", email_status=status)
            .where("email_template", email_template=like(template, "{}@%"))
        )
        if cursor is not None:
            at, email_id = decode_cursor(cursor, (int, str))
            query = query.where("email_after", after_at=at, after_id=email_id)
        page = await fetch_page(self._store, query, limit, ("created_at", "id"))
        return [email_view(row, full=False) for row in page.rows], page.next_cursor, page.omitted

    async def get(self, call: Call, email_id: str) -> EmailView:
        """One mail with everything.

        Raises:
            NotFound: no such mail.
        """
        call.actor.require(Permission.EMAILS_READ)
        row = await self._store.fetch_one("email_by_id", id=email_id)
        if row is None:
            raise no_email(email_id)
        return email_view(row)

    async def templates(self, call: Call) -> list[TemplateView]:
        """Every template with its variables; one that does not work, with the reason."""
        call.actor.require(Permission.EMAILS_READ)
        documents, _, _ = await self._state.find(
            call, namespace=NAMESPACE, prefix=None, tag=None, text=None, deleted=False, limit=100, cursor=None
        )
        found: list[TemplateView] = []
        for document in documents:
            whole = await self._state.get(call, NAMESPACE, document.key, None)
            try:
                template = read_template(document.key, whole.value)
            except OpsError as error:
                found.append(TemplateView.of(name=document.key, version=document.version, problem=error.message))
                continue
            view = TemplateView.of(
                name=document.key,
                version=document.version,
                subject=template.subject,
                variables=list(template.variables),
            )
            found.append(view)
        return found

    async def track(self, told: Sequence[tuple[str, str, OutcomeStatus, str | None]]) -> int:
        """Keep what a provider's webhook tells: email id, address, status, message. How many were news."""
        origin, news = self._context.origin(SYSTEM_CALL), 0
        for email_id, address, status, message in told:
            news += await self._store.write(self._emails.track, origin, email_id, address, status, message)
        return news

    async def _queue(
        self,
        call: Call,
        spec: EmailSpec,
        content: Composed,
        *,
        approval: ApprovalSpec | None = None,
        about: str | None = None,
    ) -> EmailView:
        context, policy = self._context, self.policy
        new = NewEmail(
            email_id=context.new_id("email"),
            task_id=context.new_id("task"),
            mails_task_id=context.new_id("task"),
            spec=spec,
            content=content,
            provider=policy.provider,
            sender=policy.sender,
            per_hour=policy.per_hour,
            approval=approval,
            approval_mail=about,
        )
        queued = await self._store.write(self._emails.queue, context.origin(call), new)
        self._system.created()
        return email_view(queued.email, replayed=queued.replayed)

    async def _compose(self, call: Call, spec: EmailSpec) -> Composed:
        attachments = tuple([await self._attachment(call, attachment) for attachment in spec.attachments])
        if spec.template is None:
            content = Composed(spec.subject or "", spec.text, spec.html, attachments, None)
        else:
            document = await self._state.get(call, NAMESPACE, spec.template, None)
            template = read_template(spec.template, document.value)
            subject, text, html = fill_in(spec.template, template, spec.variables or {}, self._render)
            content = Composed(subject, text, html, attachments, f"{spec.template}@{document.version}")
        content.require_small()
        return content

    async def _attachment(self, call: Call, spec: AttachmentSpec) -> Attachment:
        if spec.content_base64 is not None:
            try:
                raw = base64.b64decode(spec.content_base64, validate=True)
            except (binascii.Error, ValueError):
                raise ValidationFailed(f"The content of the attachment {spec.name!r} is not base64.") from None
            media_type = spec.media_type or "application/octet-stream"
        else:
            document = await self._state.get(call, spec.namespace or "", spec.key or "", None)
            raw = json.dumps(document.value, ensure_ascii=False, indent=2).encode()
            media_type = spec.media_type or "application/json"
        return Attachment(spec.name, media_type, len(raw), base64.b64encode(raw).decode())

    def _approval(self, spec: EmailSpec, content: Composed) -> ApprovalSpec | None:
        """The question to people, where the mail is not allowed without one."""
        outside = [address for address in spec.everyone() if not is_allowed(address, self.policy.allow)]
        if not outside:
            return None
        if not self.policy.approvers:
            raise PermissionDenied(
                f"This server may not send to {', '.join(outside)}.",
                next=f"Allowed: {', '.join(self.policy.allow)} (DATAMCP_EMAIL_ALLOW).",
                details={"refused": outside, "allowed": list(self.policy.allow)},
            )
        return ApprovalSpec(
            title=f"Send email: {content.subject}"[:200],
            action=f"Send this email. Not on the list of allowed recipients: {', '.join(outside)}.",
            details=_shown(self.policy.sender, spec, content),
            approvers=self.policy.approvers,
        )

    def _preview(self, spec: EmailSpec, content: Composed, *, asks: bool) -> EmailView:
        return EmailView.of(
            status="dry_run: would wait for an approval" if asks else "dry_run: would be sent",
            provider=self.policy.provider,
            sender=self.policy.sender,
            to=list(spec.to),
            cc=list(spec.cc) or None,
            bcc=list(spec.bcc) or None,
            reply_to=spec.reply_to,
            subject=content.subject,
            text=content.text,
            html=content.html,
            attachments=[
                AttachmentView.of(name=file.name, media_type=file.media_type, bytes=file.bytes)
                for file in content.attachments
            ]
            or None,
            template=content.template,
        )


def _shown(sender: str, spec: EmailSpec, content: Composed) -> dict[str, Any]:
    """All that says what will go out; long texts in part, and a SHA-256 of everything."""
    whole = dump_json([content.subject, content.text, content.html, [file._asdict() for file in content.attachments]])
    shown: dict[str, Any] = {
        "from": sender,
        "to": list(spec.to),
        "cc": list(spec.cc),
        "bcc": list(spec.bcc),
        "subject": content.subject,
        "text": (content.text or "")[:_SHOWN_CHARACTERS_MAX],
        "html": (content.html or "")[:_SHOWN_CHARACTERS_MAX],
        "attachments": [f"{file.name} ({file.bytes} bytes)" for file in content.attachments],
        "content_sha256": sha256_text(whole),
    }
    return {name: value for name, value in shown.items() if value}
