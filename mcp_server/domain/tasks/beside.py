"""What stands beside a task that its row does not hold: its attempts, what its firings came to, who handed it over and
why, and when whoever works on it was last heard of."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain

from mcp_server.domain.agents.signs import Sign, names_of, signs_of
from mcp_server.domain.events.told import handing_of, told_of
from mcp_server.domain.tasks.attempts import attempts_at
from mcp_server.domain.tasks.runs import last_runs
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import Micros


async def with_all(database: Database, call: Call, task: TaskView, row: Row, now: Micros) -> TaskView:
    """One task with all of it."""
    handed = None if row["agent_id"] is None else await _handing(database, row)
    runs = None if row["schedule"] is None else await last_runs(database, task.id)
    (seen,) = await with_signs(database, call, [task], now)
    attempts = await attempts_at(database, row)
    return seen.evolved({"handed_over": handed, "last_runs": runs, "attempts": attempts})


async def with_signs(database: Database, call: Call, tasks: Sequence[TaskView], now: Micros) -> list[TaskView]:
    """The tasks, each that somebody works on with that one's name, and where it is another with the seconds since that
    one's last sign of life, where there is any.

    A sign keeps no lease: only a report does, so that until when it lasts stands beside it as it is.
    """
    watched = [_holders(task, call.party) for task in tasks]
    ids = list(chain.from_iterable(watched))
    signs = await signs_of(database, ids) if ids else {}
    agents = [task.lease.agent_id for task in tasks if task.lease is not None]
    names = await names_of(database, agents) if agents else {}
    return [_named(_seen(*one, signs, now), names) for one in zip(tasks, watched, strict=True)]


def _holders(task: TaskView, party: str) -> Sequence[str]:
    """Whose signs tell of who works on a task, the instance's before its agent's; nothing for who does so itself."""
    lease = task.lease
    return () if lease is None or lease.agent_id == party else list(filter(None, (lease.instance_id, lease.agent_id)))


def _named(task: TaskView, names: Mapping[str, str]) -> TaskView:
    if task.lease is None:
        return task
    return task.evolved({"lease": task.lease.evolved({"agent": names.get(task.lease.agent_id)})})


def _seen(task: TaskView, holders: Sequence[str], signs: Mapping[str, Sign], now: Micros) -> TaskView:
    known = next(filter(None, map(signs.get, holders)), None)
    if known is None or task.lease is None:
        return task
    return task.evolved({"lease": task.lease.evolved({"last_seen_seconds_ago": known.seconds_ago(now)})})


async def _handing(database: Database, row: Row) -> dict[str, str] | None:
    """By whom, when and why a task came to the agent that it is for, where it was not created so."""
    events = await told_of(database, "task", row["id"], ("task.assigned",), (1, row["version"]))
    return next((handing_of(one) for one in events[:1] if json.loads(one["data"])["agent_id"] == row["agent_id"]), None)
