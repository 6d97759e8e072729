"""What waits for the answer to a question, and what becomes of it once that is there."""

from collections.abc import Sequence

from mcp_server.domain.approvals.views import ApprovalView, WaitingTask
from mcp_server.domain.tasks.awaited import waiting_on
from mcp_server.domain.tasks.commands import WaitForTasks
from mcp_server.domain.tasks.service import TaskService
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.store import Database

SETTLE_SECONDS = 2.0
"""How long is waited for what an answer sets going, which the server's own work does at once."""


class Awaiting:
    """The tasks that wait for answers, for who may see tasks."""

    def __init__(self, database: Database, tasks: TaskService) -> None:
        self._database = database
        self._tasks = tasks

    async def before(self, call: Call, question_task_id: str) -> list[str]:
        """The first tasks that wait for a question's own: once it is answered, nothing tells that they did."""
        return await waiting_on(self._database, question_task_id) if _may(call) else []

    async def after(self, call: Call, decided: ApprovalView, waited: Sequence[str]) -> list[WaitingTask]:
        """How those stand that waited for a question, once its answer has reached them."""
        if waited and decided.status != "pending":
            await self._tasks.wait(call, WaitForTasks(task_id=decided.task_id, wait_seconds=SETTLE_SECONDS))
        return await self.now(call, waited)

    async def now(self, call: Call, task_ids: Sequence[str]) -> list[WaitingTask]:
        """How tasks stand that wait for a question, or were to; nothing of one that is gone."""
        found: list[WaitingTask] = []
        for task_id in task_ids if _may(call) else ():
            try:
                task = await self._tasks.get(call, task_id)
            except NotFound:
                continue
            found.append(_waiting(task))
        return found


def _waiting(task: TaskView) -> WaitingTask:
    return WaitingTask(
        id=task.id,
        title=task.title,
        status=task.status,
        agent_id=task.agent_id,
        waits_for=task.waits_for,
        cancel_reason=task.cancel_reason,
    )


def waits_no_more(waiting: Sequence[WaitingTask]) -> list[str]:
    """What is said of tasks that were to wait for an answer, and will not use it."""
    over = (one for one in waiting if one.status not in ("pending", "paused", "queued"))
    return [f"{one.id}, which was to wait for the answer, is {one.status}." for one in over]


def _may(call: Call) -> bool:
    return call.actor.may(Permission.TASKS_READ) and call.is_offered("tasks")
