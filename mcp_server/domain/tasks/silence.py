"""When whoever holds a lease was last heard of, so that a task which lies still tells why."""

from collections.abc import Mapping, Sequence

from mcp_server.domain.agents.signs import Sign, signs_of
from mcp_server.domain.tasks.views import LeaseView, TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.store import Database
from mcp_server.kernel.times import Micros


async def with_signs(database: Database, call: Call, tasks: Sequence[TaskView], now: Micros) -> list[TaskView]:
    """The tasks, each that another works on with the seconds since that one's last sign of life, where there is any.

    A sign keeps no lease: only a report does, so that until when it lasts stands beside it as it is.
    """
    leases = [task.lease for task in tasks if task.lease is not None and task.lease.agent_id != call.party]
    signs = await signs_of(database, [id_ for lease in leases for id_ in _holders(lease)]) if leases else {}
    return [_seen(task, signs, now) for task in tasks]


def _holders(lease: LeaseView) -> list[str]:
    """Whose signs tell of a lease's holder, the instance's before its agent's."""
    return [id_ for id_ in (lease.instance_id, lease.agent_id) if id_ is not None]


def _seen(task: TaskView, signs: Mapping[str, Sign], now: Micros) -> TaskView:
    if task.lease is None:
        return task
    known = next((signs[id_] for id_ in _holders(task.lease) if id_ in signs), None)
    ago = None if known is None else known.seconds_ago(now)
    return task.evolved({"lease": task.lease.evolved({"last_seen_seconds_ago": ago})})
