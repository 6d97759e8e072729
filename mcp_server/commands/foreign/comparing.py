"""What is different between a foreign item and the task that it became; which stays as it is here."""

from collections.abc import Iterable, Iterator, Mapping

from mcp_server.commands.foreign.item import Item
from mcp_server.commands.foreign.specs import Blockers, tags_for
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.views import TaskView

Here = Mapping[str, TaskView]
"""By item, the task that it became earlier."""


def changes(item: Item, here: Here, blockers: Blockers) -> Iterator[str]:
    """What a person should know of one item that is here already, in words."""
    task = here[item.id]
    if item.is_taken:
        different = ", ".join(_different(item, task, _ids(blockers[item.id], here)))
        if different:
            yield f"{item.id} differs from {task.id} in {different}"
    elif task.status not in TERMINAL:
        yield f"{item.id} is {item.status} there, and {task.id} is {task.status} here"


def _different(item: Item, task: TaskView, waits_for: set[str]) -> Iterator[str]:
    pairs: dict[str, tuple[object, object]] = {
        "title": (task.title, item.title),
        "description": (task.description or "", item.description),
        "priority": (task.priority, item.priority),
        "tags": (set(task.tags or ()), set(tags_for(item))),
        "what it waits for": (waits_for - set(task.depends_on or ()), set[str]()),
    }
    return (name for name, (ours, theirs) in pairs.items() if ours != theirs)


def _ids(blockers: Iterable[str], here: Here) -> set[str]:
    """Tasks that would be waited for; one that is new here goes by its item's id, which is that of no task."""
    return {here[blocker].id if blocker in here else blocker for blocker in blockers}
