"""The moments of an approval at which other areas do their part."""

from mcp_server.domain.approvals.model import Approval
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Hook

PEOPLE_ASKED: Hook[[Origin, Approval, bool], None] = Hook("people asked")
"""Told with the approval, and whether this is a reminder: whoever can reach people tells them."""
