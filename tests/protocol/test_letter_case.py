"""An agent is found by its name in other letters, where it is the only one called so."""

from typing import Any

import pytest
from mcp.client import Client

from tests.protocol.test_hostile_arguments import opened

pytestmark = pytest.mark.anyio


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return (await client.call_tool(tool, arguments)).structured_content or {}


async def done(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    told = await answer(client, tool, **arguments)
    assert "error" not in told, told
    return told


async def test_an_agent_is_found_in_other_letters_wherever_one_is_named(url: str):
    async with opened(url) as (client, _):
        agent = (await done(client, "agents_register", name="Pia"))["agent"]["id"]
        assert (await done(client, "agents_find", agent_id="pia"))["agent"]["id"] == agent
        assert (await done(client, "messages_send", to=["PIA"], body="hello"))["recipients"] == [agent]
        made = await done(client, "tasks_create", tasks=[{"title": "t", "agent_id": "pia"}], as_agent="pia")
        assert made["spoken_by"].startswith("agent:Pia")
        call = {"tool": "messages_send", "arguments": {"to": "pia", "body": "b", "as_agent": "piA"}}
        (sent,) = (await done(client, "commit", calls=[call]))["results"]
        assert sent["recipients"] == [agent]
        assert (await done(client, "tasks_claim", agent_id="pia"))["spoken_by"].startswith("agent:Pia")


async def test_of_two_that_differ_in_case_alone_neither_is_guessed_and_a_name_means_its_own_agent(url: str):
    async with opened(url) as (client, _):
        first, second = [(await done(client, "agents_register", name=name))["agent"]["id"] for name in ("Pia", "pIa")]
        assert first != second
        assert (await answer(client, "agents_find", agent_id="pia"))["error"]["code"] == "not_found"
        assert (await done(client, "agents_find", agent_id="pIa"))["agent"]["id"] == second


async def test_what_names_nobody_is_refused_once_and_nothing_lands(url: str):
    async with opened(url) as (client, _):
        await done(client, "agents_register", name="Pia")
        refused = await answer(client, "messages_send", to=["pia", "nobody"], body="b")
        assert refused["error"]["code"] == "not_found" and "nobody" in refused["error"]["message"]
        assert (await done(client, "messages_read", agent_id="Pia"))["messages"] == []


async def test_an_id_goes_without_its_kind_where_one_kind_can_stand(url: str):
    async with opened(url) as (client, _):
        mail = (await done(client, "email_send", to="ann@example.org", subject="s", text="t"))["email"]
        for tool, name, id_ in (
            ("email_find", "email_id", mail["id"]),
            ("tasks_find", "task_id", mail["task_id"]),
            ("tasks_control", "task_ids", mail["task_id"]),
        ):
            more = {"action": "cancel"} if tool == "tasks_control" else {}
            await done(client, tool, **{name: id_.partition("_")[2]}, **more)
        assert "There is no email email_" in str(await answer(client, "email_find", email_id="23456789bcdf"))
        assert "There is no agent 23456789bcdf" in str(await answer(client, "agents_find", agent_id="23456789bcdf"))
