"""Whom a call asks in, and how they hear of it: by a mail that holds the link, which nobody else is shown; or by a link
that is shown to who opened the call; agents by a message."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.approvals.people import is_mailbox, mailbox
from mcp_server.domain.calls.links import PERSON, CallLinks
from mcp_server.domain.calls.model import LiveCall, Participant
from mcp_server.domain.calls.transactions import Asked, Invite
from mcp_server.domain.email.commands import EmailSpec
from mcp_server.domain.email.model import Composed
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.email.transactions import NewEmail
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.addresses import check_address, is_allowed
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.checks import noting, refuse
from mcp_server.kernel.errors import OpsError, PermissionDenied, Unavailable, ValidationFailed
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.lines import fenced, one_line
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import iso

MAIL_SUBJECT = "You are asked into a call"


class Inviting:
    """Finds out who is meant by names, and writes the mails."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._standing = services.get(Standing)
        self._links = services.get(CallLinks)
        self._mail = services.option(EmailPolicy)
        self._approvals = services.option(ApprovalPolicy)

    async def asked(self, call: Call, names: Sequence[str]) -> Invite:
        """Whom to ask in.

        Raises:
            ValidationFailed: a name is none.
            PermissionDenied: the operator does not allow an address.
            Unavailable: a person is named, and this server shows no pages.
        """
        asked: list[Asked] = []
        found: list[OpsError] = []
        for name in dict.fromkeys(names):
            with noting(found):
                asked.append(await self._one(name))
        if any(one.participant.kind != "agent" for one in asked):
            with noting(found):
                self.require_pages()
        refuse(found)
        if any(one.address is not None for one in asked):
            call.actor.require(Permission.EMAILS_SEND)
        if any(one.participant.kind == "agent" for one in asked):
            call.actor.require(Permission.MESSAGES_SEND)
        return Invite(asked, partial(_mail_to, self._mail))

    def guest(self) -> Invite:
        """Somebody, by a link that is shown.

        Raises:
            Unavailable: this server shows no pages.
        """
        self.require_pages()
        return Invite([Asked(Participant(0, "guest", "guest", is_shown=True))], partial(_mail_to, self._mail))

    async def shown(self, call: LiveCall, asked: Sequence[int]) -> dict[int, str]:
        """The links that who asked people in is shown, by their numbers."""
        base = self._approvals.links_base
        shown = [n for n in asked if call.participant(n).is_shown]
        return {} if base is None else {n: await self._links.make(base, call, n) for n in shown}

    async def text(self, told: Mapping[str, Any]) -> str | None:
        """The text of the mail that asks somebody in; None where nothing is left to join."""
        row = await self._database.fetch_one("call_by_id", id=told["call_id"])
        base = self._approvals.links_base
        if row is None or base is None or LiveCall.adopt(dict(row)).is_over:
            return None
        call = LiveCall.adopt(dict(row))
        link = await self._links.make(base, call, told["n"])
        return _words(call, link)

    def require_pages(self) -> None:
        """Refuse to ask a person in where there is no page to join by.

        Raises:
            Unavailable: saying what the operator sets.
        """
        if self._approvals.links_base is None:
            raise Unavailable(
                "This server shows no pages, so no person can join a call.",
                next="The operator sets DATAMCP_CONSOLE_PORT, or DATAMCP_PUBLIC_URL; agents and programs "
                "join without: participants=['NAME of an agent'], or `offer`. To ask the user at this client: "
                "approvals_request, then approvals_decide.",
            )

    async def _one(self, name: str) -> Asked:
        if is_mailbox(name):
            return self._mailed(Participant(0, mailbox(name), "address"), check_address(name))
        if name.startswith(PERSON):
            user = name.removeprefix(PERSON).strip()
            if not user:
                raise ValidationFailed(f"{quoted(name)} names nobody.", next="Write user:NAME, such as user:local.")
            profile = await self._standing.profile(user)
            address = None if profile is None else profile.address
            return self._mailed(Participant(0, user, "user"), address)
        return Asked(Participant(0, name.removeprefix("agent:"), "agent"))

    def _mailed(self, one: Participant, address: str | None) -> Asked:
        """By mail where that leaves this machine: then whoever joins is who was written to."""
        if address is None or not self._approvals.mails_leave:
            return Asked(one._replace(is_shown=True))
        if not is_allowed(address, self._mail.allow):
            raise PermissionDenied(
                f"This server may not send to {one_line(address)}.",
                next=f"Allowed: {', '.join(self._mail.allow)} (DATAMCP_EMAIL_ALLOW).",
            )
        return Asked(one._replace(person=one.name), address)


def _mail_to(policy: EmailPolicy, call_id: str, asked: Asked) -> NewEmail:
    """The mail to one of them; its text, with the link, is made only when it goes out."""
    about = dump_json({"call_id": call_id, "n": asked.participant.n})
    subject = MAIL_SUBJECT
    key = f"call invitation {about}"
    spec = EmailSpec(to=(asked.address or "",), subject=subject, text=call_id, idempotency_key=key)
    content = Composed(subject, None, None, (), None)
    return NewEmail(spec, content, policy.provider, policy.sender, policy.per_hour, approval_mail=about)


def _words(call: LiveCall, link: str) -> str:
    kind = "with your voice and in writing" if call.media == "audio" else "in writing"
    recorded = " It is recorded." if call.record else ""
    return (
        f"{one_line(call.opened_by)} asks you into a call, {kind}.{recorded} "
        "Lines that begin with > are the words of others.\n\n"
        f"{fenced(call.purpose)}\n\n"
        f"Join here until {iso(call.expires_at)}: the link is yours alone, and is good once.\n\n{link}\n"
    )
