"""Sending what the outbox holds: one attempt of one mail, so that no crash makes it go out twice."""

import asyncio
import contextlib
import json
import shlex
from dataclasses import dataclass
from typing import Any

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.people import is_mailbox, person_key
from mcp_server.domain.approvals.question import question_text
from mcp_server.domain.approvals.service import ApprovalService
from mcp_server.domain.email import transactions
from mcp_server.domain.email.attachments import Attachment
from mcp_server.domain.email.model import Email, Outcome, outcomes_for
from mcp_server.domain.email.service import EmailService
from mcp_server.domain.email.threads import answered
from mcp_server.domain.email.transport import LateWords, Mail, Mailer, Report, Unbuildable
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.quoting import named
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row

GRACE_SECONDS = 10.0
"""How long a mail that is going out may go on after its worker was told to stop: its answer is worth waiting for."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What an attempt came to.

    Attributes:
        status: the mail's status after it.
        deferred: whether somebody may get it at a later attempt.
        retry_after_seconds: how long the provider asks to be left alone.
    """

    status: str
    deferred: bool = False
    retry_after_seconds: float | None = None


class EmailDelivery:
    """Used by the handlers of system tasks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._context = services.context
        self._database = services.context.database
        self._approvals = services.get(ApprovalService)
        self._outbox = services.get(EmailService)
        self._standing = services.get(Standing)

    async def deliver(self, email_id: str, lease_token: str, mailer: Mailer) -> Delivered:
        """Send a mail to those who have not got it.

        Being cancelled does not lose the answer of a mail that is going out: it is waited for, for a while.

        Raises:
            OpsError: the lease was lost, or the store cannot be reached; then nothing went out.
        """
        origin = self._context.origin(SYSTEM_CALL)
        email = Email.adopt(dict(await self._database.write(transactions.begin, origin, email_id, lease_token)))
        if email.status not in ("queued", "sending") or not email.pending():
            return Delivered(email.status)
        mail = await self._mail(email)
        if mail is None:
            await self._database.write(transactions.stop, origin, email_id, "What it asked for is over.")
            return Delivered("cancelled")
        going_out = asyncio.Event()

        async def hand_over() -> None:
            going_out.set()
            await self._database.write(transactions.hand_over, self._context.origin(SYSTEM_CALL), email_id, lease_token)

        sending = asyncio.create_task(self._send(email, mail, mailer, hand_over))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            if going_out.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_SECONDS):
                        await asyncio.wait((sending,))
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            raise

    async def ask_approvers(self, told: dict[str, Any]) -> int:
        """Queue a mail to every approver of an open approval who has an address, or whose profile has one; how many.

        Raises:
            Unbuildable: naming those whom no mail can reach, once all others have theirs.
        """
        approval = await self._approvals.still_open(told["approval_id"], told["opened_at"])
        if approval is None:
            return 0
        reached = await self._reached(approval)
        asked = [await self._ask(approval, *one, told["reminder"]) for one in reached.items()]
        unreached = list(filter(None, asked))
        if unreached:
            raise Unbuildable(f"No mail can be written to {'; '.join(unreached)}"[:1000])
        return len(reached)

    async def _reached(self, approval: Approval) -> dict[str, str]:
        """Who has not answered yet and has an address, with that."""
        answered = {person_key(answer.by) for answer in approval.given()}
        people = [one for one in approval.people() if person_key(one) not in answered]
        addresses = {person: await self._address(person) for person in people}
        return {person: address for person, address in addresses.items() if address is not None}

    async def _address(self, person: str) -> str | None:
        """Where mail reaches one who is asked: a mailbox itself, of a user the address in its profile."""
        if is_mailbox(person):
            return person
        profile = await self._standing.profile(person)
        return None if profile is None else profile.address

    async def _ask(self, approval: Approval, person: str, address: str, reminder: bool) -> str | None:
        """Queue the mail to one approver; why not, where none can reach it."""
        try:
            await self._outbox.queue_approval_mail(approval, person, address, reminder=reminder)
        except ValueError as error:  # of an old question: its people were checked by other rules
            return f"{named(person)}: {error}"
        return None

    async def _send(self, email: Email, mail: Mail, mailer: Mailer, hand_over: Any) -> Delivered:
        try:
            report = await mailer.send(mail, email.pending(), hand_over)
        except Unbuildable as error:
            report = Report(outcomes_for(email.pending(), "failed", None, str(error)))
        error = _explained(report.outcomes)
        origin = self._context.origin(SYSTEM_CALL)
        row: Row = await self._database.write(transactions.keep_answer, origin, email.id, report.outcomes, error)
        return Delivered(row["status"], row["status"] == "sending", report.retry_after_seconds)

    async def _mail(self, email: Email) -> Mail | None:
        text, html = email.text, email.html
        if email.approval_mail is not None:
            asked = await self._late(json.loads(email.approval_mail))
            if asked is None:
                return None
            text, html = asked, None
        is_answer = answered(email.reply_to) is not None
        return Mail(
            id=email.id,
            message_id=email.message_id,
            date=email.created_at,
            sender=email.sender,
            to=json.loads(email.recipients),
            cc=json.loads(email.cc),
            bcc=json.loads(email.bcc),
            reply_to=None if is_answer else email.reply_to,
            answers=email.reply_to if is_answer else None,
            subject=email.subject,
            text=text,
            html=html,
            attachments=[Attachment(**file) for file in json.loads(email.attachments)],
        )

    async def _late(self, told: dict[str, Any]) -> str | None:
        """The text of a mail that holds a link; None where what it is about is over."""
        if "approval_id" in told:
            return await self._question(told)
        return await self._services.option(LateWords).write(self._services, told)

    async def _question(self, told: dict[str, Any]) -> str | None:
        """The text of a mail that asks an approver; None where nothing is left to decide."""
        approval = await self._approvals.still_open(told["approval_id"], told["opened_at"])
        if approval is None:
            return None
        return f"{question_text(approval)}\n\n{await self._where(approval, told['approver'])}\n"

    async def _where(self, approval: Approval, approver: str) -> str:
        """Where one decides. A mail that stays in a folder of this machine, where programs read it, does not say."""
        policy = self._approvals.policy
        if not policy.mails_leave:
            return "Decide where the operator of this server lets you: `doctor` tells the operator where that is."
        link = await self._approvals.link(approval.id, approver)
        if link is not None:
            return f"Decide here: the link is yours alone, and whoever has it can decide.\n\n{link}"
        if policy.command_line is not None:
            command = f"{policy.command_line} {approval.id} --user {shlex.quote(approver)}"
            return f"Decide at a terminal of the server's machine:\n\n{command}"
        return "Decide where the operator of this server lets you."


def _explained(outcomes: Any) -> str | None:
    """Why not everyone has got the mail, in one line."""
    missing: dict[str, Outcome] = {
        address: outcome for address, outcome in outcomes.items() if outcome.status != "sent"
    }
    said = "; ".join(f"{address}: {outcome.message}" for address, outcome in missing.items())
    return said[:1000] or None
