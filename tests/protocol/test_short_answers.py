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
    email = {"id", "status", "message_id", "provider", "task_id"}
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
        for _ in range(2):
            asked = await call(client, "approvals_request", **said)
            assert keys(asked) == {"approval": approval, "links_sent_to": None}
        decided = await call(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert keys(decided) == {"approval": approval - {"approvers", "expires_at"} | {"answers", "decided_at"}}
        message = await call(client, "messages_send", to=["user:local"], subject="what was sent", body=LONG)
        assert keys(message) == {"message": {"id", "thread_id", "sender", "to", "sent_at"}, "recipients": None}


async def test_what_a_mail_would_say_is_shown_by_a_dry_run(tmp_path: Path, era: Any):
    mail = {"to": ["ann@example.org"], "subject": "s", "text": "t", "dry_run": True}
    async with asked_by(tmp_path, era, Person()) as (_, client):
        shown = await call(client, "email_send", **mail)
        assert (shown["email"]["subject"], shown["email"]["text"]) == ("s", "t") and "task" not in shown
