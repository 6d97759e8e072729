"""Where the columns of a record are listed by hand, none is left out."""

import re
from typing import Any

import pytest

from mcp_server.domain.agents.model import Agent, Instance
from mcp_server.domain.agents.views import AgentView, InstanceView
from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.views import ApprovalView
from mcp_server.domain.areas import AREAS
from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.runs import Run
from mcp_server.domain.deployments.views import DeploymentView, PlanView, RunView
from mcp_server.domain.email.model import Email
from mcp_server.domain.email.views import EmailView
from mcp_server.domain.locks.model import Hold, hold_of
from mcp_server.domain.locks.views import LockView
from mcp_server.domain.messages.model import Delivery, Message
from mcp_server.domain.messages.transactions import apply_to_delivery
from mcp_server.domain.messages.views import MessageView
from mcp_server.domain.state.model import Document
from mcp_server.domain.state.views import DocumentView
from mcp_server.domain.tasks.model import _LIFE, Task
from mcp_server.domain.tasks.rules import BLANK
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.events import Event
from mcp_server.kernel.records import Record, blank_of
from mcp_server.persistence.statements import statements


@pytest.mark.parametrize(
    ("statement", "record", "apart"),
    [
        ("lock_hold_insert", Hold, set()),
        ("lock_holds_whole", Hold, {"name", "pattern"}),  # the name is the aggregate's, and says whether it is a glob
        ("message_insert", Message, set()),
        ("delivery_restore", Delivery, set()),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_statement_that_lists_a_records_columns_lists_them_all(
    engine: str, statement: str, record: type[Record], apart: set[str]
):
    words = set(re.findall(r"\w+", statements(engine, AREAS.sql)[statement]))
    assert (blank_of(record).keys() - apart) - words == set()
    assert not apart - blank_of(record).keys()


def test_a_firing_takes_over_every_field_of_its_schedule_that_is_not_of_its_life():
    whole = {name: name for name in blank_of(Task)} | {"input": "1", "tags": "[]", "depends_on": "[]"}
    whole |= dict.fromkeys(("required_capabilities", "schedule", "progress", "result", "error", "usage"), "[]")
    assert Task.adopt(whole).definition().keys() == blank_of(Task).keys() - _LIFE
    assert _LIFE - BLANK.keys() == {"id", "version", "status", "ready_at", "due_at"}


KEY = {"idempotency_key", "key_owner", "content_hash"}
OTHERWISE: list[tuple[type[Record], type[Record], set[str]]] = [
    (
        Task,
        TaskView,
        {"version", "queue", "system", "last_finish", "due_at", "ready_at", "waits_on", "refused", "approved_by"}
        | {"attempts_forgiven", "concurrency_limit", "deadline_at", "finished_by", "on_parent_failure"}
        | {"retry_delay_seconds", "retry_max_delay_seconds", *KEY}
        | {"lease_agent_id", "lease_expires_at", "lease_instance_id", "lease_seconds", "lease_token_hash"},
    ),
    (
        Agent,
        AgentView,
        {"version", "skills", "operator_set", "registered_by", "decision"}
        | {"lifecycle", "lifecycle_reason", "max_concurrent_tasks"},
    ),
    (Instance, InstanceView, {"version", "agent_id", "started_at"}),
    (
        Approval,
        ApprovalView,
        {"version", "due_at", "remind_at", "opened_at", "updated_at", "named_by_operator"}
        | {"requester", "asked_as", "private", *KEY},
    ),
    (Email, EmailView, {"version", "approval_mail", "handed_over_at", "recipients", "updated_at", *KEY}),
    (Deployment, DeploymentView, {"version", "created_at", "previous_revision", "run_id"}),
    (Run, RunView, {"version", "deployment_id", "failure", "status_before", "updated_at"}),
    (Plan, PlanView, {"version", "id", "newest", "observed", "created_at", "created_by"}),
    (Document, DocumentView, {"id", "created_at"}),
    (Message, MessageView, {"version", "created_at", "place", "recipients", "sender_party", *KEY}),
    (Hold, LockView, {"acquired_at", "party", "pattern"}),
]
"""What a view shows under another name, or keeps to itself."""


@pytest.mark.parametrize(("record", "view", "otherwise"), OTHERWISE, ids=lambda one: getattr(one, "__name__", ""))
def test_a_column_is_shown_under_its_name_or_is_known_not_to_be(
    record: type[Record], view: type[Record], otherwise: set[str]
):
    assert blank_of(record).keys() - blank_of(view).keys() == otherwise


def test_a_hold_out_of_an_event_is_a_whole_one():
    data = dict.fromkeys(("party", "owner", "speaker", "mode", "expires_at", "acquired_at"), 1)
    assert hold_of("a*", 1, data).fields().keys() == blank_of(Hold).keys()


def test_what_an_event_tells_of_an_inbox_may_be_any_column_that_changes():
    ran: dict[str, Any] = {}

    class Tx:
        def run(self, statement: str, **parameters: Any) -> None:
            ran[statement] = parameters

    apply_to_delivery(Tx(), Event("message.read", "message", "message_x", 1, {"party": "p"}))  # type: ignore[arg-type]
    assert ran["delivery_update"].keys() == blank_of(Delivery).keys() - {"place"}
