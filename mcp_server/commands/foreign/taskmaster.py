"""task-master: `tasks.json`, by tag (context) or, before there were tags, one list."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import Field

from mcp_server.commands.foreign.item import (
    Id,
    Item,
    Reading,
    Record,
    Source,
    State,
    checked,
    parsed,
    state_of,
    tags_of,
    text_of,
    title_of,
    unusable,
)
from mcp_server.domain.tasks.spec import Priority

STATES: Mapping[str, State] = {
    "pending": "open",
    "in-progress": "open",
    "review": "open",
    "blocked": "open",
    "deferred": "later",
    "done": "finished",
    "completed": "finished",
    "cancelled": "dropped",
}
PRIORITIES: Mapping[str, Priority] = {"low": "low", "medium": "normal", "high": "high", "critical": "critical"}
BEFORE_TAGS = "master"
"""The tag of a list that has none."""


class _Task(Record):
    id: Id = Field(min_length=1)
    title: str = ""
    description: str = ""
    details: str = ""
    testStrategy: str = ""  # noqa: N815 - as the file spells it
    status: str = "pending"
    priority: str = "medium"
    assignee: str | None = None
    dependencies: tuple[Id, ...] = ()
    subtasks: tuple["_Task", ...] = ()


class _List(Record):
    tasks: tuple[_Task, ...]


def read(data: bytes, reading: Reading) -> list[Item]:
    """The tasks of all tags, with their subtasks.

    Raises:
        ValidationFailed: naming the tag and the task.
    """
    items = dict[str, Item]()
    for tag, whole in _lists(parsed(data, "The file")):
        tasks = checked(_List, whole, f"Tag {tag!r}").tasks
        names = frozenset(task.id for task in tasks)
        for item in (each for task in tasks for each in _items(task, tag, reading, names)):
            if item.id in items:
                raise unusable(f"Task {item.id}", "there are two of that id")
            items[item.id] = item
    return list(items.values())


def _lists(whole: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(whole, dict):
        raise unusable("The file", "it is no object with tags or tasks")
    members = cast("dict[str, Any]", whole)
    if isinstance(members.get("tasks"), list):
        yield BEFORE_TAGS, members
        return
    found = [tag for tag, member in members.items() if isinstance(member, dict) and "tasks" in member]
    if not found:
        raise unusable("The file", "none of its members has tasks")
    yield from ((tag, members[tag]) for tag in found)


def _items(task: _Task, tag: str, reading: Reading, names: frozenset[str]) -> Iterator[Item]:
    yield _item(task, task.id, None, tag, reading, names)
    siblings = frozenset(f"{task.id}.{each.id}" for each in task.subtasks)
    for each in task.subtasks:
        yield _item(each, f"{task.id}.{each.id}", task, tag, reading, names | siblings)


def _item(task: _Task, path: str, above: _Task | None, tag: str, reading: Reading, names: frozenset[str]) -> Item:
    where = f"Task {path} of tag {tag!r}"
    priority = task.priority if above is None or "priority" in task.model_fields_set else above.priority
    if priority not in PRIORITIES:
        raise unusable(where, f"its priority {priority!r} is none of {', '.join(PRIORITIES)}")
    return Item(
        id=f"{tag}:{path}",
        key=f"taskmaster:{reading.project}:{tag}:{path}",
        title=title_of(task.title, f"Task {path}"),
        description=text_of(("", task.description), ("Details", task.details), ("Test", task.testStrategy)),
        status=task.status,
        state=state_of(task.status, STATES, reading, where),
        priority=PRIORITIES[priority],
        blocked_by=tuple(f"{tag}:{_full(name, above, names)}" for name in task.dependencies),
        parent=None if above is None else f"{tag}:{above.id}",
        tags=tags_of(("taskmaster", tag)),
        assignee=task.assignee,
        origin={"tag": tag},
    )


def _full(name: str, above: _Task | None, names: frozenset[str]) -> str:
    """A dependency's path: a subtask names its siblings by their number alone."""
    sibling = name if above is None else f"{above.id}.{name}"
    return sibling if sibling in names else name


TASKMASTER = Source(
    "taskmaster",
    (".taskmaster/tasks/tasks.json", "tasks/tasks.json"),
    read,
    (
        ("a task or subtask", "a task; key import:taskmaster:PROJECT:TAG:ID, of a subtask ID.SUBTASK"),
        ("title", "title, one line of up to 200 characters"),
        ("description, details, testStrategy", "description"),
        ("priority low, medium, high, critical", "low, normal, high, critical; a subtask without one has its task's"),
        ("pending, in-progress, review, blocked", "a task to do"),
        ("deferred", "a task that waits until somebody reschedules it"),
        ("done, completed", "not taken; what waits for it need not wait"),
        ("cancelled", "not taken; what waits for it need not wait"),
        ("dependencies", "depends_on; a subtask's are its siblings, or ID.SUBTASK"),
        ("subtasks", "their task depends on them, tagged parent/ID; they wait for what it waits for"),
        ("tag (context)", "a tag; tasks of different tags have nothing to do with each other"),
        ("assignee", "the agent of that name; where there is none, anybody"),
    ),
)
