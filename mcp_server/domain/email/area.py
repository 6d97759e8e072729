"""How email is wired into the house."""

from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.email.handlers import send_email, write_to_approvers
from mcp_server.domain.email.model import EmailPolicy
from mcp_server.domain.email.transactions import (
    EMAIL_KIND,
    MAILS_KIND,
    ask_by_mail,
    follow_approval,
    follow_end,
    follow_retry,
)
from mcp_server.domain.email.views import OWN_MAILS
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_ENDED, TASK_RETRIED
from mcp_server.kernel.area import Aggregate, Area, Completion, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.keys import owner_of_key
from mcp_server.kernel.privacy import Private

AREA = Area(
    name="email",
    toolset="communication",
    tables=(Table("emails"),),
    aggregates=(
        Aggregate(
            "email",
            events=(
                *("queued", "approved", "handed_over", "deferred", "retried", "sent", "partly_sent", "failed"),
                *("unknown", "cancelled", "rejected", "delivered", "opened", "clicked", "bounced"),
            ),
            seen_by=Permission.EMAILS_READ,
            private=Private(Permission.EMAILS_CONTROL, "seen_email"),
            table="emails",
            row="email_for_update",
            json=frozenset(("recipients", "cc", "bcc", "attachments", "outcomes")),
            uris=lambda id_: {f"ops://emails/{id_}"},
            unsaid=owner_of_key,
        ),
    ),
    hears=(
        TASK_ENDED.heard_by(follow_end),
        TASK_APPROVED.heard_by(follow_approval),
        TASK_RETRIED.heard_by(follow_retry),
        PEOPLE_ASKED.heard_by(ask_by_mail),
    ),
    kinds=(
        SystemKind(
            EMAIL_KIND,
            send_email,
            at_once=4,
            seconds_max=600,
            variant=lambda services: services.option(EmailPolicy).provider,
        ),
        SystemKind(MAILS_KIND, write_to_approvers, at_once=2, seconds_max=300),
    ),
    completions={"email_id": Completion("complete_email_ids", Permission.EMAILS_READ, private=(OWN_MAILS,))},
)
