"""Instructions, control characters and forged footers in every stored text: wherever a model is shown them, they are
marked as others', in JSON or in quotes, on one printable line."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from mcp_server.app import App, open_app
from mcp_server.config import load_settings
from mcp_server.kernel.quoting import OTHERS_WORDS
from mcp_server.persistence.sqlite.library import load_library
from mcp_server.protocol.prompt_catalogue import PROMPTS
from resources import RESOURCES
from tests.protocol.planting import (
    MARK,
    hostile,
    next_number,
    planted,
    require_marked,
    require_printable,
    require_quoted,
)
from tests.protocol.tasks_client import TasksClient, ask, take_handle, watching
from tests.world import on_file
from tools import TOOLS
from tools.spec import Shared

pytestmark = pytest.mark.anyio
BY_NAME = {tool.name: tool for tool in TOOLS}


class Garden:
    """A client that plants, and looks at everything that it is shown."""

    def __init__(self, app: App, client: Client, heard: TasksClient) -> None:
        self.app = app
        self.client = client
        self.heard = heard
        self.calls: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, list[str]] = {}

    async def plant(self, tool: str, **given: Any) -> dict[str, Any]:
        """Call a tool with hostile text wherever it takes text."""
        arguments = planted(BY_NAME[tool].arguments, given, next_number())
        result = await self.client.session.call_tool(tool, arguments)
        assert not result.is_error, result.content
        require_marked(result.content[0].text, arguments)
        self.calls[tool] = arguments
        return result.structured_content or {}

    async def look(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool; whatever it answers is marked."""
        result = await self.client.session.call_tool(tool, arguments)
        require_marked(result.content[0].text, arguments)
        if not result.is_error:
            self.calls[tool] = arguments
        return result.structured_content or {}


async def a_reason(context: Any, params: Any) -> types.ElicitResult:
    """A person whose reason is hostile too."""
    return types.ElicitResult(action="accept", content={"approve": True, "reason": hostile(next_number())[2]})


@asynccontextmanager
async def garden(tmp_path: Path) -> AsyncGenerator[Garden]:
    heard = TasksClient()
    settings = load_settings(database=on_file(tmp_path / "desk.db"), user="tester")
    async with (
        open_app(settings) as app,
        Client(app.server, mode="legacy", elicitation_callback=a_reason, message_handler=heard.hear) as client,
    ):
        yield Garden(app, client, heard)


@asynccontextmanager
async def handles(app: App) -> AsyncGenerator[tuple[Client, TasksClient]]:
    """A client that takes handles."""
    heard = TasksClient()
    async with Client(app.server, extensions=[heard], message_handler=heard.hear) as client:
        yield client, heard


async def plant_tasks(garden: Garden) -> None:
    agent = await garden.plant("agents_register", name="worker", instance={"pid": 1}, budget=None, capabilities=None)
    agent_id = agent["agent"]["id"]
    specs = [{"kind": f"k{number}", "requires_approval": number == 3, "idempotency_key": None} for number in range(4)]
    made = await garden.plant("tasks_create", tasks=specs)
    tasks = [task["id"] for task in made["tasks"]]
    for outcome, how in (("failed", {"error": {"retryable": False}, "result": None}), ("completed", {"error": None})):
        (claim,) = (await garden.plant("tasks_claim", agent_id=agent_id))["claims"]
        held = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        await garden.plant("tasks_report", progress={}, **held)
        await garden.plant("tasks_finish", outcome=outcome, usage=None, tasks=None, **held, **how)
    await garden.plant("tasks_control", task_ids=[tasks[2]], action="pause", run_at=None)
    await garden.plant("agents_control", agent_id=agent_id, action="pause")
    await garden.plant("agents_scale", agent_id=agent_id, desired_instances=1, scaling=None)
    garden.ids |= {"task": tasks, "agent": [agent_id]}


