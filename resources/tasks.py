"""Resources of the task queue."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import LIMIT_MAX, floors
from resources.spec import Resource


async def _all(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    cursor = parameters.get("cursor")
    tasks, next_cursor, omitted = await desk.tasks.find(call, FindTasks(limit=LIMIT_MAX, cursor=cursor))
    counts = await desk.tasks.counts(call)
    known = floors(omitted=omitted, counts=counts)
    return {"counts": counts, "tasks": tasks, "omitted": omitted, "at_least": known, "next_cursor": next_cursor}


async def _one(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.tasks.get(call, parameters["task_id"])


RESOURCES = (
    Resource(
        uri_template="ops://tasks{?cursor}",
        name="tasks",
        title="Tasks",
        description="The newest tasks, and how many are unfinished by status.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        read=_all,
    ),
    Resource(
        uri_template="ops://tasks/{task_id}",
        name="task",
        title="Task",
        description="One task with its input, progress, result and lease.",
        toolset="tasks",
        permission=Permission.TASKS_READ,
        read=_one,
    ),
)
