"""Keys that reach one prefix of namespaces, or speak as one agent: every way in, with a canary outside."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference

from mcp_server.app import App, open_app
from mcp_server.config import load_settings
from mcp_server.domain.speaking import Voices
from mcp_server.kernel.authority import Actor, Role, Scope
from mcp_server.kernel.ids import new_id
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.seam import Seam
from mcp_server.protocol.server import make_server
from tests.world import on_file
from tools import TOOLS

pytestmark = pytest.mark.anyio

CANARY, KEY = "canary-7Q2", "hidden-key-7Q2"
OUTSIDE = ("teams", "teamX", "other", "email-templates", "tea")
INSIDE = ("team", "team.a", "team-a", "team_a")


@dataclass
class Narrow:
    """A client with a narrow key, and all that it was told."""

    client: Client
    app: App
    told: list[str]

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        self.told.append(result.model_dump_json())
        return result.structured_content or {}

    async def refused(self, tool: str, **arguments: Any) -> None:
        error = (await self.call(tool, **arguments)).get("error")
        assert error is not None and error["code"] == "permission_denied", (tool, arguments, error)
        assert "does not reach" in error["message"] or "reaches" in error["message"], error


@asynccontextmanager
async def narrow(tmp_path: Path, **scope: Any) -> AsyncGenerator[Narrow]:
    """A desk with a canary in each namespace outside, a document in each inside, and a key that is narrow."""
    async with open_app(load_settings(database=on_file(tmp_path / "desk.db"), user="owner")) as app:
        async with Client(app.server) as owner:
            for namespace in OUTSIDE:
                written = {"namespace": namespace, "key": KEY, "value": {"text": CANARY}, "note": CANARY}
                assert not (await owner.call_tool("state_set", written)).is_error
            for namespace in INSIDE:
                written = {"namespace": namespace, "key": "open", "value": {"text": "seen"}}
                assert not (await owner.call_tool("state_set", written)).is_error
            for name in ("scribe", "other"):
                assert not (await owner.call_tool("agents_register", {"name": name})).is_error
        permissions = Role.ADMIN.permissions
        actor = Actor(kind="user", id="ann", permissions=permissions, scope=Scope(**scope))
        seam = Seam(lambda ctx: actor, app.desk.get(Voices), new_id, app.metrics, None)
        async with Client(make_server(app.desk, seam, Offer())) as client:
            yield Narrow(client, app, [])


async def test_a_prefix_of_namespaces_holds_in_every_tool(tmp_path: Path):
    async with narrow(tmp_path, namespace="team") as key:
        for namespace in OUTSIDE:
            there = {"namespace": namespace, "key": KEY}
            write = {"tool": "state_set", "arguments": there | {"value": 1}}
            await key.refused("state_get", **there)
            await key.refused("state_get", **there, version=1)
            await key.refused("state_history", **there, diff=True)
            await key.refused("state_find", namespace=namespace)
            await key.refused("state_set", **there, value=1)
            await key.refused("state_set", **there, delete=True)
            await key.refused("state_set", **there, value=1, merge=True, base_version=1)
            await key.refused("state_patch", **there, merge_patch={"text": "x"})
            await key.refused("state_restore", **there, version=1)
            copying = {"namespace": "team", "key": "copy", "copy_of": f"{namespace}/{KEY}"}
            await key.refused("state_set", **copying)
            for writes in ([write], [{"tool": "state_set", "arguments": copying}]):
                await key.refused("commit", calls=writes)
                await key.refused("approvals_request", title="t", calls=writes)
            attached = [{"name": "a.txt", **there}]
            await key.refused("email_send", to="bob@example.org", subject="s", text="t", attachments=attached)
            mail = {"to": "bob@example.org", "subject": "s", "text": "t", "attachments": attached}
            await key.refused("commit", calls=[{"tool": "email_send", "arguments": mail}])
            for service in (
                {"name": "web", "modules": f"{namespace}/{KEY}", "compatibility_date": "2026-01-01"},
                {"name": "web", "modules": "team/open", "bindings": {"KV": {"kv": namespace}}},
                {"name": "web", "folder": "somewhere"},
            ):
                define = {"name": "w", "environment": "dev", "target": "workerd", "services": [service]}
                await key.refused("deployments_define", **define)
        await key.refused("email_send", to="bob@example.org", template=KEY)
        for tool in TOOLS:
            if tool.hints.read_only:
                await key.call(tool.name)
        assert [one["namespace"] for one in (await key.call("state_find"))["namespaces"]] == sorted(INSIDE)
        found = await key.call("state_find", text="e", deleted=False, limit=100)
        assert {one["namespace"] for one in found["documents"]} == set(INSIDE)
        for namespace in INSIDE:
            assert "error" not in await key.call("state_set", namespace=namespace, key="open", value=2)
        events = await key.call("events_read", limit=100, type="document.*")
        assert {one["aggregate_id"].partition("/")[0] for one in events["events"]} == set(INSIDE)
        told = "".join(key.told)
        assert CANARY not in told
        answered = json.dumps([one for one in key.told if '"isError":false' in one])
        assert KEY not in answered


async def test_a_prefix_of_namespaces_holds_in_resources_subscriptions_and_completions(tmp_path: Path):
    async with narrow(tmp_path, namespace="team") as key:
        client = key.client
        for namespace in OUTSIDE:
            for uri in (f"ops://state/{namespace}/{KEY}", f"ops://state/{namespace}/{KEY}?version=1"):
                with pytest.raises(MCPError, match="does not reach"):
                    await client.read_resource(uri)
        (content,) = (await client.read_resource("ops://state/team.a/open")).contents
        assert "seen" in content.text
        uris = {f"ops://state/{namespace}/{KEY}" for namespace in OUTSIDE} | {"ops://state/team/open"}
        async with client.listen(resource_subscriptions=list(uris)) as stream:
            assert set(stream.honored.resource_subscriptions or ()) == {"ops://state/team/open"}
        listed, cursor = [], None
        while True:
            page = await client.list_resources(cursor=cursor)
            listed += [str(one.uri) for one in page.resources]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert {uri for uri in listed if "state/" in uri} == {f"ops://state/{one}/open" for one in INSIDE}
        ref = ResourceTemplateReference(uri="ops://state/{namespace}/{+key}{?version}", type="ref/resource")
        for typed in ("", "t", "team", "teams", "o"):
            found = await client.complete(ref, {"name": "namespace", "value": typed})
            assert set(found.completion.values) == ({*INSIDE} if "team".startswith(typed) else set()), typed
        for namespace, values in (("team", ["open"]), ("teams", []), ("other", [])):
            asked = {"name": "key", "value": ""}
            found = await client.complete(ref, asked, context_arguments={"namespace": namespace})
            assert found.completion.values == values
        (content,) = (await client.read_resource("ops://events")).contents
        assert CANARY not in content.text and KEY not in content.text


async def test_a_prefix_that_ends_a_word_takes_whatever_begins_so(tmp_path: Path):
    async with narrow(tmp_path, namespace="team.") as key:
        assert [one["namespace"] for one in (await key.call("state_find"))["namespaces"]] == ["team.a"]
        await key.refused("state_get", namespace="team", key="open")


async def test_a_key_of_one_agent_speaks_as_that_alone(tmp_path: Path):
    async with narrow(tmp_path, agent="scribe") as key:
        written = {"namespace": "n", "key": "k", "value": 1}
        assert (await key.call("state_set", **written))["spoken_by"] == "agent:scribe via user:ann"
        assert (await key.call("state_set", **written, as_agent="scribe"))["spoken_by"] == "agent:scribe via user:ann"
        for tool, arguments in (
            ("state_set", written | {"as_agent": "other"}),
            ("tasks_claim", {"agent_id": "other"}),
            ("commit", {"calls": [{"tool": "state_set", "arguments": written | {"as_agent": "other"}}]}),
        ):
            error = (await key.call(tool, **arguments))["error"]
            assert error["code"] == "permission_denied" and "other" in error["message"], (tool, error)
