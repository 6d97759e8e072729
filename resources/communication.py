"""Resources of approvals and emails."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.users import Permission
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from resources.spec import Resource


async def _approval(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.approvals.get(call, parameters["approval_id"])


async def _email(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.emails.get(call, parameters["email_id"])


RESOURCES = (
    Resource(
        uri_template="ops://approvals/{approval_id}",
        name="approval",
        title="Approval",
        description="What people are asked, and their answers.",
        area="communication",
        permission=Permission.APPROVALS_READ,
        read=_approval,
    ),
    Resource(
        uri_template="ops://emails/{email_id}",
        name="email",
        title="Email",
        description="One email, and what became of it at each recipient.",
        area="communication",
        permission=Permission.EMAILS_READ,
        read=_email,
    ),
)
