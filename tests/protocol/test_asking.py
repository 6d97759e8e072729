"""Approvals through a client that asks its user, in both eras: a model supplies no answer."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import ElicitResult

from mcp_server.app import App, open_app
from tests.protocol.tasks_client import ask
from tests.protocol.test_calls import call, refused, settings

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


class Person:
    """Answers what the client shows, and remembers it."""

    def __init__(self, action: str = "accept", **content: Any) -> None:
        self.shown: list[str] = []
        self.answer = ElicitResult(action=action, content=content or None)  # type: ignore[arg-type]

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.shown.append(params.message)
        return self.answer


@asynccontextmanager
async def asked_by(tmp_path: Path, era: Any, person: Any, **flags: Any) -> AsyncGenerator[tuple[App, Client]]:
    async with (
        open_app(settings(tmp_path, **flags)) as app,
        Client(app.server, mode=era, elicitation_callback=person) as client,
    ):
        yield app, client


async def requested(client: Client, *approvers: str) -> str:
    answer = await call(
        client, "approvals_request", title="Deploy", action="Deploy v7.", details={"v": 7}, approvers=list(approvers)
    )
    return answer["approval"]["id"]


async def test_the_user_sees_exactly_what_will_happen_and_their_answer_counts(tmp_path: Path, era: Any):
    person = Person(approve=True, reason="go")
    async with asked_by(tmp_path, era, person) as (_, client):
        approval_id = await requested(client, "local")
        approval = (await call(client, "approvals_decide", approval_id=approval_id))["approval"]
        assert (approval["status"], approval["answers"][0]["via"], approval["answers"][0]["note"]) == (
            "approved",
            "client",
            "go",
        )
        (shown,) = person.shown
        assert all(part in shown for part in ("Deploy v7.", '{"v":7}', approval["action_hash"][:16], "user:local"))
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "invalid_transition" and "local approved by client at" in error["message"]


@pytest.mark.parametrize(
    ("person", "status"),
    [
        (Person("decline"), "rejected"),
        (Person("accept", approve=False), "rejected"),
        (Person("cancel"), "pending"),
    ],
    ids=["declined", "unticked", "looked away"],
)
async def test_only_a_clear_yes_approves(tmp_path: Path, era: Any, person: Person, status: str):
    async with asked_by(tmp_path, era, person) as (_, client):
        approval_id = await requested(client, "local")
        approval = (await call(client, "approvals_decide", approval_id=approval_id))["approval"]
        assert approval["status"] == status


async def test_a_client_that_cannot_ask_is_told_the_other_exits_and_nothing_is_decided(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, None) as (_, client):
        approval_id = await requested(client, "local")
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "unavailable" and "tasks_wait(task_id=" in error["message"]
        found = await call(client, "approvals_find", approval_id=approval_id)
        assert found["approval"]["status"] == "pending"


async def test_a_model_cannot_answer_by_an_argument(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person("cancel")) as (_, client):
        approval_id = await requested(client, "local")
        for extra in ({"approve": True}, {"decision": "approved"}, {"answer": {"approve": True}}):
            error = await refused(client, "approvals_decide", approval_id=approval_id, **extra)
            assert error["code"] == "validation" and "unknown argument" in error["message"]
        assert (await call(client, "approvals_find", approval_id=approval_id))["approval"]["status"] == "pending"


async def test_one_who_is_not_asked_is_refused_and_a_narrowed_role_may_not_decide(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person(approve=True)) as (_, client):
        approval_id = await requested(client, "ann@example.org")
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "permission_denied" and "local is not asked" in error["message"]
    async with asked_by(tmp_path, era, Person(approve=True), role="agent") as (_, client):
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "permission_denied" and "tasks:approve" in error["message"]


async def test_an_answer_to_another_question_does_not_count(tmp_path: Path):
    person = Person(approve=True)
    async with asked_by(tmp_path, "auto", person) as (_, client):
        first, second = await requested(client, "local"), await requested(client, "local")
        answer = {"action": "accept", "content": {"approve": True}}
        raw = await ask(
            client,
            "tools/call",
            name="approvals_decide",
            arguments={"approval_id": second},
            inputResponses={"decision": answer},
            requestState="of another question",
        )
        assert raw["resultType"] == "input_required" and "Deploy v7." in json.dumps(raw)
        for approval_id in (first, second):
            assert (await call(client, "approvals_find", approval_id=approval_id))["approval"]["status"] == "pending"
