"""Links by which approvers decide in a browser: signed, one for each approver, void once the question is asked anew."""

import base64
import hmac
from typing import NamedTuple

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.seals import Signing
from mcp_server.domain.approvals.voting import Voter
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.services import Services

_ANYONE = "~"
"""Stands before the name of a user, where nobody is named to answer."""


class Opened(NamedTuple):
    """A link that was followed: the question, and who answers there, which the link proves."""

    approval: Approval
    voter: Voter


class ApprovalLinks:
    """Makes links and follows them."""

    def __init__(self, services: Services) -> None:
        self._database = services.context.database
        self._signing = services.get(Signing)

    async def make(self, base: str, approval: Approval, name: str) -> str:
        """The link of one who may answer, under the server's address."""
        people = approval.people()
        place = f"{people.index(name)}" if people else f"{_ANYONE}{base64.urlsafe_b64encode(name.encode()).decode()}"
        signed = await self._signature(approval, name)
        return f"{base.rstrip('/')}/approvals/{approval.id.removeprefix('approval_')}.{place}.{signed}"

    async def open(self, token: str) -> Opened:
        """What a link leads to.

        Raises:
            NotFound: the link is not one of this server's, or was made for a question that has been asked anew.
        """
        wrong = NotFound("This link is not valid, or no longer.", next="Ask for a new one.")
        parts = token.split(".")
        if len(parts) != 3:
            raise wrong
        row = await self._database.fetch_one("approval_by_id", id=f"approval_{parts[0]}")
        approval = None if row is None else Approval.adopt(dict(row))
        name = None if approval is None else _named(approval.people(), parts[1])
        if approval is None or name is None:
            raise wrong
        if not hmac.compare_digest(parts[2].encode(), (await self._signature(approval, name)).encode()):
            raise wrong
        return Opened(approval, Voter(name, "link", "link"))

    async def _signature(self, approval: Approval, name: str) -> str:
        return await self._signing.sign(approval.id, approval.opened_at, approval.action_hash, name)


def _named(people: list[str], place: str) -> str | None:
    """Whom a link names: one of those who are asked, by place; a user, where nobody is named."""
    if place.startswith(_ANYONE) and not people:
        try:
            return base64.urlsafe_b64decode(place[len(_ANYONE) :].encode()).decode()
        except ValueError:
            return None
    in_range = place.isascii() and place.isdigit() and len(place) <= 2 and int(place) < len(people)
    return people[int(place)] if in_range else None
