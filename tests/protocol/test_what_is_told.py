"""What a model reads of results: what happened, whose it was and what to do, and nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.kernel.quoting import OTHERS_WORDS
from tests.world import on_file

pytestmark = pytest.mark.anyio


async def told(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """The text of an answer, and its data."""
    result = await client.call_tool(tool, arguments)
    return result.content[0].text, result.structured_content or {}


def opened(tmp_path: Path):
    return open_app(load_settings(database=on_file(tmp_path / "desk.db"), user="local"))


async def test_a_text_says_nothing_twice(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        text, _ = await told(client, "agents_register", name="ann", capabilities=["py"])
        assert OTHERS_WORDS not in text and '"capabilities":[{"name":"py"}]' in text
        text, made = await told(
            client, "tasks_create", tasks=[{"title": "task one"}, {"title": "b", "depends_on": ["#0"]}]
        )
        assert OTHERS_WORDS not in text and "waits_for" not in text and "replayed" not in text
        assert [task.get("replayed") for task in made["tasks"]] == [None, None]
        text, found = await told(client, "tasks_claim")
        assert OTHERS_WORDS in text and "spoken_by" not in text and found["spoken_by"] == "agent:ann via user:local"
        (work,) = found["claims"]
        lease = {"task_id": work["task"]["id"], "lease_token": work["lease_token"], "outcome": "completed"}
        text, done = await told(client, "tasks_finish", **lease)
        assert text.startswith("It is completed; 1 that waited for it can be claimed now.") and "repeated" not in text
        assert (done["repeated"], len(done["released"])) == (False, 1)
        text, _ = await told(client, "state_set", namespace="n", key="k", value=1)
        assert "sha256" not in text and "bytes" not in text
        await told(client, "agents_register", name="bob")
        text, _ = await told(client, "state_set", namespace="n", key="k", value=1)
        assert '"spoken_by":"user:local"' in text, "nobody is named where two could speak"


async def test_who_is_assumed_to_speak_is_told_once_and_again_when_it_is_another(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        await told(client, "agents_register", name="ann")

        async def said(**more: Any) -> str | None:
            text, _ = await told(client, "state_set", namespace="n", key="k", value=1, **more)
            return json.loads(text.splitlines()[-1]).get("spoken_by")

        ann = "agent:ann via user:local"
        assert [await said(), await said(), await said(as_agent="ann")] == [ann, None, None]
        for itself in ("user:local", "me", "user"):
            assert [await said(as_agent=itself), await said(), await said()] == ["user:local", ann, None]
        await told(client, "agents_register", name="bob")
        assert await said() == "user:local"


async def test_a_finish_tells_what_landed_with_it_and_a_repeat_that_says_more_is_refused_in_plain_words(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        await told(client, "agents_register", name="ann")
        await told(client, "tasks_create", tasks=[{"title": "one"}])
        work = (await told(client, "tasks_claim"))[1]["claims"][0]
        lease = {"task_id": work["task"]["id"], "lease_token": work["lease_token"], "outcome": "completed"}
        also = [{"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}]
        text, _ = await told(client, "tasks_finish", **lease, also=also)
        assert text.startswith("It is completed, and 1 call of `also` landed with it.")
        text, _ = await told(client, "tasks_finish", **lease, also=also)
        assert text.startswith("Already recorded")
        text, refused = await told(client, "tasks_finish", **lease, also=also * 2)
        assert refused["error"]["code"] == "conflict" and "nothing of `also` has landed" in text


async def test_an_empty_claim_names_some_of_what_waits(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        await told(client, "agents_register", name="ann")
        made = (await told(client, "tasks_create", tasks=[{"title": "one", "required_capabilities": ["zz"]}]))[1][
            "tasks"
        ]
        text, found = await told(client, "tasks_claim")
        assert text.startswith(f"Nothing to claim: 1 need other capabilities ({made[0]['id']}).")
        assert found["such_as"] == {"need_other_capabilities": [made[0]["id"]]}


async def test_a_lock_that_is_held_for_longer_than_a_call_waits_says_who_can_free_it(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            await told(client, "agents_register", name=name)
        for seconds, says in ((40, "Call again with wait_seconds."), (500, "locks_release(to_agent=...)")):
            await told(client, "locks_acquire", name=f"l{seconds}", ttl_seconds=seconds, as_agent="ann")
            text, _ = await told(client, "locks_acquire", name=f"l{seconds}", as_agent="bob")
            assert says in text.split("\n")[0]


async def test_the_user_here_is_asked_only_where_it_is_one_of_those_who_are_asked(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        text, asked = await told(client, "approvals_request", title="t", action="a", approvers=["ann"])
        assert asked["asks_user_here"] is False and "approvals_decide" not in text
        text, asked = await told(client, "approvals_request", title="t", action="a", approvers=["local"])
        assert asked["asks_user_here"] is True and "approvals_decide(approval_id=" in text
        text, asked = await told(client, "approvals_request", title="t", action="a", approvers=["user"])
        assert "Asked: anyone who may decide" in text and "approvers" not in asked["approval"]
        calls = [{"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}]
        asked = (await told(client, "approvals_request", title="t", calls=calls))[1]
        assert "warnings" not in asked
        assert "action_hash" in asked["approval"] and json.dumps(asked).count("action_hash") == 1


async def test_what_becomes_of_an_agent_is_told_in_plain_words(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        await told(client, "agents_register", name="ann", instance="laptop")
        found = (await told(client, "agents_find", agent_id="ann"))[1]["agent"]
        assert found["instances"][0]["counts_as_lost_after"] > found["instances"][0]["last_seen_at"]
        text, _ = await told(client, "agents_control", agent_id="ann", action="pause", reason="lunch")
        rests = "it claims nothing new, what is assigned to it waits; nothing but agents_control(agent_id="
        assert text.startswith(f'Agent ann is in maintenance ("lunch"): {rests}')
        assert ", action='resume') ends that." in text
        text, _ = await told(client, "agents_control", agent_id="ann", action="delete")
        assert "What is deleted is terminated before; to_agent then names who takes over" in text
        await told(client, "agents_control", agent_id="ann", action="terminate", reason="left")
        text, done = await told(client, "agents_control", agent_id="ann", action="delete", reason="long ago")
        assert text.startswith('Agent ann is deleted ("long ago").') and done["agent"]["status_reason"] == "long ago"


async def test_who_registers_an_agent_hears_of_the_one_that_left_under_that_name(tmp_path: Path):
    async with opened(tmp_path) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            text, _ = await told(client, "agents_register", name=name)
            assert " But " not in text, "nobody was called so"
        await told(client, "tasks_create", tasks=[{"title": "t", "agent_id": "ann"}])
        leaves = {"agent_id": "ann", "action": "terminate"}
        await told(client, "agents_control", **leaves, to_agent="bob", reason="on leave")
        text, _ = await told(client, "agents_register", name="ann", description="d")
        assert " But it was terminated at " in text
        assert ' by user:local ("on leave"); bob took over what it held.' in text
        await told(client, "agents_control", agent_id="ann", action="delete", reason="long ago")
        text, new = await told(client, "agents_register", name="ann")
        assert new["created"] and " But another agent of this name (agent_" in text
        assert ' by user:local ("long ago"); bob took over what it held.' in text
        await told(client, "agents_control", **leaves)
        await told(client, "agents_control", agent_id="ann", action="delete")
        text, _ = await told(client, "agents_register", name="ann")
        assert " But another agent of this name (agent_" in text and "took over" not in text, "from the last one nobody"
        text, _ = await told(client, "messages_send", to="nobody-here", body="x")
        assert "There is no agent nobody-here." in text
