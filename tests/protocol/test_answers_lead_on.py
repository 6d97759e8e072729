"""Answers say what comes next: who waits yet, how more is had, and what a person will see."""

from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.agents.workers import Worker
from mcp_server.kernel.authority import Actor, Permission
from tests.protocol.test_asking import Person, asked_by

pytestmark = pytest.mark.anyio
ANN = Worker("agent_x", "ann", "active", frozenset(), 1, 1, is_silent=False, is_capacity_fixed=True)
AGENT = Actor(kind="agent", id="agent_x", permissions=frozenset((Permission.AGENTS_REGISTER,)))
OPERATOR = Actor(kind="user", id="op", permissions=frozenset((Permission.AGENTS_REGISTER, Permission.AGENTS_CONTROL)))


async def told(client: Any, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """The sentence of an answer, and its data."""
    result = await client.call_tool(tool, arguments)
    return result.content[0].text.partition("\n")[0], result.structured_content or {}


@pytest.mark.parametrize(
    ("worker", "actor", "said"),
    [
        (ANN, AGENT, "an operator set that"),
        (ANN, OPERATOR, 'agents_register(name="ann", max_concurrent_tasks=3) raises that'),
        (
            ANN._replace(is_capacity_fixed=False),
            AGENT,
            'agents_register(name="ann", max_concurrent_tasks=3) raises that',
        ),
        (ANN._replace(is_capacity_fixed=False), Actor(kind="user", id="v", permissions=frozenset()), None),
        (ANN._replace(capacity=2), AGENT, None),
        (ANN._replace(lifecycle="paused"), AGENT, None),
    ],
)
def test_who_may_have_an_agent_run_more_at_once_hears_how_and_others_who_set_it(
    worker: Worker, actor: Actor, said: str | None
):
    assert worker.more_at_once(actor, 3) == said


async def test_a_claim_that_got_less_for_want_of_room_is_followed_by_the_call_it_names(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await told(client, "agents_register", name="ann")
        await told(client, "tasks_create", tasks=["a", "b", "c"])
        text, _ = await told(client, "tasks_claim", max_tasks=2)
        assert text.endswith(
            'No more: ann runs 1 of 1; agents_register(name="ann", max_concurrent_tasks=2) raises that.'
        )
        await told(client, "agents_register", name="ann", max_concurrent_tasks=2)
        text, _ = await told(client, "tasks_claim", max_tasks=2)
        assert "max_concurrent_tasks=3) raises that." in text


async def test_the_end_of_the_first_of_two_parents_names_what_still_waits_and_for_what(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await told(client, "agents_register", name="ann", max_concurrent_tasks=2)
        tasks = [{"title": "a"}, {"title": "b"}, {"title": "c", "depends_on": ["#0", "#1"]}]
        _, made = await told(client, "tasks_create", tasks=tasks)
        _, second, child = (one["id"] for one in made["tasks"])
        _, claimed = await told(client, "tasks_claim", max_tasks=2)
        works = [{"task_id": one["task"]["id"], "lease_token": one["lease_token"]} for one in claimed["claims"]]
        text, done = await told(client, "tasks_finish", **works[0], outcome="completed")
        assert text == f"It is completed; {child} still waits for {second}."
        assert (done["released"], done["still_waiting"]) == ([], {child: [second]})
        at = "2099-01-01T00:00:00.000Z"
        late = [{"title": "d", "depends_on": [second], "run_at": at, "requires_approval": True}]
        (later,) = (await told(client, "tasks_create", tasks=late))[1]["tasks"]
        text, done = await told(client, "tasks_finish", **works[1], outcome="completed")
        assert text == (
            "It is completed; 1 that waited for it can be claimed now; "
            f"{later['id']} still waits for a person's approval, its time, {at}."
        )
        assert done["still_waiting"] == {later["id"]: ["a person's approval", f"its time, {at}"]}


async def test_who_asks_about_calls_reads_what_each_says_to_people(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        at = {"namespace": "n", "key": "k"}
        await told(client, "state_set", **at, value=1)
        calls = [{"tool": "state_set", "arguments": at | {"delete": True}}]
        _, asked = await told(client, "approvals_request", title="t", calls=calls)
        assert asked["approval"]["says"] == ["Delete document n/k, only if it is at version 1."]
        _, found = await told(client, "approvals_find")
        assert found["approvals"][0]["says"] == asked["approval"]["says"]


async def test_a_question_with_choices_is_answered_and_not_approved(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person(choice="blue")) as (_, client):
        _, asked = await told(client, "approvals_request", title="Which?", choices=["red", "blue"])
        assert "says" not in asked["approval"]
        text, decided = await told(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert text == f'{asked["approval"]["id"]} is answered: "blue".'
        assert (decided["approval"]["status"], decided["approval"]["answer"]) == ("answered", "blue")
        text, _ = await told(client, "approvals_find", approval_id=asked["approval"]["id"])
        assert text == f'{asked["approval"]["id"]} is answered: "blue".'
