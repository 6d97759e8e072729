"""What an answer says in its sentence does not stand in its text again as data; its data hold it all."""

from pathlib import Path
from typing import Any

import pytest

from mcp_server.kernel.quoting import without_said
from tests.protocol.test_asking import Person, asked_by

pytestmark = pytest.mark.anyio


async def answer(client: Any, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    return result.content[0].text, result.structured_content or {}


def test_remarks_that_the_sentence_makes_are_left_out_and_others_stay():
    content = {"warnings": ["one.", "two."], "hint": "look", "tasks": ["one."]}
    assert without_said("Done. But one. But two. look", content) == {"tasks": ["one."]}
    assert without_said("Done. But one.", content) == content


async def test_a_warning_stands_once_in_the_text_and_in_the_data(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        tasks = [{"title": "t", "schedule": {"cron": "0 9 1-7 * MON"}}]
        text, data = await answer(client, "tasks_create", tasks=tasks)
        assert text.count("as well, on each of either") == 1 and len(data["warnings"]) == 1
        text, data = await answer(client, "tasks_find", kind="none")
        assert text.count(data["hint"]) == 1


async def test_who_holds_a_lock_is_told_once_where_the_owner_is_who_speaks(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await answer(client, "agents_register", name="ann")
        _, data = await answer(client, "locks_acquire", name="a", as_agent="ann")
        assert data["lock"]["owner"].startswith("agent:ann") and "speaker" not in data["lock"]
        _, data = await answer(client, "locks_acquire", name="b", as_agent="ann", owner="left")
        assert (data["lock"]["owner"], data["lock"]["speaker"]) == ("left", "agent:ann via user:local")


async def test_a_finish_says_how_the_task_stands_and_repeats_no_id_that_it_was_given(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await answer(client, "agents_register", name="ann")
        await answer(client, "tasks_create", tasks=["a", {"title": "b", "depends_on": "#0", "retry": 3}])
        _, claimed = await answer(client, "tasks_claim", as_agent="ann")
        work = {"task_id": claimed["claims"][0]["task"]["id"], "lease_token": claimed["claims"][0]["lease_token"]}
        text, data = await answer(client, "tasks_finish", **work, result=1, as_agent="ann")
        assert data["task"] == {"id": work["task_id"], "status": "completed"} and work["task_id"] not in text
        assert data["released"][0] in text, "what others wait for is told"
        _, claimed = await answer(client, "tasks_claim", as_agent="ann")
        work = {"task_id": claimed["claims"][0]["task"]["id"], "lease_token": claimed["claims"][0]["lease_token"]}
        error = {"message": "m", "retry_after_seconds": 60}
        text, data = await answer(client, "tasks_finish", **work, error=error, as_agent="ann")
        assert data["task"]["run_at"] in text, "what the caller does not know is told"


async def test_an_agent_at_rest_is_called_by_its_status_wherever_it_is_told(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        await answer(client, "agents_register", name="ann")
        _, data = await answer(client, "agents_control", agent_id="ann", action="drain")
        assert data["agent"]["status"] == "maintenance"
        refused = await client.call_tool("tasks_claim", {"as_agent": "ann"})
        assert "is in maintenance (draining) and takes no new work" in refused.content[0].text


async def test_kinds_of_the_servers_own_work_are_told_and_found_by_their_public_names(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        calls = [{"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}]
        _, asked = await answer(client, "approvals_request", title="t", calls=calls)
        task_id = asked["approval"]["task_id"]
        text, task = await answer(client, "tasks_find", task_id=task_id)
        assert task["task"]["kind"] == "system.calls" and "local." not in text
        for kind in ("system.calls", "system.calls.local"):
            _, found = await answer(client, "tasks_find", kind=kind, include_system=True)
            assert [(one["id"], one["kind"]) for one in found["tasks"]] == [(task_id, "system.calls")]
        _, found = await answer(client, "tasks_find", kind="system.call", include_system=True)
        assert found["tasks"] == []
        text, _ = await answer(client, "events_read", aggregate_id=task_id)
        assert '"kind":"system.calls"' in text and "system.calls." not in text


async def test_a_new_agent_that_is_called_as_another_but_for_the_case_of_letters_is_remarked_on(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        assert "warnings" not in (await answer(client, "agents_register", name="Ada"))[1]
        text, data = await answer(client, "agents_register", name="ada")
        assert data["warnings"] == ["Ada is another agent: names tell small and large letters apart."]
        assert text.count("Ada is another agent") == 1
        assert "warnings" not in (await answer(client, "agents_register", name="ada"))[1], "it is there by now"
