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
    wanted, there = _wanted(item), _there(task)
    yield from (name for name, value in wanted.items() if there[name] != value)
    if not waits_for.issubset(task.depends_on or ()):
        yield "what it waits for"


def _wanted(item: Item) -> dict[str, object]:
    return {
        "title": item.title,
        "description": item.description,
        "priority": item.priority,
        "tags": frozenset(tags_for(item)),
    }


def _there(task: TaskView) -> dict[str, object]:
    return {
        "title": task.title,
        "description": task.description or "",
        "priority": task.priority,
        "tags": frozenset(task.tags or ()),
    }


def _ids(blockers: Iterable[str], here: Here) -> set[str]:
    """Tasks that would be waited for; one that is new here goes by its item's id, which is that of no task."""
    return {here[blocker].id if blocker in here else blocker for blocker in blockers}
