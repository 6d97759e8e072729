"""How `tasks_wait` answers: how what was waited for stands, and what keeps the rest."""

from collections import Counter

from mcp_server.domain.tasks.results import WaitedTasks
from mcp_server.kernel.quoting import quoted


def say_waited(result: WaitedTasks) -> str:
    # One that was waited for alone is shown in full beside this, with all that it waits for.
    if result.task is not None:
        reason = result.task.cancel_reason
        said = f"Task {result.task.id} is {result.task.status}{f' ({quoted(reason)})' if reason else ''}"
    else:
        counts = Counter(task.status for task in result.tasks or ())
        said = f"{', '.join(f'{count} {status}' for status, count in counts.items())}{_each_waits(result)}"
    return said + ("." if result.reached else "; not reached yet, call again.")


def _each_waits(result: WaitedTasks) -> str:
    """What those of several wait for that have not ended, so that nobody waits in vain."""
    # Once it is reached, nobody waits for the rest.
    waiting = [one for one in result.tasks or () if one.waits_for] if not result.reached else []
    return "".join(f"; {quoted(one.title)} waits: {'; '.join(one.waits_for or ())}" for one in waiting)
