"""What was done before is told as that, also among what lands together."""

from pathlib import Path
from typing import Any

import pytest

from tests.protocol.test_answers_lead_on import told
from tests.protocol.test_asking import Person, asked_by

pytestmark = pytest.mark.anyio
NOTE = {"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}
AGAIN = "was done before, and was not done again: "


def keyed() -> list[dict[str, Any]]:
    """Calls that bring an idempotency key of their own."""
    calls: list[tuple[str, dict[str, Any]]] = [
        ("email_send", {"to": ["a@example.org"], "subject": "s", "text": "t"}),
        ("messages_send", {"to": ["ann"], "body": "b"}),
        ("calls_open", {"purpose": "p", "participants": ["ann"]}),
    ]
    made = [{"tool": tool, "arguments": said | {"idempotency_key": "once"}} for tool, said in calls]
    tasks = [{"title": "old", "idempotency_key": "once"}, {"title": "new"}]
    return [*made, {"tool": "tasks_create", "arguments": {"tasks": tasks}}]


@pytest.mark.parametrize("call", keyed(), ids=lambda call: call["tool"])
async def test_a_call_that_a_key_makes_a_repeat_is_told_as_one_among_those_that_land(
    tmp_path: Path, call: dict[str, Any]
):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await told(client, "agents_register", name="ann")
        text, _ = await told(client, "commit", calls=[NOTE, call])
        assert text.startswith("Both landed together.") and AGAIN not in text
        text, _ = await told(client, "commit", calls=[NOTE, call])
        assert f"{AGAIN}calls[1]." in text


async def test_where_all_was_done_before_the_sentence_says_so_first(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await told(client, "agents_register", name="ann")
        *calls, tasks = keyed()
        await told(client, "commit", calls=calls)
        text, _ = await told(client, "commit", calls=calls)
        assert text.startswith(f"Nothing new: all 3 were done before. What is `replayed` or `repeated` {AGAIN}calls[0]")
        await told(client, "tasks_create", tasks=tasks["arguments"]["tasks"])
        text, _ = await told(client, "commit", calls=[tasks])
        assert text.startswith("It landed."), "one of its tasks is new"


async def test_ends_that_were_recorded_before_are_told_one_by_one_and_in_the_sentence(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await told(client, "agents_register", name="ann", max_concurrent_tasks=3)
        await told(client, "tasks_create", tasks=["a", "b"])
        _, claimed = await told(client, "tasks_claim", max_tasks=2)
        names = ("task_id", "lease_token")
        first, second = (
            dict(zip(names, (one["task"]["id"], one["lease_token"]), strict=True)) for one in claimed["claims"]
        )
        text, _ = await told(client, "tasks_finish", tasks=[first | {"result": 1}])
        assert text == "Recorded: 1 completed."
        both = [first | {"result": 1}, second | {"result": 2}]
        text, done = await told(client, "tasks_finish", tasks=both)
        assert text == "Recorded: 2 completed (1 of them before)."
        assert [one.get("repeated") for one in done["tasks"]] == [True, None]
        text, _ = await told(client, "tasks_finish", tasks=both)
        assert text == "Already recorded: 2 completed."
        text, _ = await told(client, "commit", calls=[{"tool": "tasks_finish", "arguments": {"tasks": both}}, NOTE])
        assert f"{AGAIN}calls[0]." in text


async def test_all_calls_that_cannot_be_one_of_several_are_told_at_once(tmp_path: Path):
    dry = {"to": ["a@example.org"], "subject": "s", "text": "t", "dry_run": True}
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        calls = [{"tool": "email_send", "arguments": dry}, NOTE, {"tool": "tasks_claim", "arguments": {}}]
        text, _ = await told(client, "commit", calls=[*calls, calls[0]])
        assert all(f"calls[{number}]" in text for number in (0, 2, 3)) and "calls[1]" not in text


@pytest.mark.parametrize("speaker", ["ann", "@0.0"])
async def test_an_agent_that_the_same_commit_registers_speaks_in_it(tmp_path: Path, speaker: str):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        spoken = NOTE | {"arguments": NOTE["arguments"] | {"as_agent": speaker}}  # pyright: ignore[reportOperatorIssue]
        text, done = await told(
            client, "commit", calls=[{"tool": "agents_register", "arguments": {"name": "ann"}}, spoken]
        )
        assert "Both landed together." in text
        assert done["results"][1]["document"]["author"].startswith("agent:ann via user:")
