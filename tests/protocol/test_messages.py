"""Messages through clients: who reads which inbox, and what a client without control sees of others'."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.protocol.test_calls import connected
from tests.protocol.test_http import http_server, tokens_file
from tests.protocol.test_speaking import call

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


async def bodies(client: Client, **arguments: Any) -> list[str]:
    return [message["body"] for message in (await call(client, "messages_read", **arguments))["messages"]]


async def test_agents_of_one_connection_write_to_each_other_and_to_their_user(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        for name in ("ann", "bob"):
            await call(client, "agents_register", name=name)
        first = await call(client, "messages_send", to=["bob", "user:local"], body="hi", as_agent="ann")
        assert first["spoken_by"] == first["message"]["sender"] == "agent:ann via user:local"
        assert first["message"]["to"] == ["bob", "user:local"]
        thread_id = first["message"]["thread_id"]
        answer = await call(client, "messages_send", thread_id=thread_id, body="ho", as_agent="bob")
        assert answer["message"]["to"] == ["ann", "user:local"]
        assert await bodies(client) == ["hi", "ho"]  # nobody speaks: the user's own inbox
        assert await bodies(client, agent_id="user:local") == []
        assert await bodies(client, as_agent="ann", thread_id=thread_id) == ["hi", "ho"]
        taken = await call(client, "messages_read", agent_id="bob")
        assert (taken["spoken_by"], taken["unread"]) == ("agent:bob via user:local", 0)
        sent = await call(client, "messages_read", sent=True, as_agent="ann")
        assert [state["recipient"] for state in sent["messages"][0]["states"] if "read_at" in state] == [
            "bob",
            "user:local",
        ]
        error = (await call(client, "messages_send", to="Bo", body="b"))["error"]
        assert error["code"] == "not_found" and error["details"]["near"] == ["bob"]
        both = await call(client, "messages_read", sent=True, unacknowledged=True)
        assert both["messages"] == []


@pytest.mark.slow
async def test_a_key_without_control_sees_nothing_of_others_messages_and_mails(sqlite_url: str, tmp_path: Path):
    keys = {"ann": "user:ann:admin", "bob": "user:bob:agent", "eve": "user:eve:agent", "reader": "user:vic:viewer"}
    path = tokens_file(tmp_path, **keys)
    async with http_server(sqlite_url, "--tokens-file", str(path)) as (base, _):

        @asynccontextmanager
        async def as_(token: str) -> AsyncGenerator[Client]:
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
                async with Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client:
                    yield client

        async with as_("bob") as client:
            await call(client, "agents_register", name="scribe")
            await call(client, "messages_send", to="user:ann", body="secret", as_agent="scribe")
            email = await call(client, "email_send", to="a@example.org", subject="s", text="secret", as_agent="scribe")
            email_id = email["email"]["id"]
            assert (await call(client, "email_find", email_id=email_id))["email"]["text"] == "secret"
        async with as_("ann") as client:
            assert await bodies(client) == ["secret"]
            seen = await call(client, "events_read", actor="scribe", type="email.*")
            assert [event["actor"] for event in seen["events"]] == ["agent:scribe via user:bob"]
        for token in ("eve", "reader"):
            async with as_(token) as client:
                events = (await call(client, "events_read", limit=100))["events"]
                assert events and not {"email", "message"} & {event["aggregate_type"] for event in events}
                assert (await call(client, "email_find"))["emails"] == []
                assert (await call(client, "email_find", email_id=email_id))["error"]["code"] == "not_found"
                with pytest.raises(MCPError, match="There is no email"):
                    await client.read_resource(f"ops://emails/{email_id}")
                assert "secret" not in (await client.read_resource("ops://events")).contents[0].text
                if token == "eve":
                    denied = await call(client, "messages_read", agent_id="scribe")
                    assert denied["error"]["code"] == "permission_denied"
