"""The suite's slow tools as real tools of the catalogue: system tasks behind handles, done by the system worker."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp_server.domain.errors import NotFound
from mcp_server.domain.state import WriteSpec
from mcp_server.domain.task_spec import RetrySpec, TaskSpec
from mcp_server.domain.users import Permission
from mcp_server.protocol.task_handles import ApprovalQuestions
from mcp_server.runtime.handlers import Handler, HandlerFailed
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.views import TaskView
from tests.conformance.fixtures import form
from tools.spec import ADD, Arguments, Result, Tool


class Anything(Arguments):
    """Whatever a scenario sends."""

    name: str = ""
    seconds: float = 0
    label: str = ""
    filename: str = ""


class Said(Result):
    """Some text."""

    text: str


def slow(kind: str, **more: Any) -> Any:
    """A tool that is a system task: a handle where the client takes one, else its end is waited for."""

    async def ticket(desk: Desk, call: Call, args: Anything) -> TaskView:
        spec = TaskSpec(title=kind, kind=f"system.{kind}", input=args.model_dump(), retry=RetrySpec(max_attempts=1))
        return await desk.system.create(spec.model_copy(update=more))

    async def run(desk: Desk, call: Call, args: Anything) -> Said:
        task = await ticket(desk, call, args)
        done, _ = await desk.tasks.wait(call, task.id, "terminal", 30)
        return Said(text=str(done.result))

    return {"ticket": ticket, "run": run}


def tool(name: str, *, needs_ticket: bool = False, **functions: Any) -> Tool[Any, Any]:
    return Tool(
        name=name,
        title=name,
        description=name,
        toolset="system",
        permission=Permission.TASKS_CREATE,
        hints=ADD,
        arguments=Anything,
        result=Said,
        say=lambda result: result.text,
        needs_ticket=needs_ticket,
        **functions,
    )


TOOLS = (
    tool("slow_compute", **slow("slow_compute")),
    tool("failing_job", needs_ticket=True, **slow("failing_job")),
    tool("protocol_error_job", **slow("protocol_error_job")),
    tool("confirm_delete", **slow("confirm_delete", requires_approval=True)),
    tool("multi_input", **slow("multi_input", requires_approval=True)),
)


class TestQuestions(ApprovalQuestions):
    """Two questions at once for `multi_input`, its answers kept in a document; the queue's own for everything else."""

    __test__ = False

    async def pending(self, call: Call, task: TaskView) -> dict[str, Any]:
        if task.kind != "system.multi_input" or task.approval != "required":
            return await super().pending(call, task)
        answered = await self._answered(call, task)
        return {name: form(name, "name") for name in ("first", "second") if name not in answered}

    async def answer(self, call: Call, task: TaskView, responses: Mapping[str, Mapping[str, Any]]) -> None:
        if task.kind != "system.multi_input":
            accepted = {name: {"action": "accept", "content": {"approve": True}} for name in responses}
            return await super().answer(call, task, accepted)
        answered = await self._answered(call, task) | set(responses)
        await self._desk.state.set(call, "answers", task.id, sorted(answered), WriteSpec())
        if {"first", "second"} <= answered:
            await self._desk.approvals.decide(call, task.id, granted=True, via="client")
        return None

    async def _answered(self, call: Call, task: TaskView) -> set[str]:
        try:
            return set((await self._desk.state.get(call, "answers", task.id)).value)
        except NotFound:
            return set()


async def compute(task: TaskView, report: Any) -> str:
    await asyncio.sleep(task.input["seconds"])
    return f"computed {task.input['label']}"


async def fail(task: TaskView, report: Any) -> None:
    await asyncio.sleep(0.5)
    raise HandlerFailed("it failed, as it should", retryable=False)


async def crash(task: TaskView, report: Any) -> None:
    raise RuntimeError("a protocol error, as it should")


async def confirm(task: TaskView, report: Any) -> str:
    return f"confirmed {task.title}"


HANDLERS: dict[str, Handler] = {
    "system.slow_compute": compute,
    "system.failing_job": fail,
    "system.protocol_error_job": crash,
    "system.confirm_delete": confirm,
    "system.multi_input": confirm,
}
