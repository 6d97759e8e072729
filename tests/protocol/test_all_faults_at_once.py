"""What is wrong with a call is told at once, whoever finds it: the schema, the arguments together, the service, or the
store that looks for what is named."""

from pathlib import Path
from typing import Any

import pytest

from mcp_server.domain.agents.commands import LauncherUse
from mcp_server.domain.agents.launchers import ArgumentRule, Launcher, Launchers
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel.errors import NotFound, ValidationFailed
from tests.protocol.test_asking import Person, asked_by
from tests.world import World

pytestmark = pytest.mark.anyio
DEPLOYMENT: dict[str, Any] = {"name": "shop", "target": "compose", "environment": "dev"}
MAIL = {"to": ["ann@example.org"], "subject": "s", "text": "t"}
NO_TASK = "task_bbbbbbbbbbbb"

FAULTS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    # The service alone.
    (
        "deployments_define",
        DEPLOYMENT
        | {
            "services": [{"name": "web", "folder": "x", "health": "/ok"}],
            "databases": [{"name": "db", "engine": "postgres"}],
            "ingress": [{"host": "a.example.org", "service": "web"}],
        },
        (
            "does nothing with folder",
            "web has no image",
            "The database db has no password",
            "web is to be asked whether it works",
            "leads to no port of web",
        ),
    ),
    # The schema, and the name of a target that the service alone knows.
    (
        "deployments_define",
        DEPLOYMENT | {"name": "my shop", "target": "process", "services": [{}]},
        ("name", "process"),
    ),
    (
        "deployments_define",
        DEPLOYMENT | {"target": "kubernets", "services": [{"name": "Web"}]},
        ("services[0].name", "'kubernetes'"),
    ),
    ("agents_register", {"name": "a b", "launcher": "codex"}, ('"a b"', "There is no launcher codex")),
    # The schema, and what the service would refuse of the call as it would be.
    (
        "deployments_define",
        DEPLOYMENT | {"services": [{"name": "web", "health": "/ok", "colour": "red"}]},
        ("services[0].colour", "web has no image", "web is to be asked whether it works, and has no port"),
    ),
    (
        "deployments_define",
        DEPLOYMENT | {"services": [{"name": "web", "image": "nginx", "folder": "x", "replicas": 500}]},
        ("services[0].replicas", "does nothing with folder"),
    ),
    (
        "tasks_create",
        {"tasks": [{"title": "x", "kind": "system.x"}, {"title": "y", "depends_on": ["#7"], "priority": "hihg"}]},
        ("tasks[1].priority", "depends on #7", "tasks[0].kind"),
    ),
    # How the arguments go together.
    (
        "deployments_define",
        DEPLOYMENT
        | {
            "services": [{"name": "web", "image": "nginx", "secrets": ["KEY"], "depends_on": ["cache"]}],
            "monitoring": [{"service": "nobody"}],
        },
        ('names "cache"', 'names "nobody"', "names the secret KEY"),
    ),
    (
        "approvals_request",
        {
            "title": "t",
            "choices": ["one"],
            "free_text": True,
            "quorum": 2,
            "calls": [{"tool": "tasks_create", "arguments": {"tasks": [{"title": "x"}]}}],
        },
        ("`calls` run by themselves at a yes", "`choices` takes at least two answers"),
    ),
    (
        "approvals_request",
        {"title": "t", "action": "a", "approvers": ["x@example.com"], "quorum": 3},
        ("A quorum of 3", "may not send to x@example.com"),
    ),
    (
        "tasks_control",
        {"task_ids": [NO_TASK], "action": "set_priority", "agent_id": "scribe", "changes": {"title": "x"}},
        ("`agent_id` is taken by", "`changes` is taken by", "set_priority needs `priority`"),
    ),
    (
        "tasks_control",
        {"task_ids": [NO_TASK], "action": "edit", "changes": {"depends_on": [], "parent_id": NO_TASK, "title": "x"}},
        ("`depends_on` cannot be changed", "`parent_id` cannot be changed"),
    ),
    (
        "tasks_create",
        {"tasks": [{"title": "x", "kind": "system.x"}, {"title": "y", "depends_on": ["#7", "#9"]}]},
        ("depends on #7 and #9", "tasks[0].kind"),
    ),
    # Mails, of which the service looks at attachments and at whom they may go to.
    (
        "email_send",
        MAIL | {"attachments": [{"name": "a", "content_base64": "%"}, {"name": "b", "namespace": "n", "key": "none"}]},
        ('"a" is not base64', "There is no document n/none"),
    ),
    (
        "email_send",
        MAIL | {"to": ["eve@example.com"], "attachments": [{"name": "a", "content_base64": "%"}]},
        ("may not send to eve@example.com", '"a" is not base64'),
    ),
    # People who cannot come, for more than one reason.
    (
        "calls_open",
        {"purpose": "p", "participants": ["user:", "user:local"]},
        ("names nobody", "shows no pages", "approvals_request"),
    ),
    # What is looked up.
    ("messages_send", {"to": ["scrieb", "capability:pyy", "user:"], "body": "b"}, ("scrieb", "pyy", "names no person")),
    (
        "tasks_create",
        {"tasks": [{"title": "x", "agent_id": "scrieb"}, {"title": "y", "parent_id": NO_TASK, "agent_id": "nobody"}]},
        ("scrieb", NO_TASK, "nobody"),
    ),
    # Several calls, each with its own.
    (
        "commit",
        {
            "calls": [
                {"tool": "agents_register", "arguments": {"name": "x y"}},
                {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t", "priority": "asap"}]}},
                {"tool": "state_set", "arguments": {"namespace": "n", "key": "k"}},
            ]
        },
        ("calls[0] agents_register", "calls[1] tasks_create", "calls[2] state_set"),
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "words"), FAULTS)
async def test_a_call_with_several_faults_is_told_all_of_them(
    tool: str, arguments: dict[str, Any], words: tuple[str, ...], tmp_path: Path
):
    async with asked_by(tmp_path, "auto", Person(), email_allow=("*@example.org",)) as (_, client):
        await client.call_tool("agents_register", {"name": "scribe"})
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        message = (result.structured_content or {})["error"]["message"]
        assert [word for word in words if word not in message] == [], message


