"""How approvals are wired into the house."""

from operator import itemgetter

from mcp_server.domain.agents.hooks import AGENT_HANDED_OVER, AGENT_HOLDS
from mcp_server.domain.approvals.answers import retold
from mcp_server.domain.approvals.handlers import approved, make_calls
from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.principals import realm
from mcp_server.domain.approvals.replay import unsaid
from mcp_server.domain.approvals.righting import right
from mcp_server.domain.approvals.transactions import (
    APPROVAL_KIND,
    CALLS_KIND,
    ask_about_changed,
    ask_again,
    hand_over,
    held_by,
    open_for,
    settle_due,
    withdraw,
)
from mcp_server.domain.approvals.views import OWN_QUESTIONS
from mcp_server.domain.tasks.hooks import TASK_CHANGED, TASK_ENDED, TASK_GATED, TASK_RETRIED
from mcp_server.kernel.area import Aggregate, Area, Completion, Righting, Sweep, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.telling import Telling, whole

_OVER = Telling.of("title status decided_at due_at updated_at")
_DECIDED = Telling.of("title answers status decided_at due_at updated_at")
_ASKED = "approvers needed expires_at remind_at due_at"
_WORDS = "action details about requested_by"

AREA = Area(
    name="approvals",
    toolset="communication",
    tables=(
        Table("approvals"),
        Table("approvers", key=3, exported=False),
        # What links are signed with leaves the database in no export.
        Table("signing_keys", exported=False, copied=False, rebuilt=None),
        Table("spent_seals", exported=False, copied=False, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "approval",
            events={
                "requested": Telling.of(whole(Approval)),
                "answered": Telling.of("title answers status updated_at"),
                "approved": _DECIDED,
                "rejected": _DECIDED,
                "expired": _OVER,
                "withdrawn": Telling.of("title status decided_at due_at updated_at", "outcome"),
                "reminded": Telling.of("title remind_at due_at updated_at"),
                "reopened": Telling.of(
                    "title status answers decided_at opened_at updated_at",
                    "expires_at remind_at due_at outcome action details about action_hash",
                ),
                "ran": Telling.of("title outcome ran_at updated_at"),
                "stale": Telling.of("title status outcome updated_at"),
                "put_to": Telling.of("title opened_at updated_at", f"{_ASKED} {_WORDS} action_hash answers"),
                "handed_over": Telling.of("title requester updated_at", "reason"),
                "righted": Telling.of("title opened_at updated_at", "expires_at remind_at due_at"),
            },
            seen_by=Permission.APPROVALS_READ,
            record=Approval,
            private=Private(Permission.APPROVALS_CONTROL, "seen_approval"),
            table="approvals",
            row="approval_for_update",
            json=frozenset(("details", "about", "calls", "choices", "asked_as", "outcome", "approvers", "answers")),
            any_json=frozenset(("details",)),
            uris=lambda id_: {f"ops://approvals/{id_}"},
            hidden=frozenset(("due_at", "key_owner", "content_hash", "action_hash", "asked_as")),
            beside={"reason": str},
            told={"named_by_operator": bool},
            retold=retold,
            unsaid=unsaid,
        ),
    ),
    hears=(
        TASK_GATED.heard_by(open_for),
        TASK_CHANGED.heard_by(ask_about_changed),
        TASK_ENDED.heard_by(withdraw),
        TASK_RETRIED.heard_by(ask_again),
        AGENT_HOLDS.heard_by(held_by),
        AGENT_HANDED_OVER.heard_by(hand_over),
    ),
    sweeps=(Sweep("due.approvals", "approvals_due", settle_due, itemgetter("id")),),
    rightings=(Righting("approvals_ahead", right, itemgetter("id")),),
    kinds=(
        SystemKind(APPROVAL_KIND, approved, at_once=4, seconds_max=30),
        SystemKind(CALLS_KIND, make_calls, at_once=4, seconds_max=120, variant=realm),
    ),
    completions={
        "approval_id": Completion("complete_approval_ids", Permission.APPROVALS_READ, private=(OWN_QUESTIONS,))
    },
)
