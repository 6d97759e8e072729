"""Links by which approvers decide in a browser: signed, one for each approver, void once the question is asked anew."""

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple

from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.transactions import signing_key
from mcp_server.domain.approvals.views import ApprovalView, approval_view
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Row


class Opened(NamedTuple):
    """A link that was followed: the approval, and as whom one answers there."""

    approval: ApprovalView
    approver: str


class ApprovalLinks:
    """Makes links and follows them."""

    def __init__(self, services: Services) -> None:
        self._context = services.context
        self._database = services.context.database
        self._secret: str | None = None

    async def make(self, base: str, row: Row, approver: str) -> str:
        """The link of one approver, under the server's address."""
        place = Approval.adopt(dict(row)).people().index(approver)
        signed = await self._signature(row, approver)
        return f"{base.rstrip('/')}/approvals/{row['id'].removeprefix('approval_')}.{place}.{signed}"

    async def open(self, token: str) -> Opened:
        """What a link leads to.

        Raises:
            NotFound: the link is not one of this server's, or was made for a question that has been asked anew.
        """
        wrong = NotFound("This link is not valid, or no longer.", next="Ask for a new one.")
        parts = token.split(".")
        if len(parts) != 3 or not parts[1].isdigit() or len(parts[1]) > 2:
            raise wrong
        row = await self._database.fetch_one("approval_by_id", id=f"approval_{parts[0]}")
        people = [] if row is None else Approval.adopt(dict(row)).people()
        if row is None or int(parts[1]) >= len(people):
            raise wrong
        approver = people[int(parts[1])]
        if not hmac.compare_digest(parts[2].encode(), (await self._signature(row, approver)).encode()):
            raise wrong
        return Opened(approval_view(row), approver)

    async def _signature(self, row: Row, approver: str) -> str:
        if self._secret is None:
            fresh, origin = secrets.token_hex(32), self._context.origin(SYSTEM_CALL)
            self._secret = await self._database.write(signing_key, origin, "approval links", fresh)
        bound = dump_json([row["id"], row["opened_at"], row["action_hash"], approver])
        digest = hmac.new(self._secret.encode(), bound.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()