async def test_a_commit_does_not_call_agents_unknown_that_it_registers_itself(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        calls = [
            {"tool": "agents_register", "arguments": {"name": "nora"}},
            {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t", "agent_id": "nora", "priority": "asap"}]}},
        ]
        result = await client.call_tool("commit", {"calls": calls})
        message = (result.structured_content or {})["error"]["message"]
        assert "priority" in message and "nora." not in message and "There is no agent" not in message


async def test_faults_that_another_call_of_a_commit_brings_about_are_not_told(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        calls = [
            {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t", "priority": "crtical"}]}},
            {"tool": "tasks_create", "arguments": {"tasks": [{"title": "u", "depends_on": ["@0.0"]}]}},
        ]
        result = await client.call_tool("commit", {"calls": calls})
        error = (result.structured_content or {})["error"]
        assert "calls[1]" not in error["message"] and error["details"]["next_call"]["arguments"]["calls"][1] == calls[1]


async def test_the_next_call_of_a_commit_has_every_call_put_right(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        tasks = [{"title": "t", "priority": priority} for priority in ("crtical", "hihg", "low")]
        calls = [{"tool": "tasks_create", "arguments": {"tasks": [task]}} for task in tasks]
        refused = await client.call_tool("commit", {"calls": calls})
        right = (refused.structured_content or {})["error"]["details"]["next_call"]
        assert [one["arguments"]["tasks"][0]["priority"] for one in right["arguments"]["calls"]] == [
            "critical",
            "high",
            "low",
        ]
        assert not (await client.call_tool(right["tool"], right["arguments"])).is_error


def test_a_launcher_is_told_all_that_it_is_given_and_does_not_take():
    rules = {"model": ArgumentRule("choice", choices=("a", "b")), "number": ArgumentRule("int", maximum=3)}
    declared = Launchers({"worker": Launcher(("run", "{model}", "{number}"), arguments=rules)})
    with pytest.raises(ValidationFailed) as refused:
        declared.check(LauncherUse(name="worker", arguments={"model": "c", "modell": "a", "number": 9}))
    for word in ("no argument modell", "takes as model", "takes as number", "Did you mean 'model'?"):
        assert word in refused.value.message


async def test_recipients_and_tasks_that_are_named_and_not_there_are_told_together_and_nothing_is_made(world: World):
    before = len(await world.events())
    asked: list[tuple[Any, Any]] = [
        (world.desk.messages.send, SendMessage(to=("ann", "bob"), body="b")),
        (world.desk.tasks.create, CreateTasks(tasks=[{"title": "x"}, *({"title": "y", "agent_id": n} for n in "pq")])),
    ]
    for service, command in asked:
        with pytest.raises(NotFound) as refused:
            await service(world.call, command)
        assert len(refused.value.details["faults"]) == 2
    assert len(await world.events()) == before


async def test_a_call_that_a_refusal_shows_is_not_handed_on_as_right_where_the_service_would_refuse_it(tmp_path: Path):
    async with asked_by(tmp_path, "auto", Person()) as (_, client):
        wrong = DEPLOYMENT | {"services": [{"name": "web", "image": "nginx:1.27", "helth": "/ok"}]}
        error = ((await client.call_tool("deployments_define", wrong)).structured_content or {})["error"]
        assert "Once that is right: web is to be asked whether it works, and has no port." in error["message"]
        assert "next_call" not in error["details"]
        wrong["services"][0] |= {"ports": [80]}
        error = ((await client.call_tool("deployments_define", wrong)).structured_content or {})["error"]
        assert "Once that is right" not in error["message"]
        right = error["details"]["next_call"]
        assert not (await client.call_tool(right["tool"], right["arguments"])).is_error
