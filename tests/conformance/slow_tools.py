"""The suite's slow tools as real tools of the catalogue: system tasks behind handles, done by the system worker."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.state.commands import GetDocument, SetDocument
from mcp_server.domain.tasks.commands import WaitForTasks
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.area import SystemKind
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.handling import Handler, HandlerFailed, Job
from mcp_server.kernel.values import Frozen
from mcp_server.kernel.views import View
from mcp_server.protocol.seam import RequestContext
from mcp_server.protocol.task_handles import ApprovalQuestions
from tests.conformance.fixtures import form
from tools.spec import ADD, Tool


class Anything(Frozen):
    """Whatever a scenario sends."""

    name: str = ""
    seconds: float = 0
    label: str = ""
    filename: str = ""


class Said(View):
    """Some text."""

    text: str


def slow(kind: str, **more: Any) -> Any:
    """A tool that is a system task: a handle where the client takes one, else its end is waited for."""

    async def ticket(desk: Desk, call: Call, args: Anything) -> TaskView:
        spec = TaskSpec(title=kind, kind=f"system.{kind}", input=args.model_dump(), retry=RetrySpec(max_attempts=1))
        created = await desk.system.create(spec.model_copy(update=more))
        return await desk.tasks.get(call, created.id)

    async def wait(desk: Desk, call: Call, args: Anything) -> Said:
        task = await ticket(desk, call, args)
        waited = await desk.tasks.wait(call, WaitForTasks(task_id=task.id, wait_seconds=30))
        return Said(text=str(waited.task.result))

    return {"ticket": ticket, "does": lambda desk: partial(wait, desk)}


def tool(name: str, **functions: Any) -> Tool[Any, Any]:
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
        **functions,
    )


TOOLS = (
    tool("slow_compute", **slow("slow_compute")),
    tool("failing_job", **slow("failing_job")),
    tool("protocol_error_job", **slow("protocol_error_job")),
    tool("confirm_delete", **slow("confirm_delete", requires_approval=True)),
    tool("multi_input", **slow("multi_input", requires_approval=True)),
)


class TestQuestions(ApprovalQuestions):
    """Two questions at once for `multi_input`, its answers kept in a document; the queue's own for everything else."""

    __test__ = False

    async def pending(self, ctx: RequestContext, call: Call, task: TaskView) -> dict[str, Any]:
        if task.kind != "system.multi_input" or task.approval != "required":
            return await super().pending(ctx, call, task)
        answered = await self._answered(call, task)
        return {name: form(name, "name") for name in ("first", "second") if name not in answered}

    async def answer(
        self, ctx: RequestContext, call: Call, task: TaskView, responses: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if task.kind != "system.multi_input":
            accepted = {name: {"action": "accept", "content": {"approve": True}} for name in responses}
            return await super().answer(ctx, call, task, accepted)
        answered = await self._answered(call, task) | set(responses)
        await self._desk.state.set(call, SetDocument(namespace="answers", key=task.id, value=sorted(answered)))
        if {"first", "second"} <= answered:
            await self._desk.approvals.answered(call, task.id, "accept", {"approve": True})
        return None

    async def _answered(self, call: Call, task: TaskView) -> set[str]:
        try:
            return set((await self._desk.state.get(call, GetDocument(namespace="answers", key=task.id))).value)
        except NotFound:
            return set()


async def compute(job: Job) -> str:
    await asyncio.sleep(job.input["seconds"])
    return f"computed {job.input['label']}"


async def fail(job: Job) -> None:
    await asyncio.sleep(0.5)
    raise HandlerFailed("it failed, as it should", retryable=False)


async def crash(job: Job) -> None:
    raise RuntimeError("a protocol error, as it should")


async def confirm(job: Job) -> str:
    return f"confirmed {job.task_id}"


def kind(name: str, handler: Handler) -> SystemKind:
    return SystemKind(f"system.{name}", lambda services: handler, at_once=4, seconds_max=600)


KINDS = (
    kind("slow_compute", compute),
    kind("failing_job", fail),
    kind("protocol_error_job", crash),
    kind("confirm_delete", confirm),
    kind("multi_input", confirm),
)
