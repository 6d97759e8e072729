"""What other tools' files hold, in one form: an item of work as it is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from mcp_server.domain.tasks.spec import Priority

State = Literal["open", "later", "finished", "dropped"]
"""What becomes of an item: work for now, put off, done there, or given up there."""

Mapped = tuple[tuple[str, str], ...]
"""What it is called there, and what becomes of it here."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work.

    Attributes:
        id: by which the others of the import name it.
        key: by which it is known here for good.
        title: one line that a task can have.
        description: text that a task can have.
        status: the word for it there; `state` is what that means here.
        state: what becomes of it.
        priority: as tasks have them.
        blocked_by: ids of what has to be done first.
        parent: the item whose part it is.
        tags: as tasks have them.
        assignee: a name there, which may be that of an agent here.
        not_before: when it may be begun, in ISO 8601.
        origin: what else is told of it there, for whoever works on it.
    """

    id: str
    key: str
    title: str
    description: str
    status: str
    state: State
    priority: Priority = "normal"
    blocked_by: tuple[str, ...] = ()
    parent: str | None = None
    tags: tuple[str, ...] = ()
    assignee: str | None = None
    not_before: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_taken(self) -> bool:
        """Whether it is still to be done."""
        return self.state in ("open", "later")

    @property
    def idempotency_key(self) -> str:
        """The key of the task that it becomes."""
        return f"import:{self.key}"


class Reading(NamedTuple):
    """How a file is read: under which name of a project, and which statuses besides the known ones are open work."""

    project: str
    also_open: frozenset[str] = frozenset()


class Source(NamedTuple):
    """A tool whose files are understood.

    Attributes:
        name: of the tool, as `--from` takes it.
        places: where its file lies below the folder of a project.
        read: makes items of what a file holds.
        maps: what maps to what, for people.
    """

    name: str
    places: tuple[str, ...]
    read: Callable[[bytes, Reading], list[Item]]
    maps: Mapped
