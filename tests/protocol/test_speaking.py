"""Who speaks: found in one order, over every transport; and what every kind of trail says of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_server.protocol.seam import AGENT_META
from tests.protocol.test_calls import connected
from tests.protocol.test_http import http_server, sse_client, tokens_file

pytestmark = pytest.mark.anyio


async def call(client: Client, tool: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments, meta=meta)
    assert result.structured_content is not None
    return result.structured_content


async def author(client: Client, meta: dict[str, Any] | None = None, **more: Any) -> str:
    written = await call(client, "state_set", meta, namespace="n", key="k", value=1, **more)
    assert written["document"]["author"] == written["spoken_by"], written
    return written["spoken_by"]


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_nobody_speaks_but_the_user_before_an_agent_is_there(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        assert await author(client) == "user:local"


async def test_the_only_agent_that_a_stdio_server_registered_speaks_and_two_leave_it_open(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        await call(client, "agents_register", name="scribe")
        assert await author(client) == "agent:scribe via user:local"
        await call(client, "agents_register", name="painter")
        assert await author(client) == "user:local"
        assert await author(client, as_agent="painter") == "agent:painter via user:local"


async def test_who_registers_another_agent_is_the_user_unless_the_call_says_otherwise(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        for name in ("scribe", "painter"):
            assert (await call(client, "agents_register", name=name))["spoken_by"] == "user:local"
        again = await call(client, "agents_register", name="scribe", description="again")
        assert again["spoken_by"] == "agent:scribe via user:local"
        other = await call(client, "agents_register", name="third", as_agent="scribe")
        assert other["spoken_by"] == "agent:scribe via user:local"


async def test_who_names_as_speaker_the_agent_that_it_is_about_to_register_is_the_user(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        first = await call(client, "agents_register", name="scribe", as_agent="scribe")
        assert (first["created"], first["spoken_by"]) == (True, "user:local")
        again = await call(client, "agents_register", name="scribe", as_agent="scribe")
        assert (again["created"], again["spoken_by"]) == (False, "agent:scribe via user:local")
        refused = await call(client, "agents_register", name="painter", as_agent="printer")
        assert refused["error"]["code"] == "not_found"


async def test_an_agent_that_the_client_is_set_up_to_be_registers_others_itself(tmp_path: Path, era: Any):
    async with connected(tmp_path, era, agent="configured") as client:
        await call(client, "agents_register", name="configured")
        other = await call(client, "agents_register", name="other")
        assert other["spoken_by"] == "agent:configured via user:local"


async def test_a_call_may_name_its_agent_by_name_or_id_and_that_goes_before_all_but_a_key(tmp_path: Path, era: Any):
    async with connected(tmp_path, era, agent="configured") as client:
        agents = [(await call(client, "agents_register", name=name))["agent"] for name in ("configured", "b", "worker")]
        await call(client, "tasks_create", tasks=[{"title": "t"}])
        claim = (await call(client, "tasks_claim", agent_id="worker"))["claims"][0]
        assert await author(client) == "agent:configured via user:local"
        assert await author(client, {AGENT_META: "b"}) == "agent:b via user:local"
        under = {"lease_token": claim["lease_token"]}
        assert await author(client, {AGENT_META: "b"}, **under) == "agent:worker via user:local"
        for named in ("b", agents[1]["id"]):
            written = await author(client, as_agent=named, **under)
            assert written == "agent:b via user:local"


async def test_the_user_speaks_itself_where_a_call_names_it_unless_an_agent_is_called_so(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        await call(client, "agents_register", name="me")
        assert await author(client, as_agent="me") == "agent:me via user:local"
        assert await author(client, as_agent="user") == await author(client, as_agent="user:local") == "user:local"
        refused = await call(client, "state_set", namespace="n", key="k", value=1, as_agent="user:another")
        assert refused["error"]["code"] == "not_found"


async def agents(client: Client) -> list[str]:
    return [agent["name"] for agent in (await call(client, "agents_find"))["agents"]]


async def test_the_agent_that_the_operator_named_is_registered_by_its_first_write(tmp_path: Path, era: Any):
    async with connected(tmp_path, era, agent="claude-code") as client:
        assert await agents(client) == [], "a read registers nobody"
        created = await call(client, "tasks_create", tasks=[{"title": "t"}])
        assert created["spoken_by"] == "agent:claude-code via user:local" and await agents(client) == ["claude-code"]
        (claim,) = (await call(client, "tasks_claim"))["claims"]
        done = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"], "outcome": "completed"}
        assert (await call(client, "tasks_finish", **done))["spoken_by"] == "agent:claude-code via user:local"
        again = await call(client, "agents_register", name="claude-code", capabilities=[{"name": "py"}])
        assert not again["created"] and await agents(client) == ["claude-code"]


async def test_only_what_the_operator_named_is_registered_so_and_not_by_who_introduces_itself(tmp_path: Path):
    async with connected(tmp_path, "auto", agent="named") as client:
        await call(client, "agents_register", name="own")
        assert await author(client, {AGENT_META: "of-the-client"}) == "user:local"
        assert await agents(client) == ["own"]


@pytest.mark.parametrize(
    ("flags", "next_"),
    [
        ({"agent": "named", "approve": [{"tool": "agents_register"}]}, 'agents_register(name="named") makes yours'),
        ({"agent": "agent_222222222222"}, "agents_register makes one"),
        ({}, "agents_register makes one"),
    ],
    ids=["people are to approve it", "an id is no name", "nobody is named"],
)
async def test_where_the_agent_cannot_be_registered_nothing_but_a_claim_is_refused(
    tmp_path: Path, flags: dict[str, Any], next_: str
):
    async with connected(tmp_path, "auto", **flags) as client:
        assert await author(client) == "user:local" and await agents(client) == []
        assert next_ in (await call(client, "tasks_claim"))["error"]["message"]


async def test_an_agent_that_does_not_exist_cannot_speak(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        for wrong, code in (("nobody", "not_found"), (7.5, "validation"), ("x" * 65, "validation")):
            said = await call(client, "state_set", namespace="n", key="k", value=1, as_agent=wrong)
            assert said["error"]["code"] == code, said
        assert (await call(client, "state_get", namespace="n", key="k"))["error"]["code"] == "not_found"
        assert await author(client, as_agent=None, lease_token=None) == "user:local"


async def test_every_trail_names_the_agent_with_its_principal(tmp_path: Path, era: Any):
    scribe = "agent:scribe via user:local"
    async with connected(tmp_path, era) as client:
        await call(client, "agents_register", name="scribe")
        await call(client, "agents_register", name="reader", capabilities=[{"name": "py"}])
        me = {"as_agent": "scribe"}
        task = (await call(client, "tasks_create", tasks=[{"title": "t"}], **me))["tasks"][0]
        message = await call(client, "messages_send", to=["reader"], body="b", **me)
        lock = await call(client, "locks_acquire", name="l", **me)
        mail = await call(client, "email_send", to=["a@example.org"], subject="s", text="t", **me)
        asked = await call(client, "approvals_request", title="t", action="a", approvers=[], **me)
        task = (await call(client, "tasks_find", task_id=task["id"]))["task"]
        assert task["created_by"] == message["message"]["sender"] == lock["lock"]["owner"] == scribe
        question = await call(client, "approvals_find", approval_id=asked["approval"]["id"])
        assert question["approval"]["requested_by"] == scribe
        shown = await call(client, "email_find", email_id=mail["email"]["id"])
        assert shown["email"]["created_by"] == scribe
        events = (await call(client, "events_read", limit=100))["events"]
        by = {event["type"]: event["actor"] for event in events}
        for type_ in ("task.created", "message.sent", "lock.acquired", "email.queued", "approval.requested"):
            assert by[type_] == scribe, by


@asynccontextmanager
async def as_holder(base: str, token: str, era: Any = "auto") -> AsyncGenerator[Client]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        async with Client(streamable_http_client(f"{base}/mcp", http_client=http), mode=era) as client:
            yield client


@pytest.mark.slow
async def test_over_http_keys_are_a_wall_between_principals(sqlite_url: str, tmp_path: Path, era: Any):
    path = tokens_file(
        tmp_path, ann="user:ann:agent", bob="user:bob:agent", boss="user:boss:operator", bot="agent:bot:agent"
    )
    async with http_server(sqlite_url, "--tokens-file", str(path), "--agent", "ignored") as (base, _):
        async with as_holder(base, "ann", era) as ann:
            await call(ann, "agents_register", name="scribe", capabilities=[{"name": "py"}])
            assert await author(ann) == "user:ann"  # many clients share the server: nobody's agent is the default
            assert await author(ann, as_agent="scribe") == "agent:scribe via user:ann"
            await call(ann, "tasks_create", tasks=[{"title": "t"}, {"title": "u"}])
            claim = (await call(ann, "tasks_claim", agent_id="scribe"))["claims"][0]
        async with as_holder(base, "bot", era) as bot:
            registered = await call(bot, "agents_register", name="bot")
            assert registered["created"], "a key may register its own agent"
            assert await author(bot) == "agent:bot"
            for other in ({"as_agent": "scribe"}, {"as_agent": "unheard-of"}, {"lease_token": claim["lease_token"]}):
                said = await call(bot, "state_set", namespace="n", key="k", value=2, **other)
                assert said["error"]["code"] == "permission_denied", said
            for tool, arguments in (
                ("tasks_claim", {"agent_id": "scribe"}),
                ("tasks_claim", {"agent_id": "scribe", "resume": True}),
                ("tasks_report", {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}),
                ("agents_register", {"name": "scribe", "max_concurrent_tasks": 9}),
                ("agents_register", {"name": "another"}),
            ):
                said = await call(bot, tool, **arguments)
                assert said["error"]["code"] == "permission_denied", (tool, said)
        async with as_holder(base, "bob", era) as bob:
            said = await call(bob, "state_set", namespace="n", key="k", value=2, as_agent="scribe")
            assert said["error"]["code"] == "permission_denied", said
        async with as_holder(base, "boss", era) as boss:
            assert await author(boss, as_agent="scribe") == "agent:scribe via user:boss"


@pytest.mark.slow
async def test_over_sse_and_plain_http_a_call_names_its_agent(sqlite_url: str):
    for transport in ("http", "sse"):
        async with http_server(sqlite_url, transport=transport) as (base, _):
            address: Any = f"{base}/mcp" if transport == "http" else sse_client(f"{base}/sse")
            async with Client(address, mode="legacy") as client:
                await call(client, "agents_register", name="scribe")
                assert await author(client) == "user:local"
                assert await author(client, as_agent="scribe") == "agent:scribe via user:local"
