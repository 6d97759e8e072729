"""Links by which approvers decide in a browser: signed, one for each approver, void once the question is asked anew."""

import base64
import hmac
import json
from collections.abc import Iterable
from typing import NamedTuple

from mcp_server.domain.approvals.model import Approval, ApprovalPolicy
from mcp_server.domain.approvals.people import distinct, is_mailbox, person_key
from mcp_server.domain.approvals.seals import Signing
from mcp_server.domain.approvals.transactions import Asked
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.people.service import Standing
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.quoting import named
from mcp_server.kernel.services import Services
from mcp_server.kernel.times import iso

_ANYONE = "~"
_PLACES = [str(number) for number in range(100)]
"""Stands before the name of a user, where nobody is named to answer."""


def _unmailed(policy: ApprovalPolicy, people: Iterable[str]) -> list[str]:
    """What is said of those with an address to whom no link goes: why, who changes that, and how they answer."""
    unsent = [*filter(is_mailbox, people)]
    if policy.mails_links() or not unsent:
        return []
    why = "no page is set up for links" if policy.mails_leave else "mails stay on this machine here"
    return [
        f"no link was mailed to {', '.join(map(named, unsent))}: {why}, which the operator's settings of email and "
        "public_url decide; until then they answer where the operator lets them, such as at its command line."
    ]


def said_again(asked: Asked, policy: ApprovalPolicy) -> list[str]:
    """Whom its mail does not reach, or that they were told before."""
    if asked.told:
        return _unmailed(policy, asked.approval.people())
    approval = asked.approval
    reminded = approval.expires_at is not None and approval.remind_at is None
    told = f"asked before, at {iso(approval.opened_at)}{', and reminded once since' if reminded else ''}"
    anew = f" Asked with task_id='{approval.task_id}' and without its key, it reminds them."
    return [f"it was {told}: nobody is told again.{'' if reminded or not approval.people() else anew}"]


class Opened(NamedTuple):
    """A link that was followed: the question, who answers there, which the link proves, and the text to be shown."""

    approval: Approval
    voter: Voter
    text: str


class ApprovalLinks:
    """Makes links and follows them."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._signing = services.get(Signing)
        self._standing = services.get(Standing)

    async def make(self, base: str, approval: Approval, name: str) -> str:
        """The link of one who may answer, under the server's address."""
        people = approval.people()
        if people:
            place = [*map(person_key, people)].index(person_key(name))
            name_at, name = f"{place}", people[place]
        else:
            name_at = f"{_ANYONE}{base64.urlsafe_b64encode(name.encode()).decode()}"
        signed = await self._signature(approval, name)
        return f"{base.rstrip('/')}/approvals/{approval.id.removeprefix('approval_')}.{name_at}.{signed}"

    async def open(self, token: str) -> tuple[Approval, Voter]:
        """What a link leads to, and who follows it.

        Raises:
            NotFound: the link is not one of this server's, was made for a question that has been asked anew, or for a
                user who is not let in any more.
        """
        wrong = NotFound("This link is not valid, or no longer.", next="Ask for a new one.")
        parts = token.split(".")
        if len(parts) != 3:
            raise wrong
        row = await self._database.fetch_one("approval_by_id", id=f"approval_{parts[0]}")
        approval = None if row is None else Approval.adopt(dict(row))
        if approval is None:
            raise wrong
        for name in _named(approval, parts[1]):
            is_signed = hmac.compare_digest(parts[2].encode(), (await self._signature(approval, name)).encode())
            if is_signed and not await self._standing.is_out(name):
                return approval, Voter(distinct([name])[0], "link", "link")
        raise wrong

    async def _signature(self, approval: Approval, name: str) -> str:
        return await self._signing.sign(approval.id, approval.opened_at, approval.action_hash, name)


def _named(approval: Approval, place: str) -> list[str]:
    """Whom a link may name: one of those who are asked, by place; a user, where nobody is named.

    Up to 0.1.0 people were counted and signed as they had been spelled. Such links are good as long as any.
    """
    people = approval.people()
    try:
        if place.startswith(_ANYONE) and not people:
            return [base64.urlsafe_b64decode(place[len(_ANYONE) :].encode()).decode()]
        number = _PLACES.index(place)
    except ValueError:
        return []
    return [names[number] for names in (people, json.loads(approval.approvers)) if number < len(names)]
