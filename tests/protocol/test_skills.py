"""Skills as clients of the extension find them, what may be cached, and what is promised of lists."""

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference

from mcp_server.app import open_app
from mcp_server.config import load_settings
from mcp_server.domain.areas import AREAS
from mcp_server.protocol.prompt_catalogue import PROMPTS
from mcp_server.protocol.prompts import ICON
from resources.skills import SKILLS
from tests.protocol.tasks_client import ask
from tools import TOOLS, TOOLSETS

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]


@pytest.fixture
async def client(tmp_path: Path) -> Any:
    async with open_app(load_settings(database=f"sqlite:///{tmp_path / 'desk.db'}", user="tester")) as app:
        async with Client(app.server) as opened:
            yield opened


async def test_skills_are_listed_with_digests_that_what_is_read_has(client: Client):
    assert client.server_capabilities.extensions["io.modelcontextprotocol/skills"] == {}
    listed = await ask(client, "skills/list")
    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "private") and listed["ttlMs"] > 0
    assert [entry["frontmatter"]["name"] for entry in listed["skills"]] == ["worker-loop", "planner", "operator"]
    for entry in listed["skills"]:
        name = entry["frontmatter"]["name"]
        assert entry["uri"] == f"skill://{name}/SKILL.md"
        assert (await ask(client, "skills/get", uri=entry["uri"]))["skill"] == entry
        for file in entry["resources"]:
            (content,) = (await client.read_resource(file["uri"])).contents
            raw = content.text.encode()
            assert (len(raw), f"sha256:{hashlib.sha256(raw).hexdigest()}") == (file["size"], file["digest"])
            assert content.mime_type == "text/markdown"
            assert yaml.safe_load(content.text.split("---\n")[1]) == entry["frontmatter"]


async def test_a_skill_that_there_is_not_is_refused_with_those_that_there_are(client: Client):
    with pytest.raises(MCPError, match="worker-loop") as refused:
        await ask(client, "skills/get", uri="skill://cook/SKILL.md")
    assert refused.value.code == -32602


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_a_skill_is_short_well_formed_and_names_only_what_there_is(skill: Any):
    assert skill.frontmatter["name"] == skill.name and 20 <= len(skill.frontmatter["description"]) <= 1024
    assert len(skill.text.splitlines()) <= 60 and len(skill.text) <= 4_000
    tools = {tool.name: tool for tool in TOOLS}
    areas = {name.partition("_")[0] for name in tools}
    named = set(re.findall(r"`([a-z]+_[a-z]+)[(`]", skill.text))
    assert {name for name in named if name.partition("_")[0] in areas} <= tools.keys()
    for tool, arguments in re.findall(r"`([a-z]+_[a-z]+)\(([^`]*)\)`", skill.text):
        for name in re.findall(r"(?:^|, )([a-z_]+)(?==|,|$)", arguments):
            assert name in {*tools[tool].arguments.model_fields, "as_agent", "lease_token"}, (tool, name)


def test_skills_and_prompts_together_name_every_toolset():
    for texts in ([skill.text for skill in SKILLS], [p.render({a.name: "x" for a in p.arguments}) for p in PROMPTS]):
        told = " ".join(texts)
        assert {tool.toolset for tool in TOOLS if tool.name in told} == set(TOOLSETS)


async def test_what_never_changes_may_be_kept_and_nothing_else_and_no_list_is_promised_to_change(client: Client):
    await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1})
    lasting = [
        await client.session.list_tools(),
        await client.session.list_prompts(),
        await client.session.list_resource_templates(),
        await client.session.read_resource("ops://state/n/k?version=1"),
        await client.session.read_resource(SKILLS[0].uri),
    ]
    assert {(result.ttl_ms, result.cache_scope) for result in lasting} == {(3_600_000, "private")}
    passing = [await client.session.list_resources(), await client.session.read_resource("ops://state/n/k")]
    assert {(result.ttl_ms, result.cache_scope) for result in passing} == {(0, "private")}
    told = client.server_capabilities
    assert not any((told.tools.list_changed, told.prompts.list_changed, told.resources.list_changed))
    assert told.resources.subscribe


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_a_call_made_is_linked_for_clients_of_today_and_can_be_read(tmp_path: Path, mode: Any):
    async with (
        open_app(load_settings(database=f"sqlite:///{tmp_path / 'desk.db'}", user="tester")) as app,
        Client(app.server, mode=mode) as client,
    ):

        async def links(tool: str, **arguments: Any) -> list[str]:
            text, *more = (await client.call_tool(tool, arguments)).content
            assert text.type == "text" and {one.type for one in more} <= {"resource_link"}
            for one in more:
                assert (await client.read_resource(one.uri)).contents
            return [str(one.uri).rpartition("_")[0] or str(one.uri) for one in more]

        mail = {"to": "a@example.org", "subject": "s", "text": "t"}
        found = [
            await links("agents_register", name="worker"),
            await links("tasks_create", tasks=[{"title": "t"}] * 7),
            await links("state_set", namespace="n", key="a b/c", value=1),
            await links("email_send", **mail),
            await links("approvals_request", title="t", action="a", approvers=["local"]),
        ]
        made = [["ops://agents/agent"], ["ops://tasks/task"] * 5, ["ops://state/n/a%20b/c"], ["ops://emails/email"]]
        assert found == ([*made, ["ops://approvals/approval"]] if mode == "auto" else [[]] * 5)
        assert await links("email_send", **mail, dry_run=True) == await links("tasks_find") == []


async def completed(client: Client, prompt: str, argument: str, typed: str) -> list[str]:
    found = await client.complete(PromptReference(name=prompt), {"name": argument, "value": typed})
    return found.completion.values


async def test_the_arguments_of_prompts_are_completed_with_names_capabilities_kinds_and_event_types(client: Client):
    agent = {"name": "scribe", "capabilities": [{"name": "python", "version": "3"}, {"name": "fly"}]}
    registered = (await client.call_tool("agents_register", agent)).structured_content["agent"]
    await client.call_tool("tasks_create", {"tasks": [{"title": "t", "kind": "build"}, {"title": "t", "kind": "test"}]})
    assert await completed(client, "hand-over", "agent_id", "scr") == ["scribe"]
    assert await completed(client, "hand-over", "to_agent", "agent_") == [registered["id"]]
    assert await completed(client, "plan-project", "capability", "py") == ["python", "python@3"]
    assert await completed(client, "triage-failures", "kind", "") == ["build", "test"]
    types_ = await completed(client, "incident", "event_type", "task.f")
    assert types_ == ["task.failed"]
    assert await completed(client, "incident", "symptom", "x") == []


def test_every_prompt_has_its_picture_and_completes_what_areas_know():
    known = {argument.name for prompt in PROMPTS for argument in prompt.arguments} & AREAS.completions.keys()
    assert known == {"agent_id", "to_agent", "capability", "kind", "event_type"}


def test_the_icon_of_prompts_is_an_image_under_an_address_that_strict_clients_take():
    data = ICON.src.removeprefix("data:image/svg+xml,")
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", data)
    assert ElementTree.fromstring(unquote(data)).tag.endswith("svg")
