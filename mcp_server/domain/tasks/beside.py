"""What stands beside a task that its row does not hold: what its firings came to, who handed it over and why, and when
whoever works on it was last heard of."""

import json
from collections.abc import Mapping, Sequence

from mcp_server.domain.agents.signs import Sign, signs_of
from mcp_server.domain.events.told import handing_of, told_of
from mcp_server.domain.tasks.runs import last_runs
from mcp_server.domain.tasks.views import LeaseView, TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import Micros


async def with_all(database: Database, call: Call, task: TaskView, row: Row, now: Micros) -> TaskView:
    """One task with all of it."""
    handed = None if row["agent_id"] is None else await _handing(database, row)
    runs = None if row["schedule"] is None else await last_runs(database, task.id)
    (seen,) = await with_signs(database, call, [task], now)
    return seen.evolved({"handed_over": handed, "last_runs": runs})


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


async def _handing(database: Database, row: Row) -> dict[str, str] | None:
    """By whom, when and why a task came to the agent that it is for, where it was not created so."""
    events = await told_of(database, "task", row["id"], ("task.assigned",), (1, row["version"]))
    return next((handing_of(one) for one in events[:1] if json.loads(one["data"])["agent_id"] == row["agent_id"]), None)
