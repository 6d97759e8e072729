"""What a call says to people who are to say yes to it: its words, why it is made, and what stands behind the ids in
them, as that is while people are asked."""

import re
from typing import Any

from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.quoting import named, quoted
from tools.spec import Part

_TITLE_SHOWN = 80
_REASON_SHOWN = 200
_QUOTED_OR_ID = re.compile(r'"(?:[^"\\]|\\.)*"|\b(?:task|agent)_[a-z0-9]{12}\b(?! \()')
"""What others wrote stands in quotes, and an id in there is one of their words; what stands behind one may be said."""


def said_by(part: Part, command: Any) -> str:
    """The words of a call; with its reason, where it has one."""
    reason = getattr(command, "reason", None)
    return part.says(command) + (f" Reason: {quoted(reason, _REASON_SHOWN)}." if isinstance(reason, str) else "")


async def with_titles(desk: Desk, call: Call, says: str) -> str:
    """The words with the title of a task behind its id, and the times of a schedule; the name of an agent behind its
    own. Of what its caller may not see, or is not there, the id alone is said."""
    ids = dict.fromkeys(one for one in _QUOTED_OR_ID.findall(says) if not one.startswith('"'))
    behind = {one: await _behind(desk, call, one) for one in ids}
    return _QUOTED_OR_ID.sub(lambda found: found[0] + behind.get(found[0], ""), says)


async def _behind(desk: Desk, call: Call, id_: str) -> str:
    try:
        if id_.startswith("agent_"):
            return f" ({named((await desk.agents.get(call, id_)).name)})"
        task = await desk.tasks.get(call, id_)
    except OpsError:
        return ""
    return f" ({quoted(task.title, _TITLE_SHOWN)}{_times(task)})"


def _times(task: TaskView) -> str:
    """When a task runs, as it is before the call: who has it moved says only when it will be."""
    if task.schedule is not None:
        return f", so far at {quoted(task.schedule['cron'])} {named(task.schedule['timezone'])}{_next(task)}"
    return "" if task.run_at is None else f", so far not before {task.run_at}"


def _next(task: TaskView) -> str:
    return f", next at {task.next_firings[0]}" if task.next_firings else f", {task.status}"