async def plant_the_rest(garden: Garden) -> None:
    document = {"namespace": "n", "expected_version": None}
    written = await garden.plant("state_set", **document)
    await garden.plant(
        "state_patch",
        key=written["document"]["key"],
        json_patch=None,
        merge_patch={"said": hostile(next_number())[0]},
        namespace="n",
        expected_version=1,
    )
    await garden.plant("state_restore", key=written["document"]["key"], version=1, **document)
    lock = (await garden.plant("locks_acquire"))["lock"]
    await garden.plant("locks_acquire", name=lock["name"], owner=hostile(next_number())[1])
    (agent_id,) = garden.ids["agent"]
    message = await garden.plant("messages_send", to=[agent_id])
    email = await garden.plant(
        "email_send", to="ann@example.org", variables=None, attachments=[{"content_base64": "aGk=", "key": None}]
    )
    asked = await garden.plant("approvals_request", approvers=["tester"], choices=None)
    await garden.plant("approvals_decide", approval_id=asked["approval"]["id"])
    called = await garden.plant("calls_open", participants=[agent_id], offer=None)
    unfit = dict.fromkeys(("wav", "participants", "offer", "candidate", "choices", "approval_id"))
    await garden.plant("calls_control", call_id=called["call"]["id"], action="say", **unfit)
    await garden.look("calls_control", call_id=called["call"]["id"], action="listen")
    await plant_a_deployment(garden)
    note = planted(BY_NAME["state_set"].arguments, document, next_number())
    calls = [{"tool": "state_set", "arguments": note}]
    await garden.plant("commit", calls=calls)
    run = await garden.plant("approvals_request", approvers=["tester"], calls=calls, choices=None)
    await garden.look("approvals_find", approval_id=run["approval"]["id"])
    await garden.plant("locks_release", name=lock["name"], owner=lock["owner"], fencing_token=lock["fencing_token"])
    await garden.plant("locks_acquire", name=lock["name"])
    garden.ids |= {
        "document": [written["document"]["key"]],
        "message": [message["message"]["id"]],
        "email": [email["email"]["id"]],
        "approval": [asked["approval"]["id"]],
        "call": [called["call"]["id"]],
    }


async def plant_a_deployment(garden: Garden) -> None:
    """Whose texts stand in its configuration, and from there in plans, changes and what came of a run."""
    nothing = {"databases": [], "ingress": [], "monitoring": [], "secrets": {}, "tags": []}
    elsewhere = dict.fromkeys(("folder", "modules", "main"))
    for number in range(2):
        env = {f"A{number}": hostile(next_number())[0]}
        web = [{"name": "web", "image": "web", "command": [hostile(next_number())[2]], "env": env} | elsewhere]
        what = {"name": "d", "target": "kubernetes", "environment": "dev"}
        made = await garden.plant("deployments_define", services=web, **what, **nothing)
    deployment = {"deployment_id": made["deployment"]["id"]}
    plan = await garden.plant("deployments_plan", revision=2, destroy=False, **deployment)
    await garden.plant("deployments_apply", plan_hash=plan["plan"]["hash"], **deployment)
    await garden.look("deployments_control", action="destroy", **deployment)
    garden.ids["deployment"] = [deployment["deployment_id"]]


async def look_at_everything(garden: Garden) -> None:
    for task_id in garden.ids["task"]:
        await garden.look("tasks_find", task_id=task_id)
        await garden.look("tasks_wait", task_id=task_id, wait_seconds=0)
    for tool in ("tasks_find", "agents_find", "state_find", "locks_find", "email_find", "approvals_find"):
        await garden.look(tool, limit=100)
    await garden.look("deployments_find", limit=100)
    await garden.look("deployments_find", deployment_id=garden.ids["deployment"][0])
    await garden.look("agents_find", agent_id=garden.ids["agent"][0])
    await garden.look("email_find", email_id=garden.ids["email"][0])
    await garden.look("approvals_find", approval_id=garden.ids["approval"][0])
    (key,) = garden.ids["document"]
    await garden.look("state_get", namespace="n", key=key)
    await garden.look("state_history", namespace="n", key=key, diff=True)
    await garden.look("messages_read", agent_id=garden.ids["agent"][0])
    after = {}
    while (page := await garden.look("events_read", limit=100, **after))["events"]:
        after = {"after": page["cursor"]}


async def look_at_resources(garden: Garden) -> list[str]:
    """Read all that is listed and all that has an id; what was read."""
    uris = [
        f"ops://{kind}s/{id_}"
        for kind in ("task", "email", "approval", "deployment", "call")
        for id_ in garden.ids[kind]
    ]
    uris += [f"ops://calls/{id_}/transcript" for id_ in garden.ids["call"]]
    cursor, first = None, True
    while first or cursor is not None:
        page = await garden.client.list_resources(cursor=cursor)
        for one in page.resources:
            if one.mime_type == "text/markdown":
                continue  # skills: the server's own text, in lines
            require_printable(one.model_dump_json())
            assert MARK not in (one.description or "") or (one.description or "").startswith('"')
            uris.append(str(one.uri))
        cursor, first = page.next_cursor, False
    for uri in uris:
        (content,) = (await garden.client.read_resource(uri)).contents
        require_printable(content.text)
        value = json.loads(content.text)
        assert MARK not in content.text or next(iter(value.items())) == ("notice", OTHERS_WORDS), uri
    return uris


