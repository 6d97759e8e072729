"""Questions with choices and free text through a client that asks its user, in both eras: what the person says is the
result of the question's task."""

from pathlib import Path
from typing import Any

import pytest

from tests.protocol.test_asking import Person, asked_by, decided, era, sealed, status
from tests.protocol.test_calls import call, refused

__all__ = ["era"]
pytestmark = pytest.mark.anyio
COLOURS = ["red", "green"]


class Forms(Person):
    """A person, and the forms that they were shown."""

    def __init__(self, action: str = "accept", **content: Any) -> None:
        super().__init__(action, **content)
        self.forms: list[dict[str, Any]] = []

    async def __call__(self, context: Any, params: Any) -> Any:
        self.forms.append(params.requested_schema)
        return await super().__call__(context, params)


async def question(client: Any, **takes: Any) -> dict[str, Any]:
    asked = await call(client, "approvals_request", title="Which colour?", approvers=["local"], **takes)
    return asked["approval"]


@pytest.mark.parametrize(
    ("takes", "content", "fields", "required", "answer"),
    [
        ({"choices": COLOURS}, {"choice": "green"}, ["choice"], ["choice"], "green"),
        ({"free_text": True}, {"text": "teal"}, ["text"], ["text"], "teal"),
        ({"choices": COLOURS, "free_text": True}, {"choice": "red", "text": ""}, ["choice", "text"], [], "red"),
        ({"choices": COLOURS, "free_text": True}, {"text": "teal"}, ["choice", "text"], [], "teal"),
    ],
    ids=["a choice", "a text", "a choice where a text would do", "a text where a choice would do"],
)
async def test_what_the_person_answers_to_the_form_is_the_result_of_the_questions_task(
    tmp_path: Path, era: Any, takes: Any, content: Any, fields: Any, required: Any, answer: str
):
    person = Forms(**content)
    async with asked_by(tmp_path, era, person) as (_, client):
        asked = await question(client, **takes)
        answered = (await call(client, "approvals_decide", approval_id=asked["id"]))["approval"]
        (form,), (shown,) = person.forms, person.shown
        assert (list(form["properties"]), form["required"]) == (fields, required)
        assert form["properties"].get("choice", {"enum": COLOURS})["enum"] == COLOURS
        assert "Which colour?" in shown and asked["action_hash"][:16] in shown
        assert (answered["status"], answered["answers"][0]["via"]) == ("answered", "client")
        waited = await call(client, "tasks_wait", task_id=asked["task_id"], wait_seconds=5)
        assert waited["task"]["status"] == "completed"
        assert waited["task"]["result"]["answer"] == answer


@pytest.mark.parametrize(
    ("person", "ends"), [(Forms("decline"), "rejected"), (Forms("cancel"), "pending")], ids=["declined", "looked away"]
)
async def test_who_declines_says_no_and_who_looks_away_says_nothing(tmp_path: Path, era: Any, person: Forms, ends: str):
    async with asked_by(tmp_path, era, person) as (_, client):
        asked = await question(client, choices=COLOURS)
        assert (await call(client, "approvals_decide", approval_id=asked["id"]))["approval"]["status"] == ends


@pytest.mark.parametrize(
    "content",
    [
        {"choice": "blue"},
        {"choice": "red", "text": "teal"},
        {"choice": ["red"]},
        {"text": " "},
        {"text": "x" * 10_001},
        {"approve": True},
        {"choice": "red", "approve": True},
        {},
    ],
)
async def test_an_answer_that_the_form_does_not_offer_leaves_the_question_open(tmp_path: Path, era: Any, content: Any):
    async with asked_by(tmp_path, era, Forms("accept", **content)) as (_, client):
        asked = await question(client, choices=COLOURS, free_text=True)
        error = await refused(client, "approvals_decide", approval_id=asked["id"])
        assert error["code"] == "validation" and "nothing was decided" in error["message"]
        assert await status(client, asked["id"]) == "pending"


async def test_a_state_sealed_for_one_question_takes_no_answer_to_another_and_counts_once(tmp_path: Path):
    chosen = {"inputResponses": {"decision": {"action": "accept", "content": {"choice": "red"}}}}
    async with asked_by(tmp_path, "auto", Forms()) as (_, client):
        first, second = [(await question(client, choices=COLOURS))["id"] for _ in range(2)]
        state = await sealed(client, first)
        assert (await decided(client, second, state, **chosen))["resultType"] == "input_required"
        assert await status(client, second) == "pending"
        answer = await decided(client, first, state, **chosen)
        assert answer["structuredContent"]["approval"]["answers"][0]["choice"] == "red"
        assert (await decided(client, first, state, **chosen))["isError"]


async def created(client: Any, *specs: dict[str, Any]) -> list[str]:
    return [one["id"] for one in (await call(client, "tasks_create", tasks=list(specs)))["tasks"]]


async def test_who_answers_is_told_what_became_of_the_tasks_that_waited(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Forms(choice="green")) as (_, client):
        paint, dry = await created(client, {"title": "Paint"}, {"title": "Dry", "depends_on": ["#0"]})
        asked = await question(client, choices=COLOURS, task_id=paint)
        (sell,) = await created(client, {"title": "Sell", "depends_on": [asked["id"], dry]})
        answer = await client.call_tool("approvals_decide", {"approval_id": asked["id"]})
        (words, *_), told = answer.content, (answer.structured_content or {})["approval"]
        assert {one["id"]: one["status"] for one in told["waiting"]} == {paint: "queued", sell: "pending"}
        assert f"{paint} can be claimed now." in words.text and f"{sell} still waits for 1 unfinished" in words.text  # type: ignore[union-attr]


@pytest.mark.parametrize("declines", [True, False])
async def test_who_declines_or_answers_in_part_is_told_of_the_tasks_that_wait(tmp_path: Path, era: Any, declines: bool):
    person = Forms("decline") if declines else Forms(choice="green")
    async with asked_by(tmp_path, era, person) as (_, client):
        (task,) = await created(client, {"title": "Paint", "on_parent_failure": "cancel"})
        others = {} if declines else {"approvers": ["local", "ann@example.org"], "quorum": "all"}
        asked = await call(
            client,
            "approvals_request",
            **{"title": "Which colour?", "approvers": ["local"], "choices": COLOURS, "task_id": task} | others,
        )
        answer = await client.call_tool("approvals_decide", {"approval_id": asked["approval"]["id"]})
        (words, *_), told = answer.content, (answer.structured_content or {})["approval"]
        (waits,) = told["waiting"]
        assert (waits["id"], waits["status"]) == (task, "cancelled" if declines else "pending")
        says = f"{task} is cancelled." if declines else f"{task} goes on waiting for it."
        assert says in words.text  # type: ignore[union-attr]
