"""The resource of emails."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from resources.spec import Resource


async def _email(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.emails.get(call, parameters["email_id"])


RESOURCES = (
    Resource(
        uri_template="ops://emails/{email_id}",
        name="email",
        title="Email",
        description="One email, and what became of it at each recipient.",
        toolset="communication",
        permission=Permission.EMAILS_READ,
        read=_email,
        private=True,
    ),
)
