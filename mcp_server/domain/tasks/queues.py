"""Queues: which there are. One in which no unfinished task stands goes again, since a claim looks at each."""

from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.spec import SYSTEM_WORKER
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.events import Origin
from mcp_server.kernel.handling import Handler, Job
from mcp_server.kernel.services import Services
from mcp_server.kernel.store import Transaction

QUEUES_KIND = "system.queues"
EMPTY_KEPT = 100
"""So many may stand empty: some always do, and tasks come back to them."""
_AT_ONCE = 1000


def ensure_queue(tx: Transaction, task: Task) -> None:
    """See to it that the queue is there in which a task stands that was not unfinished before, or stood elsewhere. Said
    anew in every transaction: it may have gone meanwhile."""
    if ("queue", task.queue) in tx.notes:
        return
    tx.run(
        "queue_insert",
        name=task.queue,
        kind=task.kind,
        agent_id=SYSTEM_WORKER if task.system else task.agent_id,
        capabilities=task.required_capabilities,
    )
    tx.notes["queue", task.queue] = True


def drop_some(tx: Transaction, origin: Origin, limit: int) -> int:
    """Drop queues in which no unfinished task stands; how many. On PostgreSQL nobody else who has said that a queue is
    there is in the midst of a transaction then, so what it puts there is seen."""
    del origin
    tx.run("queues_guard")
    return len(tx.all("queues_drop", limit=limit))


def drop_queues(services: Services) -> Handler:
    """Drops the queues that nobody uses."""

    async def handle(job: Job) -> dict[str, int]:
        dropped = 0
        while some := await services.database.write(drop_some, services.context.origin(SYSTEM_CALL), _AT_ONCE):
            dropped += some
            await job.report(f"{dropped} queues dropped")
        return {"dropped": dropped}

    return handle


async def are_many_empty(services: Services) -> bool:
    """Whether more queues stand empty than may."""
    row = await services.database.fetch_one("queues_empty", limit=EMPTY_KEPT + 1)
    return row is not None and row["n"] > EMPTY_KEPT
