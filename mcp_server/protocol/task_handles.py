"""The extension `io.modelcontextprotocol/tasks` over the queue: a handle is a domain task's id, so it survives a
restart and works from any process.

A slow tool answers a client that declared the extension with a handle at once; others get its ordinary answer. A task
that waits for a person's approval is `input_required`: the client asks its user and answers with `tasks/update`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict, Field

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.refusals import no_task
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, InvalidTransition, OpsError, PermissionDenied
from mcp_server.kernel.quoting import quoted, told
from mcp_server.kernel.views import dumped
from mcp_server.protocol.asking import Dialog, dialog_for
from mcp_server.protocol.offer import Offer
from mcp_server.protocol.seam import RequestContext, Seam, bug, protocol_error

if TYPE_CHECKING:
    from mcp_server.domain.approvals.seals import QuestionSeal

EXTENSION = "io.modelcontextprotocol/tasks"
HEADER_MISMATCH = -32020
POLL_MS = 1000
COMPLETE = {"resultType": "complete"}
_APPROVAL = "approval"


class TaskParams(types.RequestParams):
    """Names a task."""

    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    """Answers to what a task asked for, by the keys it gave."""

    model_config = ConfigDict(populate_by_name=True)
    input_responses: dict[str, dict[str, Any]] = Field(alias="inputResponses")


class Questions(Protocol):
    """What a task may ask of the person at the client."""

    async def pending(self, ctx: RequestContext, call: Call, task: TaskView) -> dict[str, Any]:
        """What is asked, by keys."""
        ...

    async def answer(
        self, ctx: RequestContext, call: Call, task: TaskView, responses: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Take in what was answered."""
        ...


class ApprovalQuestions:
    """The one question that the queue itself asks: may this task start? A key seals it: bound to the user, to what is
    shown and to a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def pending(self, ctx: RequestContext, call: Call, task: TaskView) -> dict[str, Any]:
        """The approval that a task waits for, where this client can ask its user, who may decide."""
        asked = await self._asked(ctx, call, task)
        if asked is None:
            return {}
        dialog, seal = asked
        return {f"{_APPROVAL}.{await seal.key(dialog.mode)}": dialog.request()}

    async def answer(
        self, ctx: RequestContext, call: Call, task: TaskView, responses: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Record the person's decision; one who looked away has decided nothing.

        Raises:
            PermissionDenied: the client did not declare that it can ask, or its user is not asked.
            Conflict: the answer is not one to what is asked now.
        """
        if not (_is_asked_about(task) and responses):
            return
        asked = await self._asked(ctx, call, task)
        if asked is None:
            raise PermissionDenied(f"Nobody at this client is asked about {task.id}.", next="Wait for its people.")
        dialog, seal = asked
        # Others' keys are passed over, as the protocol has it.
        for key in filter(lambda key: key.startswith(_APPROVAL), responses):
            if not await seal.opens(dialog.mode, key.removeprefix(_APPROVAL).removeprefix(".")):
                raise Conflict(f"That answers nothing that {task.id} asks now.", next="Look again with tasks/get.")
            if dialog.mode == "form":
                said = responses[key]
                await self._desk.approvals.answered(call, task.id, said.get("action"), said.get("content"))

    async def _asked(self, ctx: RequestContext, call: Call, task: TaskView) -> "tuple[Dialog, QuestionSeal] | None":
        asked = await self._desk.approvals.pending(call, task.id) if _is_asked_about(task) else None
        if asked is None:
            return None
        question, seal = asked
        dialog = dialog_for(ctx, question)
        return None if dialog is None else (dialog, seal)


def _is_asked_about(task: TaskView) -> bool:
    return task.approval == "required" and task.status not in TERMINAL


