"""The Tasks extension: handles over the queue, for the clients that take them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from mcp_server.app import App, open_app
from mcp_server.config import load_settings
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks, FinishTask
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.domain.tasks.spec import FailureSpec
from tests.processes import server as server_process
from tests.protocol.tasks_client import TasksClient, ask, take_handle, watching
from tests.world import caller, on_file

pytestmark = pytest.mark.anyio


@dataclass
class Desk:
    app: App
    client: Client
    heard: TasksClient

    async def task(self, call: Any = None, **spec: Any) -> str:
        command = CreateTasks.model_validate({"tasks": [{"title": "slow"} | spec]})
        (created,) = (await self.app.desk.tasks.create(call or caller(), command)).tasks
        return created.id

    async def claimed(self) -> ClaimedTask:
        agent = (await self.app.desk.agents.register(caller(), Register(name="worker"))).agent
        (claimed,) = (await self.app.desk.tasks.claim(caller(), ClaimTasks(agent_id=agent.id))).claims
        return claimed

    async def finish(self, **how: Any) -> None:
        claimed = await self.claimed()
        outcome = "failed" if "error" in how else "completed"
        command = FinishTask(task_id=claimed.task.id, lease_token=claimed.lease_token, outcome=outcome, **how)
        await self.app.desk.tasks.finish(caller(), command)


async def dialog(context: Any, params: Any) -> ElicitResult:
    """Makes the client one that asks; these tests answer by themselves."""
    raise AssertionError("nobody is asked behind the back of tasks/update")


@asynccontextmanager
async def opened(
    tmp_path: Path, *, mode: Any = "auto", declared: bool = True, asks: Any = dialog, **flags: Any
) -> AsyncGenerator[Desk]:
    heard = TasksClient()
    settings = load_settings(database=on_file(tmp_path / "desk.db"), **({"user": "tester"} | flags))
    async with (
        open_app(settings) as app,
        Client(
            app.server,
            mode=mode,
            extensions=[heard] if declared else None,
            message_handler=heard.hear,
            elicitation_callback=asks,
        ) as client,
    ):
        yield Desk(app, client, heard)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with opened(tmp_path) as one:
        yield one


async def test_waiting_for_a_task_gives_a_handle_at_once_and_the_handle_gives_the_result(desk: Desk):
    task_id = await desk.task()
    handle = await take_handle(desk.client, "tasks_wait", task_id=task_id, wait_seconds=50)
    assert (handle["taskId"], handle["status"], handle["ttlMs"]) == (task_id, "working", None)
    await desk.finish(result={"n": 1})
    shown = await ask(desk.client, "tasks/get", taskId=task_id)
    assert (shown["status"], shown["result"]["isError"]) == ("completed", False)
    assert shown["result"]["structuredContent"]["task"]["result"] == {"n": 1}


async def test_a_client_that_did_not_declare_the_extension_gets_the_ordinary_answer_and_no_task_methods(tmp_path: Path):
    async with opened(tmp_path, declared=False) as desk:
        task_id = await desk.task()
        answer = await desk.client.call_tool("tasks_wait", {"task_id": task_id, "wait_seconds": 0})
        assert (answer.structured_content or {})["reached"] is False
        for method in ("tasks/get", "tasks/cancel"):
            with pytest.raises(MCPError) as refused:
                await ask(desk.client, method, taskId=task_id)
            assert refused.value.code == -32021
            assert refused.value.data == {"requiredCapabilities": {"extensions": {TasksClient.identifier: {}}}}


async def test_earlier_eras_know_no_task_methods(tmp_path: Path):
    async with opened(tmp_path, mode="legacy") as desk:
        task_id = await desk.task()
        with pytest.raises(MCPError) as refused:
            await ask(desk.client, "tasks/get", taskId=task_id)
        assert refused.value.code == -32601
        answer = await desk.client.call_tool("tasks_wait", {"task_id": task_id, "wait_seconds": 0})
        assert not answer.is_error


async def test_a_failed_task_is_a_tool_error_with_the_workers_words(desk: Desk):
    task_id = await desk.task(retry={"max_attempts": 1})
    await desk.finish(error=FailureSpec(code="broken", message="the disk is full", retryable=False))
    shown = await ask(desk.client, "tasks/get", taskId=task_id)
    assert (shown["status"], shown["result"]["isError"]) == ("completed", True)
    assert "the disk is full" in shown["result"]["content"][0]["text"]


async def test_cancelling_ends_a_task_and_is_acknowledged_again_and_again(desk: Desk):
    task_id = await desk.task()
    for _ in range(2):
        assert (await ask(desk.client, "tasks/cancel", taskId=task_id))["resultType"] == "complete"
    assert (await ask(desk.client, "tasks/get", taskId=task_id))["status"] == "cancelled"


async def asked(desk: Desk, task_id: str) -> tuple[str, dict[str, Any]]:
    """The key and the request of the one question that a task asks."""
    shown = await ask(desk.client, "tasks/get", taskId=task_id)
    assert shown["status"] == "input_required"
    ((key, request),) = shown["inputRequests"].items()
    return key, request["params"]


async def answer(desk: Desk, task_id: str, key: str, action: str = "accept", **content: Any) -> None:
    response = {"action": action} | ({"content": content} if content else {})
    await ask(desk.client, "tasks/update", taskId=task_id, inputResponses={key: response, "unasked": {}})


async def approval_of(desk: Desk, task_id: str) -> str | None:
    return (await desk.app.desk.tasks.get(caller(), task_id)).approval


async def test_a_task_that_waits_for_a_person_asks_and_takes_the_answer_once(desk: Desk):
    task_id = await desk.task(requires_approval=True, input={"drop": "table"})
    key, params = await asked(desk, task_id)
    assert '"drop"' in params["message"]
    await answer(desk, task_id, key, "cancel")
    assert (await asked(desk, task_id))[0] == key, "who polls is asked once"
    for _ in range(2):  # the second finds nothing asked and changes nothing
        await answer(desk, task_id, key, approve=True, reason="fine")
    assert (await ask(desk.client, "tasks/get", taskId=task_id))["status"] == "working"
    assert await approval_of(desk, task_id) == "granted"


@pytest.mark.parametrize(("action", "content"), [("decline", {}), ("accept", {"approve": False})])
async def test_a_no_in_any_form_rejects_the_task(desk: Desk, action: str, content: Any):
    task_id = await desk.task(requires_approval=True)
    key, _ = await asked(desk, task_id)
    await answer(desk, task_id, key, action, **content)
    assert (await ask(desk.client, "tasks/get", taskId=task_id))["status"] == "cancelled"


async def test_an_answer_that_was_not_asked_for_like_this_is_refused_and_decides_nothing(desk: Desk, tmp_path: Path):
    task_id, other = await desk.task(requires_approval=True), await desk.task(requires_approval=True)
    key, _ = await asked(desk, task_id)
    others_key, _ = await asked(desk, other)
    async with opened(tmp_path, user="somebody-else") as foreign:
        foreign_key, _ = await asked(foreign, task_id)
    for made_up in ("approval", "approval.", "approval.x.y.z", others_key, foreign_key, key[:-1], key + "A"):
        with pytest.raises(MCPError, match="answers nothing"):
            await answer(desk, task_id, made_up, approve=True)
    for content in ({"approve": "true"}, {"approve": 1}, {"approve": True, "more": 1}, {"approve": True, "reason": 7}):
        with pytest.raises(MCPError, match="not what the form asks for"):
            await answer(desk, task_id, key, **content)
    assert await approval_of(desk, task_id) == "required"
    await answer(desk, task_id, key, approve=True)
    assert await approval_of(desk, task_id) == "granted"


@pytest.mark.parametrize(
    "flags",
    [
        {"asks": None},
        {"exclude_tools": "approvals_decide"},
        {"toolsets": "tasks,agents"},
        {"role": "agent"},
        {"read_only": True},
    ],
    ids=["no elicitation declared", "tool excluded", "toolset left out", "no right to decide", "read only"],
)
async def test_nobody_is_asked_where_the_client_or_the_operator_took_the_channel_away(tmp_path: Path, flags: Any):
    async with opened(tmp_path) as desk:
        task_id = await desk.task(requires_approval=True)
        key, _ = await asked(desk, task_id)
    async with opened(tmp_path, **flags) as desk:
        shown = await ask(desk.client, "tasks/get", taskId=task_id)
        assert shown["status"] == "working" and "inputRequests" not in shown
        with pytest.raises(MCPError):
            await answer(desk, task_id, key, approve=True)
        assert await approval_of(desk, task_id) == "required"


async def test_handles_belong_to_who_made_the_task_and_look_unknown_to_others(tmp_path: Path):
    async with opened(tmp_path, role="agent", user="one") as desk:
        others = await desk.task(caller(id="two"))
        mine = await desk.task(caller(id="one"))
        assert (await ask(desk.client, "tasks/get", taskId=mine))["taskId"] == mine
        for method in ("tasks/get", "tasks/cancel"):
            for task_id in (others, "task_aaaaaaaaaaaa"):
                with pytest.raises(MCPError) as refused:
                    await ask(desk.client, method, taskId=task_id)
                assert (refused.value.code, task_id in refused.value.message) == (-32602, True)
        assert (await desk.app.desk.tasks.get(caller(), others)).status == "queued"


async def test_a_stream_tells_of_each_change_to_its_tasks_and_of_no_others(desk: Desk):
    task_id = await desk.task(requires_approval=True)
    async with watching(desk.client, desk.heard, task_id, "task_aaaaaaaaaaaa"):
        await desk.task()
        await desk.app.desk.approvals.answered(caller(id="ann"), task_id, "accept", {"approve": True})
        told = await asyncio.wait_for(desk.heard.told.get(), 60)
        assert (told["taskId"], told["status"]) == (task_id, "working")
        await ask(desk.client, "tasks/cancel", taskId=task_id)
        assert (await asyncio.wait_for(desk.heard.told.get(), 60))["status"] == "cancelled"
        assert desk.heard.told.empty()


@pytest.mark.slow
async def test_a_handle_outlives_its_server_and_works_from_another_process(tmp_path: Path):
    async with opened(tmp_path) as desk:
        task_id = await desk.task()
        handle = await take_handle(desk.client, "tasks_wait", task_id=task_id)
    async with server_process(f"sqlite:///{tmp_path / 'desk.db'}") as other:
        agent = await other.call("agents_register", name="w")
        claim = (await other.call("tasks_claim", agent_id=agent["agent"]["id"]))["claims"][0]
        token = claim["lease_token"]
        await other.call("tasks_finish", task_id=task_id, lease_token=token, outcome="completed", result=7)
    async with opened(tmp_path) as desk:
        shown = await ask(desk.client, "tasks/get", taskId=handle["taskId"])
        assert shown["result"]["structuredContent"]["task"]["result"] == 7
