"""The rest of a cascade: what hung on tasks that were cancelled because another ended, where that is too much for one
transaction."""

from collections.abc import Sequence

from mcp_server.domain.events.thinning import last_event
from mcp_server.domain.tasks.creation import create_one
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.rows import load_anywhere, spread
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import RetrySpec, TaskSpec
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import InvalidTransition
from mcp_server.kernel.events import Origin
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Transaction

ENDINGS_KIND = "system.endings"
_RETRY = RetrySpec(max_attempts=20, delay_seconds=5, max_delay_seconds=300)


def require_no_ending(task: Task, action: str) -> None:
    """Refuse to stop what lets go of those that wait for tasks which have ended: nothing else would.

    Raises:
        InvalidTransition: it is such a task.
    """
    if task.kind == ENDINGS_KIND and action in ("cancel", "pause", "discard"):
        raise InvalidTransition(
            f"Task {task.id} does what the end of others does to those that depend on them, which would wait for ever.",
            next="Let it run: it takes a moment. tasks_control on those that depend on them stops these.",
            details={"task_id": task.id},
        )


def put_off(tx: Transaction, origin: Origin, task_ids: Sequence[str]) -> None:
    """Have the system go on with what hangs on these tasks, soon and in a transaction of its own."""
    spec = TaskSpec(
        title=f"Go on with what hung on {len(task_ids)} tasks",
        kind=ENDINGS_KIND,
        input={"task_ids": list(task_ids)},
        retry=_RETRY,
    )
    create_one(tx, origin, spec)


def go_on(tx: Transaction, origin: Origin, task_ids: Sequence[str]) -> int:
    """Do to the dependents of ended tasks what their end does, or to the first of them; how many were queued by it. One
    that was retried meanwhile has not ended, and what was done before is not done again."""
    tasks = [load_anywhere(tx, task_id) for task_id in task_ids]
    ended = [(task, last_event(tx, f"task.{task.status}", task.id)) for task in tasks if task.status in TERMINAL]
    return len(spread(tx, origin, [(task, cause) for task, cause in ended if cause is not None]))


def go_on_ending(services: Services) -> Handler:
    """Goes on with a cascade."""

    async def handle(job: Job) -> dict[str, int]:
        context = services.context
        return {"queued": await context.database.write(go_on, context.origin(SYSTEM_CALL), job.input["task_ids"])}

    return handle
