"""How `tasks_wait` answers: how what was waited for stands, and what keeps the rest."""

from collections import Counter
from collections.abc import Sequence

from mcp_server.domain.tasks.outcomes import OutcomeView
from mcp_server.domain.tasks.results import WaitedTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.quoting import quoted


def say_waited(result: WaitedTasks) -> str:
    """What a model reads of it."""
    # One that was waited for alone is shown in full beside this, with all that it waits for.
    said = _how_many(result) if result.task is None else _how(result.task)
    return said + ("." if result.reached else "; not reached yet, call again.")


def _how(task: TaskView) -> str:
    why = f" ({quoted(task.cancel_reason)})" if task.cancel_reason else ""
    return f"Task {task.id} is {task.status}{why}"


def _how_many(result: WaitedTasks) -> str:
    counts = Counter(task.status for task in result.tasks or ())
    stands = ", ".join(f"{count} {status}" for status, count in counts.items())
    # Once it is reached, nobody waits for the rest.
    return stands if result.reached else f"{stands}{_each_waits(result.tasks or ())}"


def _each_waits(tasks: Sequence[OutcomeView]) -> str:
    """What those wait for that have not ended, so that nobody waits in vain."""
    return "".join(f"; {quoted(one.title)} waits: {'; '.join(one.waits_for)}" for one in tasks if one.waits_for)
