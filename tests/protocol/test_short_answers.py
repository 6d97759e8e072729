"""What writes of communication answer with: ids, where things stand and what changed, and not what was sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.test_asking import Person, asked_by
from tests.protocol.test_calls import call

pytestmark = pytest.mark.anyio
LONG = "what was sent " * 40
TASK = {"id", "title", "status", "priority", "attempt"}


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


def keys(answer: dict[str, Any]) -> dict[str, Any]:
    """The keys of an answer and of the objects in it, but for who speaks."""
    assert "what was sent" not in json.dumps(answer)
    return {
        name: set(value) if isinstance(value, dict) else None for name, value in answer.items() if name != "spoken_by"
    }


async def test_writes_of_communication_answer_with_ids_and_where_things_stand(tmp_path: Path, era: Any):
    email = {"id", "status", "message_id", "provider", "task_id", "to"}
    approval = {"id", "status", "action_hash", "approvers", "expires_at", "needed", "task_id"}
    said = {"title": "t", "action": LONG, "details": {"long": LONG}, "approvers": ["local"], "idempotency_key": "k"}
    mail = {"to": ["ann@example.org"], "subject": "what was sent", "text": LONG, "html": LONG, "idempotency_key": "k"}
    async with asked_by(tmp_path, era, Person(approve=True, reason="go")) as (_, client):
        sent = await call(client, "email_send", **mail)
        assert keys(sent) == {"email": email, "task": TASK}
        again = await call(client, "email_send", **mail)
        assert again["email"] | {"status": "queued"} == sent["email"] | {"replayed": True}  # it may have gone since
        again["task"].pop("finished_at", None)
        assert keys(again) == {"email": email | {"replayed"}, "task": TASK}
        for remarks in ({}, {"warnings": None}):  # that it was asked before
            asked = await call(client, "approvals_request", **said)
            assert keys(asked) == {"approval": approval, "links_sent_to": None, "asks_user_here": None} | remarks
        decided = await call(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert keys(decided) == {"approval": approval - {"approvers", "expires_at"} | {"answers", "decided_at"}}
        message = await call(client, "messages_send", to=["user:local"], subject="what was sent", body=LONG)
        assert keys(message) == {"message": {"id", "thread_id", "sender", "to", "sent_at"}, "recipients": None}


async def test_what_a_mail_would_say_is_shown_by_a_dry_run(tmp_path: Path, era: Any):
    mail = {"to": ["ann@example.org"], "subject": "s", "text": "t", "dry_run": True}
    async with asked_by(tmp_path, era, Person()) as (_, client):
        shown = await call(client, "email_send", **mail)
        assert (shown["email"]["subject"], shown["email"]["text"]) == ("s", "t") and "task" not in shown


async def test_of_a_task_claims_lists_and_finishes_say_what_is_not_as_usual_or_beside_it(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person()) as (_, client):
        await call(client, "agents_register", name="scribe")
        tasks = [{"title": "a"}, {"title": "b", "kind": "code", "priority": "high", "depends_on": ["#0"]}]
        await call(client, "tasks_create", tasks=tasks, as_agent="scribe")
        listed = (await call(client, "tasks_find"))["tasks"]
        assert [set(one) for one in listed] == [
            {"id", "title", "status", "kind", "priority", "waits_for"},
            {"id", "title", "status"},
        ]
        claimed = await call(client, "tasks_claim", agent_id="scribe", max_tasks=2)
        (claim,) = claimed["claims"]
        assert set(claim) == {"task", "lease_token", "attempt", "lease_expires_at"}
        assert set(claim["task"]) == {"id", "title", "status"}
        raises = 'agents_register(name="scribe", max_concurrent_tasks=2) raises that'
        assert claimed["no_more_because"] == f"scribe runs 1 of 1; {raises}"
        work = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        done = await call(client, "tasks_finish", **work, outcome="completed")
        assert keys(done) == {"task": {"id", "status"}, "released": None, "repeated": None}


async def test_what_is_not_there_any_more_or_never_was_is_said(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person()) as (_, client):
        at = {"namespace": "n", "key": "k"}
        await call(client, "state_set", **at, value={"a": 1})
        await call(client, "state_set", **at, value={"a": 2})
        compared = await call(client, "state_history", **at, from_version=1, to_version=2)
        assert [change["path"] for change in compared["changes"]] == ["/a"]
        gone = await client.call_tool("state_set", at | {"delete": True})
        assert gone.content[0].text.startswith("n/k is deleted; state_restore")
        nothing = await call(client, "events_read", aggregate_id="k", newest_first=True)
        assert "namespace/key" in nothing["hint"] and "cursor" not in nothing


async def test_what_is_for_programs_stands_in_no_text_of_calls_that_land_together(tmp_path: Path, era: Any):
    async with asked_by(tmp_path, era, Person()) as (_, client):
        one = {"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": {"bytes": 1}}}
        result = await client.call_tool("commit", {"calls": [one]})
        assert result.structured_content is not None
        assert {"sha256", "bytes"} <= result.structured_content["results"][0]["document"].keys()
        (content,) = [one.text for one in result.content if one.type == "text"]
        assert '"version":1' in content and "sha256" not in content and "bytes" not in content
        await call(client, "agents_register", name="a")
        await call(client, "tasks_create", tasks=[{"title": "t"}])
        (claim,) = (await call(client, "tasks_claim", agent_id="a"))["claims"]
        work = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"], "outcome": "completed"}
        result = await client.call_tool("tasks_finish", work | {"also": [one]})
        (content,) = [one.text for one in result.content if one.type == "text"]
        assert '"version":2' in content and "sha256" not in content and "bytes" not in content
