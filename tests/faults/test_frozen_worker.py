"""A worker that is frozen while its lease runs out changes nothing anywhere once it goes on."""

import json
import signal
from typing import Any

import pytest

from tests.processes import RawClient, server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL in turn, in the slow suite."""
    return request.getfixturevalue(f"{request.param}_url")


async def send(client: RawClient, number: int, tool: str, **arguments: Any) -> None:
    await client.send(id=number, method="tools/call", params={"name": tool, "arguments": arguments})


@pytest.mark.slow
async def test_what_a_frozen_worker_still_had_to_say_is_refused_when_it_is_thawed(url: str):
    async with server(url) as frozen, server(url) as other:
        await other.call("agents_register", name="heir", max_concurrent_tasks=5)
        await frozen.call("agents_register", name="sleeper")
        retry = {"max_attempts": 3, "delay_seconds": 0}
        (task,) = (await other.call("tasks_create", tasks=[{"title": "t", "retry": retry}]))["tasks"]
        claim = (await frozen.call("tasks_claim", agent_id="sleeper", lease_seconds=1))["claims"][0]
        token, task_id = claim["lease_token"], task["id"]
        frozen.process.send_signal(signal.SIGSTOP)
        late: list[tuple[str, dict[str, Any]]] = [
            ("tasks_report", {"task_id": task_id, "progress": {"message": "late"}}),
            ("tasks_finish", {"task_id": task_id, "outcome": "completed", "result": "late"}),
            ("tasks_create", {"tasks": [{"title": "late"}]}),
            ("state_set", {"namespace": "late", "key": "k", "value": 1}),
            ("state_patch", {"namespace": "late", "key": "k", "merge_patch": {"a": 1}}),
            ("locks_acquire", {"name": "late"}),
            ("messages_send", {"to": ["heir"], "body": "late"}),
            ("email_send", {"to": ["a@example.org"], "subject": "late", "text": "late"}),
            ("approvals_request", {"title": "late", "action": "late", "approvers": []}),
            ("agents_register", {"name": "late"}),
        ]
        for number, (tool, arguments) in enumerate(late, start=1000):
            await send(frozen, number, tool, **arguments, lease_token=token)
        again = (await other.call("tasks_claim", agent_id="heir", wait_seconds=50))["claims"][0]
        assert (again["task"]["id"], again["attempt"]) == (task_id, 2), "the fence for outside systems went up"
        cursor = (await other.call("events_read", limit=100))["cursor"]
        frozen.process.send_signal(signal.SIGCONT)
        answered: dict[int, Any] = {}
        while len(answered) < len(late):
            answer = await frozen.receive()
            answered |= {answer["id"]: answer["result"]["structuredContent"]} if answer.get("id", 0) >= 1000 else {}
        codes = {late[number - 1000][0]: said.get("error", {}).get("code") for number, said in answered.items()}
        assert codes == dict.fromkeys(codes, "lease_lost"), json.dumps(answered, indent=1)
        events = (await other.call("events_read", after=cursor, limit=100))["events"]
        assert [event["type"] for event in events if not event["type"].startswith("instance.")] == []
        done = await other.call("tasks_finish", task_id=task_id, lease_token=again["lease_token"], outcome="completed")
        assert done["task"]["status"] == "completed"
