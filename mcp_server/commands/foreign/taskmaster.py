"""task-master: `tasks.json`, by tag (context) or, before there were tags, one list."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from pydantic import Field

from mcp_server.commands.foreign.item import Item, Reading, Source, State
from mcp_server.commands.foreign.parsing import Id, Record, checked, once, parsed, state_of, unusable
from mcp_server.commands.foreign.wording import tags_of, text_of, title_of
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

    def priority_below(self, above: "_Task | None") -> str:
        """Its own priority; a part that has none has that of the whole."""
        return self.priority if above is None or "priority" in self.model_fields_set else above.priority


class _List(Record):
    tasks: tuple[_Task, ...]


class _Place(NamedTuple):
    """Where a task stands: in a tag, as a part of another task, among others that have these paths."""

    tag: str
    above: _Task | None
    paths: frozenset[str]

    def path(self, name: str) -> str:
        """The path of a task by what it is called here."""
        return name if self.above is None else f"{self.above.id}.{name}"

    def named(self, name: str) -> str:
        """What a dependency means: a part names its siblings by their number alone."""
        path = self.path(name)
        return f"{self.tag}:{path if path in self.paths else name}"


def read(data: bytes, reading: Reading) -> list[Item]:
    """The tasks of all tags, with their subtasks.

    Raises:
        ValidationFailed: naming the tag and the task.
    """
    lists = _lists(parsed(data, "The file"))
    return once(found for tag, whole in lists.items() for found in _of_tag(tag, whole, reading))


def _lists(whole: Any) -> Mapping[str, Any]:
    """What has tasks, by tag; a list from before there were tags is that of the tag that they began with."""
    tags = {BEFORE_TAGS: whole} if isinstance(_tasks(whole), list) else whole
    found = {tag: member for tag, member in _members(tags).items() if _tasks(member) is not None}
    if not found:
        raise unusable("The file", "none of its members has tasks")
    return found


def _members(whole: Any) -> dict[str, Any]:
    if not isinstance(whole, dict):
        raise unusable("The file", "it is no object with tags or tasks")
    return cast("dict[str, Any]", whole)


def _tasks(whole: Any) -> Any:
    return cast("dict[str, Any]", whole).get("tasks") if isinstance(whole, dict) else None


def _of_tag(tag: str, whole: Any, reading: Reading) -> Iterator[tuple[str, Item]]:
    tasks = checked(_List, whole, f"Tag {tag!r}").tasks
    place = _Place(tag, None, frozenset(task.id for task in tasks))
    for task in tasks:
        yield _item(task, place, reading)
        yield from _parts(task, place, reading)


def _parts(task: _Task, place: _Place, reading: Reading) -> Iterator[tuple[str, Item]]:
    inside = place._replace(above=task)
    inside = inside._replace(paths=place.paths.union(inside.path(each.id) for each in task.subtasks))
    return (_item(each, inside, reading) for each in task.subtasks)


def _item(task: _Task, place: _Place, reading: Reading) -> tuple[str, Item]:
    path = place.path(task.id)
    where = f"Task {path} of tag {place.tag!r}"
    item = Item(
        id=f"{place.tag}:{path}",
        key=f"taskmaster:{reading.project}:{place.tag}:{path}",
        title=title_of(task.title, f"Task {path}"),
        description=text_of(("", task.description), ("Details", task.details), ("Test", task.testStrategy)),
        status=task.status,
        state=state_of(task.status, STATES, reading, where),
        priority=_priority(task.priority_below(place.above), where),
        blocked_by=tuple(map(place.named, task.dependencies)),
        parent=None if place.above is None else f"{place.tag}:{place.above.id}",
        tags=tags_of(("taskmaster", place.tag)),
        assignee=task.assignee,
        origin={"tag": place.tag},
    )
    return where, item


def _priority(said: str, where: str) -> Priority:
    if said not in PRIORITIES:
        raise unusable(where, f"its priority {said[:60]!r} is none of {', '.join(PRIORITIES)}")
    return PRIORITIES[said]


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