class TaskHandles:
    """`tasks/get`, `tasks/update`, `tasks/cancel`, and the handles that slow tools return."""

    def __init__(self, desk: Desk, seam: Seam, offer: Offer, questions: Questions) -> None:
        self._desk = desk
        self._seam = seam
        self._offer = offer
        self._questions = questions

    async def get(self, ctx: RequestContext, params: TaskParams) -> dict[str, Any]:
        """The task with its result once it has one."""
        self._require(ctx, "tasks/get", params.task_id)

        async def get(call: Call) -> dict[str, Any]:
            return await self._shown(ctx, call, params.task_id)

        return await self._run(ctx, "tasks/get", params.task_id, get)

    async def update(self, ctx: RequestContext, params: UpdateParams) -> dict[str, Any]:
        """Take in what people answered."""
        self._require(ctx, "tasks/update", params.task_id)

        async def update(call: Call) -> dict[str, Any]:
            task = await self._own(call, params.task_id)
            await self._questions.answer(ctx, call, task, params.input_responses)
            return COMPLETE

        return await self._run(ctx, "tasks/update", params.task_id, update)

    async def cancel(self, ctx: RequestContext, params: TaskParams) -> dict[str, Any]:
        """Ask for the task's end; one that has ended is acknowledged all the same."""
        self._require(ctx, "tasks/cancel", params.task_id)

        async def cancel(call: Call) -> dict[str, Any]:
            await self._own(call, params.task_id, control=self._offered(ctx).has_tools("tasks_control"))
            await self._desk.tasks.cancel_own(call, params.task_id)
            return COMPLETE

        return await self._run(ctx, "tasks/cancel", params.task_id, cancel)

    async def may_see(self, ctx: RequestContext, task_id: str) -> bool:
        """Whether the caller has a handle of this task, and is told of its changes."""
        if "notifications/tasks" not in self._offered(ctx).methods or not declares_extension(ctx):
            return False
        try:
            await self._own(await self._seam.spoken(ctx, self._seam.call_of(ctx)), task_id)
        except OpsError:
            return False
        return True

    async def shown(self, ctx: RequestContext, task_id: str) -> dict[str, Any]:
        """The task as `tasks/get` and notifications show it."""
        return await self._shown(ctx, await self._seam.spoken(ctx, self._seam.call_of(ctx)), task_id)

    async def _shown(self, ctx: RequestContext, call: Call, task_id: str) -> dict[str, Any]:
        task = await self._own(call, task_id)
        asked = await self._questions.pending(ctx, call, task) if "tasks/update" in self._offered(ctx).methods else {}
        shown = COMPLETE | envelope(task)
        if asked:
            return shown | {"status": "input_required", "inputRequests": asked}
        return shown | outcome(task)

    async def _own(self, call: Call, task_id: str, *, control: bool = True) -> TaskView:
        """The task, if the caller may hold a handle of it: it is its principal's own, or its agent is one that the
        caller may speak as, or the caller may control tasks, where `control` lets that count.

        Raises:
            NotFound: no such task, or none that this caller may know of.
        """
        task = await self._desk.tasks.get(call, task_id)
        mine = call.is_own(task.created_by) or (control and call.actor.may(Permission.TASKS_CONTROL))
        if not (mine or await self._may_speak(call, task)):
            raise no_task(task_id)
        return task

    async def _may_speak(self, call: Call, task: TaskView) -> bool:
        agents = filter(None, (task.agent_id, task.lease and task.lease.agent_id))
        speaking = self._desk.get(Speaking)
        return any([await speaking.may_speak_as(call.actor, agent_id) for agent_id in agents])

    async def _run(
        self, ctx: RequestContext, method: str, task_id: str, action: Callable[[Call], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        async def allowed(call: Call) -> dict[str, Any]:
            call.actor.require(self._offer.methods[method].permission)
            return await action(call)

        try:
            return await self._seam.run(ctx, method, allowed)
        except (Conflict, InvalidTransition, PermissionDenied) as error:
            raise MCPError(code=INVALID_PARAMS, message=error.message) from error
        except OpsError as error:
            raise protocol_error(error, task_id) from error

    def _offered(self, ctx: RequestContext) -> Offer:
        """What is there for who makes the request."""
        return self._offer.within(self._seam.reached(ctx))

    def _require(self, ctx: RequestContext, method: str, task_id: str) -> None:
        is_there = method in self._offered(ctx).methods
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS or not is_there:
            raise MCPError(code=METHOD_NOT_FOUND, message="Method not found", data=ctx.method)
        require_extension(ctx)
        named = None if ctx.request is None else ctx.request.headers.get("mcp-name")
        if named is not None and named.strip() != task_id:
            raise MCPError(
                code=HEADER_MISMATCH, message=f"The header Mcp-Name is {named!r}, but taskId is {task_id!r}."
            )


def require_extension(ctx: RequestContext) -> None:
    """Refuse a client that did not declare the extension.

    Raises:
        MCPError: with the capability that is missing, as the protocol wants it.
    """
    if not declares_extension(ctx):
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message=f"The client did not declare the extension {EXTENSION}.",
            data={"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def declares_extension(ctx: RequestContext) -> bool:
    """Whether the client of this request takes handles."""
    capabilities = ctx.session.client_capabilities
    declared = None if capabilities is None else capabilities.extensions
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and bool(declared) and EXTENSION in (declared or {})


def handle(task: TaskView) -> dict[str, Any]:
    """What a slow tool answers at once."""
    return {"resultType": "task"} | envelope(task)


def envelope(task: TaskView) -> dict[str, Any]:
    """The fields that every form of a task has. It stays readable for good: finished work is archived, not dropped."""
    progress = task.progress or {}
    worker = progress.get("message") or progress.get("step")
    said = f"Task {task.id} is {task.status}." + (f" Its worker says {quoted(worker)}." if worker else "")
    return {
        "taskId": task.id,
        "status": _STATUSES.get(task.status, "working"),
        "statusMessage": said,
        "createdAt": task.created_at,
        "lastUpdatedAt": task.updated_at,
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def outcome(task: TaskView) -> dict[str, Any]:
    """An ended task's result: that of a tool, an error where the task failed; for a bug, a protocol error."""
    error = task.error or {}
    if task.status in ("failed", "timed_out") and error.get("code") == "bug":
        told = bug(task.id)
        return {"status": "failed", "error": {"code": INTERNAL_ERROR, "message": told.message, "data": told.details}}
    return {"result": tool_result(task)} if task.status in ("completed", "failed", "timed_out") else {}


def tool_result(task: TaskView) -> dict[str, Any]:
    """An ended task as the result of the tool that waited for it."""
    error = task.error or {}
    content = {"task": dumped(task), "reached": True}
    failed = task.status in ("failed", "timed_out")
    why = f" It is said why: {quoted(error['message'])}." if failed and "message" in error else ""
    text = told(f"Task {task.id} is {task.status}.{why}", content)
    return {"content": [{"type": "text", "text": text}], "structuredContent": content, "isError": failed}


_STATUSES = {"completed": "completed", "failed": "completed", "timed_out": "completed", "cancelled": "cancelled"}
