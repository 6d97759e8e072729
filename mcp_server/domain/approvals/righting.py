"""Questions that were opened by a clock that was ahead."""

from typing import Any

from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.approvals.model import Approval
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def right(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Ask from now on what was opened at a moment that has not come yet. Links are void by that; new ones are sent."""
    known = tx.one("approval_for_update", id=row["id"])
    if known is None or known["due_at"] is None or not is_ahead(known["opened_at"], origin.at):
        return
    approval, event = Approval.adopt(known).righted(origin.at)
    tx.tell(PEOPLE_ASKED, origin.caused_by(tx.record(origin, event)), approval, False)
