"""Tasks that are for one agent alone: pinned, handed over when it leaves, assigned to another."""

from typing import Any

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.rows import is_staying, named_agent, require_staying
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.queues import ensure_queue
from mcp_server.domain.tasks.refusals import being_cancelled, servers_own
from mcp_server.domain.tasks.rules import NO_LEASE, TERMINAL
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import InvalidTransition
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import Micros


def pinned_to(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The unfinished tasks that nobody but an agent may take up."""
    del origin
    ids = [row["id"] for row in tx.all("tasks_pinned", agent_id=agent_id) if row["status"] not in TERMINAL]
    return Holding.of("pinned_tasks", ids)


def hand_over(
    tx: Transaction, origin: Origin, leaving: Speaker, heir: Speaker, reason: str | None, at_work: bool
) -> Holding | None:
    """Pin to another agent what is pinned to one that leaves, also what has ended and might be retried."""
    ids: list[str] = []
    for row in tx.all("tasks_pinned_whole", agent_id=leaving.agent_id):
        new, event = Task.adopt(row).assigned(heir.agent_id, origin.at)
        ensure_queue(tx, new)
        tx.record(origin, event.because(reason))
        ids.append(new.id)
    return Holding.of("pinned_tasks", ids)


def assigned(tx: Transaction, task: Task, agent: str | None, now: Micros) -> tuple[Task, Event]:
    """A task for one agent alone, by id or name, or for anybody. It is taken from whoever else works on it, through no
    fault of its own: that attempt does not count.

    Raises:
        NotFound: there is no such agent.
        InvalidTransition: the task has completed, is being cancelled or is the server's own, or the agent has left.
    """
    task.require_legal("assign")
    require_ordinary(task)
    if task.cancel_requested and task.status == "running":
        raise being_cancelled(task.id)
    heir = None if agent is None else named_agent(tx, agent)
    if heir is not None:
        require_staying(heir)
    agent_id = None if heir is None else heir.id
    new, event = task.assigned(agent_id, now, **_taken(task, agent_id, now))
    ensure_queue(tx, new)
    return new, event


def _taken(task: Task, agent_id: str | None, now: Micros) -> dict[str, Any]:
    if task.status != "running" or agent_id == task.lease_agent_id:
        return {}
    forgiven = {"attempts_forgiven": task.attempts_forgiven + 1, "started_at": None}
    return NO_LEASE | forgiven | {"status": "queued", "ready_at": now}


def require_ordinary(task: Task) -> None:
    """Refuse to change what the server itself works on.

    Raises:
        InvalidTransition: it is the server's own.
    """
    if task.system:
        raise servers_own(task.id)


def require_agent_stays(tx: Transaction, task: Task) -> None:
    """A task that is retried must have somebody who can take it up.

    Raises:
        InvalidTransition: it is for an agent alone that has left.
    """
    if task.agent_id is not None and not is_staying(tx, task.agent_id):
        raise InvalidTransition(
            f"Task {task.id} is for agent {task.agent_id} alone, which is there no more.",
            next=f"First tasks_control(task_ids=['{task.id}'], action='assign', agent_id=...); null is for anybody.",
            details={"task_id": task.id, "agent_id": task.agent_id},
        )
