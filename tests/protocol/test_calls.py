"""The MCP surface through the SDK's own client, in both eras, in memory."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from mcp.client import Client
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, ResourceTemplateReference

from mcp_server.app import App, open_app, seam_of
from mcp_server.config import Settings, load_settings
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.views import View
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.resource_reads import ResourceReads
from mcp_server.protocol.server import assembled
from mcp_server.protocol.task_handles import ApprovalQuestions, TaskHandles
from mcp_server.protocol.tool_calls import ToolCalls
from mcp_server.protocol.wrong_params import say_what_is_wrong
from tests.world import on_file
from tools import TOOLS, KnownTool
from tools.spec import READ, Tool

pytestmark = pytest.mark.anyio


async def _bug(call: Any, args: Any) -> View:
    raise ZeroDivisionError("secret detail")


BUG = Tool(
    name="bug",
    title="Bug",
    description="Fails as a bug does.",
    toolset="system",
    permission=Permission.TASKS_READ,
    hints=READ,
    arguments=Frozen,
    result=View,
    say=str,
    does=lambda desk: _bug,
)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Any:
    return request.param


def settings(tmp_path: Path, **flags: Any) -> Settings:
    return load_settings(database=on_file(tmp_path / "desk.db"), **flags)


@asynccontextmanager
async def connected(tmp_path: Path, era: Any, **flags: Any) -> AsyncGenerator[Client]:
    async with (
        open_app(settings(tmp_path, **flags)) as app,
        Client(app.server, mode=era, elicitation_callback=answering) as client,
    ):
        yield client


def with_a_bug(app: App) -> Server[Any]:
    """A server whose one tool has a bug."""
    seam = seam_of(app.desk, app.settings, app.metrics)
    tools, reads = ToolCalls(app.desk, seam, (KnownTool.of(BUG),)), ResourceReads(app.desk, seam, ())
    handles = TaskHandles(app.desk, seam, Offer(), ApprovalQuestions(app.desk))
    return assembled(app.desk, seam, tools, reads, handles, Offer())


async def answering(context: Any, params: Any) -> ElicitResult:
    """A person who says yes to whatever is asked."""
    return ElicitResult(action="accept", content={"approve": True, "reason": "fine"})


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content or {}


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return (result.structured_content or {})["error"]


async def work_through_everything(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """Call every tool once, so that each answer can be checked against its output schema."""
    answers: list[tuple[str, dict[str, Any]]] = []

    async def step(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await call(client, tool, **arguments)
        answers.append((tool, answer))
        return answer

    agent = await step("agents_register", name="a", capabilities=[{"name": "x"}], instance={"label": "l", "pid": 1})
    agent_id = agent["agent"]["id"]
    created = await step(
        "tasks_create", tasks=[{"title": "t", "input": {"n": None}}, {"title": "u", "depends_on": ["#0"]}]
    )
    first, second = (task["id"] for task in created["tasks"])
    claim = (await step("tasks_claim", agent_id=agent_id, instance_id=agent["instance_id"]))["claims"][0]
    token = claim["lease_token"]
    await step("tasks_report", task_id=first, lease_token=token, progress={"percent": 1, "message": "m"})
    await step("tasks_wait", task_id=first, until="running", wait_seconds=0)
    await step("tasks_finish", task_id=first, lease_token=token, outcome="completed", result=[1], usage={"cost_usd": 1})
    await step("tasks_finish", task_id=first, lease_token=token, outcome="completed", result=[1])
    repeat = {"task_id": first, "lease_token": token, "outcome": "completed", "result": [1]}
    await step("tasks_finish", tasks=[repeat, repeat | {"task_id": second}])
    await step("tasks_wait", task_id=second, wait_seconds=0)
    await step("tasks_control", task_ids=[second, "task_none"], action="pause")
    await step("tasks_claim", agent_id=agent_id, kinds=["other"])
    for narrowed in ({"task_id": second}, {"limit": 1}):
        await step("tasks_find", **narrowed)
    for narrowed in ({"agent_id": agent_id}, {"for_task": second}, {"limit": 1}):
        await step("agents_find", **narrowed)
    await step("state_set", namespace="n", key="k", value={"a": 1}, expected_version=0, tags=["t"], ttl_seconds=60)
    await step("state_set", namespace="n", key="k", value={"a": 2}, merge=True, base_version=1)
    await step("state_patch", namespace="n", key="k", merge_patch={"b": 1})
    await step("state_patch", namespace="n", key="k", json_patch=[{"op": "copy", "from": "/a", "path": "/c"}])
    await step("state_history", namespace="n", key="k", diff=True)
    await step("state_restore", namespace="n", key="k", version=1)
    await step("state_get", namespace="n", key="k")
    await step("state_set", namespace="n", key="null", value=None)
    await step("commit", calls=[{"tool": "state_set", "arguments": {"namespace": "n", "key": "c", "value": 1}}])
    assert (await step("state_get", namespace="n", key="null"))["document"]["value"] is None
    await step("state_find")
    await step("state_find", namespace="n", limit=1)
    lock = (await step("locks_acquire", name="l", owner="a"))["lock"]
    await step("locks_acquire", name="l", owner="b")
    await step("locks_find")
    await step("locks_release", name="l", owner="a", fencing_token=lock["fencing_token"], renew_seconds=5)
    await step("locks_release", name="l", owner="a", fencing_token=lock["fencing_token"])
    message = await step("messages_send", to=[agent_id], body="b", subject="s", ack_within_seconds=60)
    await step("messages_send", to="capability:x", body="to whoever has the capability")
    await step("messages_read", agent_id=agent_id, acknowledge=[message["message"]["id"]])
    email = await step("email_send", to=["Ann <ann@example.org>"], subject="s", text="t", cc=["bob@example.org"])
    await step("email_send", to=["ann@example.org"], subject="s", html="<p>t</p>", dry_run=True)
    await step("email_send", to="ann@example.org", subject="s", text="t", dry_run=True)
    template = {"subject": "Hi {{ name }}", "text": "t", "variables": ["name"]}
    await step("state_set", namespace="email-templates", key="hi", value=template)
    for narrowed in ({"email_id": email["email"]["id"]}, {"templates": True}, {"limit": 1}):
        await step("email_find", **narrowed)
    asked = await step("approvals_request", title="t", action="a", details={"n": 1}, approvers=["local"])
    await step("approvals_decide", approval_id=asked["approval"]["id"])
    for narrowed in ({"approval_id": asked["approval"]["id"]}, {"limit": 1}):
        await step("approvals_find", **narrowed)
    opened = (await step("calls_open", purpose="p", participants=[agent_id]))["call"]
    for what in ({"action": "say", "text": "t"}, {"action": "listen"}, {"action": "end", "text": "done"}):
        await step("calls_control", call_id=opened["id"], **what)
    await step("events_read", type="task.*")
    await step("agents_scale", agent_id=agent_id, scaling={"min": 1, "max": 3})
    await step("agents_scale", agent_id=agent_id, desired_instances=2)
    await deploy(step)
    await step("agents_control", agent_id=agent_id, action="pause", reason="r")
    return answers


async def deploy(step: Any) -> None:
    """Everything that can be done with a deployment."""
    for replicas in (1, 2):
        web = [{"name": "web", "image": "web", "replicas": replicas}]
        await step("deployments_define", name="d", target="kubernetes", environment="dev", services=web, tags=["t"])
    plan = await step("deployments_plan", deployment_id="d")
    applied = await step("deployments_apply", deployment_id="d", plan_hash=plan["plan"]["hash"])
    await step("tasks_wait", task_id=applied["task"]["id"], wait_seconds=20)
    for action in ("check_drift", "destroy"):
        await step("deployments_control", deployment_id="d", action=action)
    for narrowed in ({"deployment_id": "d", "logs": True}, {"limit": 1}):
        await step("deployments_find", **narrowed)


async def test_every_answer_of_every_tool_matches_its_output_schema_and_holds_no_nulls(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
        answers = await work_through_everything(client)
        assert {tool for tool, _ in answers} == {tool.name for tool in TOOLS}
        for tool, answer in answers:
            jsonschema.validate(answer, schemas[tool])


async def test_the_text_of_an_answer_stands_alone(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        result = await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1})
        sentence, data = result.content[0].text.split("\n", 1)
        assert sentence == "n/k is at version 1."
        document = {**result.structured_content["document"]}
        assert {document.pop("sha256"), document.pop("bytes")} == {sha256(b"1").hexdigest(), 1}, "for programs"
        assert json.loads(data) == result.structured_content | {"document": document}


async def test_arguments_that_do_not_go_together_are_refused_in_plain_words(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        error = await refused(client, "state_set", namespace="n", key="k", value=1, merge=True)
        assert error["code"] == "validation"
        assert error["message"].startswith("merge needs base_version, the version you started from")


async def test_a_refusal_says_what_was_wrong_what_is_true_and_what_to_do(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        error = await refused(client, "state_get", namespace="n", key="none")
        assert (error["code"], error["details"]) == ("not_found", {"namespace": "n", "key": "none"})
        assert error["message"] == (
            'There is no document n/none. state_set makes it; state_find(namespace="n") lists what there is.'
        )


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        (
            "state_get",
            {"namespace": "n", "key": "k", "bogus": 1},
            "bogus: there is no such argument. state_get accepts: namespace",
        ),
        ("state_get", {}, "key: is missing: the key of a document, such as"),
        ("tasks_create", {"tasks": [{"title": "t", "x": 1}]}, "tasks[0].x: there is no such argument"),
        ("tasks_create", {"tasks": []}, "a list of 0 is not accepted; it takes a list of 1 to 100 objects"),
        ("tasks_create", {"tasks": [{"title": "a\u0000b"}]}, "NUL character"),
        (
            "tasks_claim",
            {"agent_id": "a", "wait_seconds": 51},
            "51 is not accepted; it takes seconds, a number from 0 to 50",
        ),
        ("tasks_finish", {"task_id": "t", "lease_token": "x", "outcome": "failed"}, "needs `error`"),
        (
            "tasks_finish",
            {"task_id": "t", "lease_token": "x", "outcome": "failed", "error": {"message": "m"}, "result": 1},
            "has no `result`",
        ),
        ("state_patch", {"namespace": "n", "key": "k"}, "exactly one"),
        ("state_set", {"namespace": "n", "key": "k", "value": 1, "merge": True}, "merge needs base_version"),
        ("state_set", {"namespace": "a/b", "key": "k", "value": 1}, 'namespace: "a/b" is not accepted'),
    ],
)
async def test_bad_arguments_are_refused_with_the_place_and_the_reason(tmp_path: Path, era, tool, arguments, says):
    async with connected(tmp_path, era) as client:
        error = await refused(client, tool, **arguments)
        assert error["code"] == "validation" and says in error["message"]
        assert (await call(client, "events_read"))["events"] == []


async def test_a_bug_shows_the_caller_only_its_correlation_id(tmp_path: Path, era: Any):
    async with (
        open_app(settings(tmp_path)) as app,
        Client(with_a_bug(app), mode=era) as client,
    ):
        error = await refused(client, "bug")
        assert error["code"] == "unavailable" and error["details"]["correlation_id"] in error["message"]
        assert "secret" not in json.dumps(error) and "Zero" not in json.dumps(error)


async def test_unknown_tools_prompts_and_resources_are_invalid_params(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        for attempt in (
            client.call_tool("nope", {}),
            client.get_prompt("nope"),
            client.get_prompt("plan-project"),
            client.get_prompt("plan-project", {"goal": "g", "extra": "e"}),
            client.read_resource("ops://nope"),
            client.read_resource("ops://tasks/task_none"),
            client.read_resource("ops://state/n/k?version=x"),
        ):
            with pytest.raises(MCPError) as error:
                await attempt
            assert error.value.code == -32602


async def test_prompts_are_filled_in(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        names = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        assert set(names) == {"plan-project", "triage-failures", "hand-over", "incident", "daily-brief"}
        given = {
            "plan-project": {"goal": "GOAL"},
            "triage-failures": {"kind": "GOAL"},
            "hand-over": {"agent_id": "GOAL", "to_agent": "GOAL"},
            "incident": {"symptom": "GOAL", "since": "yesterday", "event_type": "task.failed"},
            "daily-brief": {"since": "GOAL"},
        }
        for name, arguments in given.items():
            assert "GOAL" in (await client.get_prompt(name, arguments)).messages[0].content.text
        assert "of kind" not in (await client.get_prompt("triage-failures")).messages[0].content.text


async def test_resources_are_listed_templated_and_read(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        await work_through_everything(client)
        listed = [str(resource.uri) for resource in (await client.list_resources()).resources]
        skills = [f"skill://{name}/SKILL.md" for name in ("worker-loop", "planner", "operator")]
        plain = ["ops://agents", "ops://tasks", "ops://locks", "ops://events", "ops://health"]
        assert listed == plain + skills
        templates = [t.uri_template for t in (await client.list_resource_templates()).resource_templates]
        assert "ops://state/{namespace}/{+key}{?version}" in templates
        task = (await call(client, "tasks_find", limit=1))["tasks"][0]["id"]
        agent = (await call(client, "agents_find", limit=1))["agents"][0]["id"]
        email = (await call(client, "email_find", limit=1))["emails"][0]["id"]
        approval = (await call(client, "approvals_find", limit=1))["approvals"][0]["id"]
        more = [f"ops://emails/{email}", f"ops://approvals/{approval}"]
        for uri in [
            *plain,
            *more,
            f"ops://tasks/{task}",
            f"ops://agents/{agent}",
            "ops://state/n/k",
            "ops://events?after=3",
        ]:
            (content,) = (await client.read_resource(uri)).contents
            assert content.mime_type == "application/json" and json.loads(content.text)
        (content,) = (await client.read_resource("ops://state/n/k?version=1")).contents
        assert json.loads(content.text)["value"] == {"a": 1}


async def test_every_document_and_agent_is_listed_page_by_page_and_can_be_read(tmp_path: Path, era: Any):
    keys = ["..", "a/../b", "what? #1", "é ☃ 𝄞", "100%25", "k" * 512, *(f"n{number:03}" for number in range(120))]
    async with connected(tmp_path, era) as client:
        agent = (await call(client, "agents_register", name="worker", description="Works"))["agent"]
        for key in keys:
            await call(client, "state_set", namespace="notes", key=key, value={"of": key})
        listed, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = await client.list_resources(cursor=cursor)
            listed, cursor, pages = listed + page.resources, page.next_cursor, pages + 1
        assert pages == 4 and len({str(resource.uri) for resource in listed}) == len(listed)
        (one,) = [resource for resource in listed if resource.title == "worker"]
        assert (str(one.uri), one.description) == (f"ops://agents/{agent['id']}", '"Works"')
        documents = {
            resource.title: str(resource.uri) for resource in listed if str(resource.uri).startswith("ops://state")
        }
        assert documents.keys() == {f"notes/{key}" for key in keys}
        for key in keys[:7]:
            (content,) = (await client.read_resource(documents[f"notes/{key}"])).contents
            assert json.loads(content.text)["value"] == {"of": key}
        for wrong in ("nonsense", "WyJ0YXNrcyIsICIiXQ"):
            with pytest.raises(MCPError, match="not a cursor of this list"):
                await client.list_resources(cursor=wrong)


async def test_long_lists_are_read_page_by_page(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        for _ in range(3):
            await call(client, "tasks_create", tasks=[{"title": "t"}] * 50)
        (content,) = (await client.read_resource("ops://tasks")).contents
        first = json.loads(content.text)
        (content,) = (await client.read_resource(f"ops://tasks?cursor={first['next_cursor']}")).contents
        rest = json.loads(content.text)
        assert (len(first["tasks"]), first["omitted"], len(rest["tasks"])) == (100, 50, 50)
        assert not {task["id"] for task in first["tasks"]} & {task["id"] for task in rest["tasks"]}


async def test_completions_are_offered_for_resource_templates(tmp_path: Path, era: Any):
    async with connected(tmp_path, era) as client:
        await call(client, "state_set", namespace="notes", key="one", value=1)
        ref = ResourceTemplateReference(uri="ops://state/{namespace}/{+key}{?version}")
        found = await client.complete(ref, {"name": "namespace", "value": "no"})
        assert found.completion.values == ["notes"]
        found = await client.complete(ref, {"name": "key", "value": ""}, context_arguments={"namespace": "notes"})
        assert found.completion.values == ["one"]


async def test_a_waiting_call_sends_progress(tmp_path: Path, era: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.kernel.waiting.PROGRESS_EVERY_SECONDS", 0.05)
    heard: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(done)

    async with connected(tmp_path, era) as client:
        await client.call_tool("events_read", {"wait_seconds": 0.5}, progress_callback=progress)
    assert heard and heard == sorted(heard)


async def test_the_offer_can_be_narrowed_and_nothing_widens_it_again(tmp_path: Path, era: Any):
    async with connected(tmp_path, era, toolsets="state", exclude_tools="state_restore") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {t.name for t in TOOLS if t.toolset == "state"} - {"state_restore"}
        assert "ops://agents" not in [str(r.uri) for r in (await client.list_resources()).resources]
        with pytest.raises(MCPError):
            await client.call_tool("tasks_create", {"tasks": [{"title": "t"}]})
    async with connected(tmp_path, era, read_only=True) as client:
        assert all(tool.annotations.read_only_hint for tool in (await client.list_tools()).tools)
    async with connected(tmp_path, era, role="viewer") as client:
        assert "state_set" not in {tool.name for tool in (await client.list_tools()).tools}
        error = await refused(client, "state_set", namespace="n", key="k", value=1)
        assert error["code"] == "permission_denied"


async def test_a_misspelt_toolset_is_told_before_anything_is_opened(tmp_path: Path):
    for flags in ({"toolsets": "bogus"}, {"exclude_tools": "bogus"}):
        unopened = load_settings(database=f"sqlite:///{tmp_path / 'desk.db'}", **flags)
        with pytest.raises(ValidationFailed, match="bogus"):
            async with open_app(unopened):
                raise AssertionError("it opened")
    assert list(tmp_path.iterdir()) == []


async def test_the_callers_trace_id_becomes_the_correlation_id(tmp_path: Path, era: Any):
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with connected(tmp_path, era) as client:
        meta: Any = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        await client.call_tool("state_set", {"namespace": "n", "key": "k", "value": 1}, meta=meta)
        events = (await call(client, "events_read"))["events"]
        assert [event["correlation_id"] for event in events] == [trace]


@pytest.mark.parametrize("taken", [False, True])
async def test_spans_are_made_only_where_somebody_takes_them(
    tmp_path: Path, taken: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk", raising=False)
    if taken:
        monkeypatch.setitem(sys.modules, "opentelemetry.sdk", ModuleType("opentelemetry.sdk"))
    async with open_app(settings(tmp_path)) as app:
        assert app.server.middleware[-1] is say_what_is_wrong and (len(app.server.middleware) > 1) is taken
