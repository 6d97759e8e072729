"""How email is wired into the house."""

from functools import partial

from mcp_server.domain.approvals.hooks import PEOPLE_ASKED
from mcp_server.domain.email.handlers import send_email, write_to_approvers
from mcp_server.domain.email.model import Email
from mcp_server.domain.email.moving import follow_move
from mcp_server.domain.email.policy import provider
from mcp_server.domain.email.transactions import (
    EMAIL_KIND,
    MAILS_KIND,
    ask_by_mail,
    follow_approval,
    follow_end,
    follow_retry,
)
from mcp_server.domain.email.views import OWN_MAILS, attachments_told
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_ENDED, TASK_MOVED, TASK_RETRIED
from mcp_server.kernel.area import Aggregate, Area, Completion, Searched, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.keys import owner_of_key
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.searching import fold_words
from mcp_server.kernel.telling import Telling, whole

_FOUND = Telling.of("status outcomes updated_at", "handed_over_at error")
_ANSWERED = Telling.of("status outcomes updated_at", "handed_over_at error sent_at")
RECIPIENTS = ("recipients", "cc", "bcc")
_STOPPED = Telling.of("status error updated_at")

AREA = Area(
    name="email",
    toolset="communication",
    tables=(Table("emails"),),
    aggregates=(
        Aggregate(
            "email",
            events={
                "queued": Telling.of(whole(Email)),
                "approved": Telling.of("status updated_at"),
                "rescheduled": Telling.of("send_at updated_at"),
                "handed_over": Telling.of("status handed_over_at updated_at"),
                "retried": Telling.of("status outcomes error updated_at"),
                "cancelled": _STOPPED,
                "rejected": _STOPPED,
                "deferred": _ANSWERED,
                "sent": _ANSWERED,
                "partly_sent": _ANSWERED,
                "failed": _FOUND,
                "unknown": _ANSWERED,
                "delivered": _FOUND,
                "opened": _FOUND,
                "clicked": _FOUND,
                "bounced": _ANSWERED,
            },
            seen_by=Permission.EMAILS_READ,
            record=Email,
            private=Private(Permission.EMAILS_CONTROL, "seen_email"),
            table="emails",
            row="email_for_update",
            json=frozenset(("recipients", "cc", "bcc", "attachments", "outcomes")),
            uris=lambda id_: {f"ops://emails/{id_}"},
            hidden=frozenset(("content_hash", "key_owner")),
            told={"attachments": attachments_told},
            words=RECIPIENTS,
            reworded=("queued",),
            unsaid=owner_of_key,
        ),
    ),
    searched=(
        Searched(
            "email",
            "emails_every",
            partial(fold_words, columns=RECIPIENTS, json=RECIPIENTS),
            in_time="emails_every_in_time",
        ),
    ),
    hears=(
        TASK_ENDED.heard_by(follow_end),
        TASK_APPROVED.heard_by(follow_approval),
        TASK_MOVED.heard_by(follow_move),
        TASK_RETRIED.heard_by(follow_retry),
        PEOPLE_ASKED.heard_by(ask_by_mail),
    ),
    kinds=(
        SystemKind(
            EMAIL_KIND,
            send_email,
            at_once=4,
            seconds_max=600,
            variant=provider,
        ),
        SystemKind(MAILS_KIND, write_to_approvers, at_once=2, seconds_max=300),
    ),
    completions={"email_id": Completion("complete_email_ids", Permission.EMAILS_READ, private=(OWN_MAILS,))},
)