async def test_what_is_planted_in_any_text_is_marked_wherever_tools_and_resources_show_it(tmp_path: Path):
    async with garden(tmp_path) as one:
        await plant_tasks(one)
        await plant_the_rest(one)
        await look_at_everything(one)
        assert one.calls.keys() == BY_NAME.keys(), "a tool that nobody looked at"
        read = await look_at_resources(one)
        assert len(read) >= len(RESOURCES) - 1, "all but the sound of a call"


@pytest.mark.slow
async def test_refusals_hold_planted_text_in_quotes_only(tmp_path: Path):
    async with garden(tmp_path) as one:
        await plant_tasks(one)
        await plant_the_rest(one)
        await look_at_everything(one)
        for name, base in one.calls.items():
            fields = [*BY_NAME[name].arguments.model_fields, *Shared.model_fields]
            for field in fields:
                for text in hostile(next_number())[:3]:
                    await one.look(name, **(base | {field: text}))
            await one.look(name, **{hostile(next_number())[0]: 1})
            await one.look(name, **dict.fromkeys(BY_NAME[name].arguments.model_fields, hostile(next_number())[1]))


async def refused(what: Any) -> None:
    """A protocol error says what was asked for in quotes."""
    with pytest.raises(MCPError) as error:
        await what
    require_quoted(error.value.error.message)


async def test_protocol_errors_hold_planted_text_in_quotes_only(tmp_path: Path):
    async with garden(tmp_path) as one:
        for text in hostile(next_number())[:3]:
            await refused(one.client.call_tool(text, {}))
            await refused(one.client.get_prompt(text))
            await refused(one.client.get_prompt("plan-project", {"goal": "g", text: "x"}))
            for resource in RESOURCES:
                if resource.is_template and resource.plain_uri is None:
                    await refused(one.client.read_resource(f"{resource.uri_template.split('{')[0]}{text}"))
            await refused(one.client.read_resource(text))
            await refused(one.client.list_resources(cursor=text))
        async with handles(one.app) as (client, _):
            for method in ("tasks/get", "tasks/cancel", "tasks/update"):
                await refused(ask(client, method, taskId=hostile(next_number())[0], inputResponses={}))


async def test_prompts_hold_what_they_are_given_fenced_or_in_quotes(tmp_path: Path):
    async with garden(tmp_path) as one:
        for prompt in PROMPTS:
            arguments = {argument.name: hostile(next_number())[0] for argument in prompt.arguments}
            text = (await one.client.get_prompt(prompt.name, arguments)).messages[0].content.text
            assert MARK in text
            for line in text.split("\n"):
                require_printable(line)
                if not line.startswith("> "):
                    require_quoted(line)


async def test_handles_and_their_notifications_mark_what_workers_wrote(tmp_path: Path):
    async with garden(tmp_path) as one:
        await plant_tasks(one)
        async with handles(one.app) as (client, heard):
            for task_id in one.ids["task"]:
                shown = await ask(client, "tasks/get", taskId=task_id)
                require_quoted(shown["statusMessage"])
                for content in shown.get("result", {}).get("content", []):
                    require_marked(content["text"], {})
            handle = await take_handle(client, "tasks_wait", task_id=one.ids["task"][3])
            require_quoted(handle["statusMessage"])
            async with watching(client, heard, one.ids["task"][3]):
                await ask(client, "tasks/cancel", taskId=one.ids["task"][3])
                told = await heard.told.get()
                require_quoted(told["statusMessage"])


OLD_LINES = {
    "tasks": ("title", "concurrency_key", "description"),
    "agents": ("lifecycle_reason", "description"),
    "instances": ("label", "host"),
    "approvals": ("title", "action"),
    "emails": ("subject",),
    "messages": ("subject", "body"),
    "document_versions": ("note",),
    "lock_holds": ("owner",),
}


async def test_what_old_rows_hold_in_their_lines_is_shown_all_the_same(tmp_path: Path):
    async with garden(tmp_path) as one:
        await plant_tasks(one)
        await plant_the_rest(one)
        ids = one.ids
    with closing(load_library().connect(tmp_path / "desk.db", isolation_level=None)) as connection:
        for table, columns in OLD_LINES.items():
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in there.intersection(columns):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} IS NOT NULL", (hostile(0)[0],))
    async with garden(tmp_path) as one:
        one.ids = ids
        await look_at_everything(one)
        await look_at_resources(one)
