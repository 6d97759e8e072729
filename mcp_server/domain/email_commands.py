"""What is asked of the outbox: plain values between services and the store."""

from dataclasses import dataclass

from mcp_server.domain.approvals import ApprovalSpec
from mcp_server.domain.emails import Composed, EmailSpec


@dataclass(frozen=True, slots=True)
class NewEmail:
    """A mail to queue, under ids chosen beforehand."""

    email_id: str
    task_id: str
    mails_task_id: str
    spec: EmailSpec
    content: Composed
    provider: str
    sender: str
    per_hour: int | None
    approval: ApprovalSpec | None = None
    approval_mail: str | None = None
