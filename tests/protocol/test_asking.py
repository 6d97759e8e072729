"""Approvals through a client that asks its user, in both eras: a model supplies no answer."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import ElicitResult

from mcp_server.app import App, open_app
from mcp_server.domain.approvals import service
from mcp_server.domain.approvals.seals import Seals
from mcp_server.domain.approvals.voting import Voter
from mcp_server.kernel.times import SECOND
from mcp_server.runtime.system_worker import SystemWorker
from tests.faults.test_stdio_ends import INITIALIZE, line, server
from tests.faults.test_stdio_ends import call as one_call
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
        self.pages: list[str] = []
        self.answer = ElicitResult(action=action, content=content or None)  # type: ignore[arg-type]

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.shown.append(params.message)
        self.pages += [params.url] if params.mode == "url" else []
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


async def test_who_says_yes_to_calls_is_told_what_came_of_them(tmp_path: Path, era: Any):
    plan = {"tool": "state_set", "arguments": {"namespace": "n", "key": "plan", "value": 1, "expected_version": 0}}
    task = {"tool": "tasks_create", "arguments": {"tasks": [{"title": "one"}]}}
    async with asked_by(tmp_path, era, Person(approve=True)) as (_, client):
        old = (await call(client, "tasks_create", tasks=[{"title": "old"}]))["tasks"][0]["id"]
        pause = {"tool": "tasks_control", "arguments": {"task_ids": [old], "action": "pause"}}
        first, second = [
            (await call(client, "approvals_request", title="Plan", calls=calls, approvers=["local"]))["approval"]["id"]
            for calls in ([plan, task], [pause])
        ]
        await call(client, "tasks_control", task_ids=[old], action="cancel")
        for approval_id, status, words in (
            (first, "approved", " is approved. Its 2 calls landed: state_set n/plan; tasks_create task_"),
            (
                second,
                "stale",
                " is stale. It was approved, and nothing was done, since it could not be done any more: ",
            ),
        ):
            decided = await client.call_tool("approvals_decide", {"approval_id": approval_id})
            assert words in decided.content[0].text  # type: ignore[union-attr]
            assert (decided.structured_content or {})["approval"]["status"] == status
            assert (await call(client, "state_get", namespace="n", key="plan"))["document"]["version"] == 1
        (stale,) = (await call(client, "approvals_find", status="stale"))["approvals"]
        assert (
            stale["outcome"]["code"] == "invalid_transition" and "calls[0] tasks_control" in stale["outcome"]["message"]
        )


async def test_nobody_is_asked_in_vain_about_what_has_been_overtaken(tmp_path: Path, era: Any):
    plan = {"tool": "state_set", "arguments": {"namespace": "n", "key": "plan", "value": 1, "expected_version": 0}}
    person = Person(approve=True)
    async with asked_by(tmp_path, era, person) as (_, client):
        asked = (await call(client, "approvals_request", title="Plan", calls=[plan], approvers=["local"]))["approval"]
        await call(client, "state_set", namespace="n", key="plan", value=2)
        error = await refused(client, "approvals_decide", approval_id=asked["id"])
        assert (error["code"], person.shown) == ("conflict", [])
        assert "Nobody was asked" in error["message"] and "expects that it does not exist" in error["message"]


async def test_where_calls_take_longer_who_decides_is_told_where_to_wait(
    tmp_path: Path, era: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "RUN_WAIT_SECONDS", 0)
    monkeypatch.setattr(SystemWorker, "look", lambda self: asyncio.sleep(0))  # pyright: ignore[reportUnknownLambdaType]
    calls = [{"tool": "state_set", "arguments": {"namespace": "n", "key": "plan", "value": 1}}]
    async with asked_by(tmp_path, era, Person(approve=True)) as (_, client):
        asked = (await call(client, "approvals_request", title="Plan", calls=calls, approvers=["local"]))["approval"]
        decided = await client.call_tool("approvals_decide", {"approval_id": asked["id"]})
        told = f"Its call will run as {asked['task_id']}, not done yet: tasks_wait(task_id='{asked['task_id']}')"
        assert told in decided.content[0].text  # type: ignore[union-attr]


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
            assert error["code"] == "validation" and "there is no such argument" in error["message"]
        assert (await call(client, "approvals_find", approval_id=approval_id))["approval"]["status"] == "pending"


async def test_one_who_is_not_asked_is_refused_and_a_narrowed_role_may_not_decide(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person(approve=True)) as (_, client):
        approval_id = await requested(client, "ann@example.org")
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "permission_denied" and "local is not asked" in error["message"]
    async with asked_by(tmp_path, era, Person(approve=True), role="agent") as (_, client):
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "permission_denied" and "tasks:approve" in error["message"]


@pytest.mark.parametrize(
    "content",
    [
        {"approve": "true"},
        {"approve": 1},
        {"approve": "yes"},
        {},
        {"approve": True, "sure": True},
        {"approve": True, "reason": 5},
        {"approve": True, "reason": "x" * 2001},
    ],
)
async def test_an_answer_outside_the_form_leaves_the_question_open(tmp_path: Path, era: Any, content: Any):
    async with asked_by(tmp_path, era, Person("accept", **content)) as (_, client):
        approval_id = await requested(client, "local")
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "validation" and "nothing was decided" in error["message"]
        assert await status(client, approval_id) == "pending"


async def status(client: Client, approval_id: str) -> str:
    return (await call(client, "approvals_find", approval_id=approval_id))["approval"]["status"]


async def decided(client: Client, approval_id: str, state: str | None, **more: Any) -> dict[str, Any]:
    """`approvals_decide` with an answer that the client makes up, or got from its user."""
    arguments = {"approval_id": approval_id}
    yes = {"decision": {"action": "accept", "content": {"approve": True}}}
    sent = {"inputResponses": yes} | ({} if state is None else {"requestState": state}) | more
    return await ask(client, "tools/call", name="approvals_decide", arguments=arguments, **sent)


async def sealed(client: Client, approval_id: str) -> str:
    answer = await ask(client, "tools/call", name="approvals_decide", arguments={"approval_id": approval_id})
    assert answer["resultType"] == "input_required"
    return answer["requestState"]


async def test_a_state_that_this_server_did_not_seal_for_this_question_and_user_decides_nothing(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person(approve=True)) as (_, client):
        first, second = await requested(client, "local"), await requested(client, "local", "ann")
        shown = (await call(client, "approvals_find", approval_id=first))["approval"]
        state = await sealed(client, first)
        async with asked_by(tmp_path, "auto", Person(approve=True), user="ann") as (_, anns):
            foreign = await sealed(anns, second)
        for made_up in (None, "", "x", shown["action_hash"], state[:-1], f"9{state}", await sealed(client, second)):
            assert (await decided(client, first, made_up))["resultType"] == "input_required"
        assert (await decided(client, second, foreign))["resultType"] == "input_required"
        assert [await status(client, one) for one in (first, second)] == ["pending", "pending"]
        assert (await decided(client, first, state))["structuredContent"]["approval"]["status"] == "approved"


async def test_a_state_counts_once_and_in_any_process_on_the_database(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person(approve=True)) as (_, client):
        approval_id = await requested(client, "local")
        state = await sealed(client, approval_id)
        away = {"inputResponses": {"decision": {"action": "cancel"}}}
        assert (await decided(client, approval_id, state, **away))["structuredContent"]["approval"][
            "status"
        ] == "pending"
        kept = await sealed(client, approval_id)
    async with asked_by(tmp_path, "auto", Person(approve=True)) as (_, client):
        assert (await decided(client, approval_id, state))["resultType"] == "input_required"
        assert await status(client, approval_id) == "pending"
        assert (await decided(client, approval_id, kept))["structuredContent"]["approval"]["status"] == "approved"


async def test_a_state_is_good_for_an_hour_and_for_what_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with asked_by(tmp_path, "auto", Person(approve=True)) as (app, client):
        approval_id = await requested(client, "local")
        state, clock = await sealed(client, approval_id), app.desk.context.clock
        late = replace(app.desk.context, clock=lambda: clock() + 3601 * SECOND)
        monkeypatch.setattr(app.desk.get(Seals), "_context", late)
        assert (await decided(client, approval_id, state))["resultType"] == "input_required"
        assert await status(client, approval_id) == "pending"


async def test_a_question_too_long_for_a_dialog_is_not_cut_but_not_asked_there(tmp_path: Path, era: Any):
    person = Person(approve=True)
    async with asked_by(tmp_path, era, person) as (_, client):
        long = {"title": "t", "action": "x" * 3000, "approvers": ["local"]}
        approval_id = (await call(client, "approvals_request", **long))["approval"]["id"]
        error = await refused(client, "approvals_decide", approval_id=approval_id)
        assert error["code"] == "unavailable" and "a dialog shows 2000" in error["message"]
        assert (person.shown, await status(client, approval_id)) == ([], "pending")


async def test_where_this_server_has_pages_a_long_question_is_asked_on_one(tmp_path: Path, era: Any):
    person = Person("accept")
    async with asked_by(tmp_path, era, person, public_url="http://desk.test") as (app, client):
        long = {"title": "t", "action": "x" * 3000, "approvers": []}
        approval_id = (await call(client, "approvals_request", **long))["approval"]["id"]
        assert (await call(client, "approvals_decide", approval_id=approval_id))["approval"]["status"] == "pending"
        (page,) = person.pages
        opened = await app.desk.approvals.open_link(page.removeprefix("http://desk.test/approvals/"))
        assert (opened.approval.id, opened.voter) == (approval_id, Voter("local", "link", "link"))
        assert person.shown == [
            f"{approval_id} waits for your decision. This page of DataMCPServerAgent shows what is asked, and by whom."
        ]


async def test_what_is_shown_is_the_servers_words_first_and_the_askers_fenced(tmp_path: Path, era: Any):
    person = Person("cancel")
    async with asked_by(tmp_path, era, person) as (_, client):
        forged = "Deploy\nAsked by user:boss.\u2028\x1b[2J\u202eevil"
        hostile = {
            "title": "Deploy",
            "action": forged,
            "details": {"note": forged + "x" * 90},
            "approvers": ["local"],
        }
        approval_id = (await call(client, "approvals_request", **hostile))["approval"]["id"]
        await call(client, "approvals_decide", approval_id=approval_id)
        (shown,) = person.shown
        lines = shown.split("\n")
        assert lines[0].startswith(f"May this happen? {approval_id}") and lines[1].startswith("Asked by user:local.")
        theirs = [line for line in lines if "boss" in line]
        assert len(theirs) == 2 and all(line.startswith("> ") for line in theirs)
        assert theirs[1].startswith(">   | Asked by user:boss.")
        assert not {"\x1b", "\u202e", "\u2028"} & set(shown)


@pytest.mark.slow
def test_an_answer_of_the_client_that_is_none_is_told_and_decides_nothing(tmp_path: Path):
    can_ask = INITIALIZE | {"capabilities": {"elicitation": {}}}
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "a list": ({"action": "accept", "content": []}, "content is"),
        "a text": ({"action": "accept", "content": "yes"}, "content is"),
        "in depth": ({"action": "accept", "content": {"approve": {"a": 1}}}, "content is"),
        "no word": ({"action": "maybe"}, "action is"),
        "nothing": ({}, "action is"),
    }
    with server(tmp_path) as process:
        assert process.stdin is not None and process.stdout is not None

        def say(text: bytes) -> dict[str, Any]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(text)
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        say(line(id=0, method="initialize", params=can_ask))
        process.stdin.write(line(method="notifications/initialized"))
        question = {"title": "t", "action": "a", "approvers": ["local"]}
        made = say(one_call(1, "approvals_request", **question))["result"]["structuredContent"]["approval"]["id"]
        for what, (answer, said) in wrong.items():
            asked = say(one_call(what, "approvals_decide", approval_id=made))
            assert asked["method"] == "elicitation/create"
            told = say(line(id=asked["id"], result=answer))
            error = told["result"]["structuredContent"]["error"]
            assert error["code"] == "validation" and said in error["message"], (what, error)
            assert "Nothing was decided" in error["message"]
        found = say(one_call(2, "approvals_find", approval_id=made))["result"]["structuredContent"]
        process.stdin.close()
        assert process.wait(60) == 0
    assert found["approval"]["status"] == "pending"
