"""beads: `.beads/issues.jsonl`, an issue a line."""

from collections.abc import Container, Mapping

from pydantic import Field

from mcp_server.commands.foreign.item import Item, Reading, Source, State
from mcp_server.commands.foreign.parsing import Id, Record, checked, once, parsed, state_of
from mcp_server.commands.foreign.wording import tags_of, text_of, title_of
from mcp_server.domain.tasks.spec import Priority

STATES: Mapping[str, State] = {
    "open": "open",
    "in_progress": "open",
    "blocked": "open",
    "hooked": "open",
    "review": "open",
    "deferred": "later",
    "closed": "finished",
    "pinned": "dropped",
    "tombstone": "dropped",
}
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low", "low")
BLOCKING = frozenset({"blocks", "conditional-blocks", "waits-for"})
ABOVE = frozenset({"parent-child"})


class _Dependency(Record):
    depends_on_id: Id
    type: str = "blocks"


class _Issue(Record):
    id: Id = Field(min_length=1)
    title: str = ""
    description: str = ""
    design: str = ""
    acceptance_criteria: str = ""
    notes: str = ""
    status: str = "open"
    priority: int = Field(default=2, ge=0, le=4)
    issue_type: str = "task"
    assignee: str | None = None
    labels: tuple[str, ...] = ()
    dependencies: tuple[_Dependency, ...] = ()
    defer_until: str | None = None
    external_ref: str | None = None

    def others(self, types: Container[str]) -> tuple[str, ...]:
        """What it depends on, in some ways."""
        return tuple(each.depends_on_id for each in self.dependencies if each.type in types)


def read(data: bytes, reading: Reading) -> list[Item]:
    """The issues of a file.

    Raises:
        ValidationFailed: naming the line.
    """
    lines = ((f"Line {number}", line) for number, line in enumerate(data.splitlines(), 1) if line.strip())
    return once((where, _item(checked(_Issue, parsed(line, where), where), where, reading)) for where, line in lines)


def _item(issue: _Issue, where: str, reading: Reading) -> Item:
    return Item(
        id=issue.id,
        key=f"beads:{reading.project}:{issue.id}",
        title=title_of(issue.title, issue.id),
        description=text_of(
            ("", issue.description),
            ("Design", issue.design),
            ("Accepted when", issue.acceptance_criteria),
            ("Notes", issue.notes),
        ),
        status=issue.status,
        state=state_of(issue.status, STATES, reading, where),
        priority=PRIORITIES[issue.priority],
        blocked_by=issue.others(BLOCKING),
        parent=next(iter(issue.others(ABOVE)), None),
        tags=tags_of(("beads", issue.issue_type, *issue.labels)),
        assignee=issue.assignee,
        not_before=issue.defer_until,
        origin={"type": issue.issue_type, "ref": issue.external_ref},
    )


BEADS = Source(
    "beads",
    (".beads/issues.jsonl", ".beads/beads.jsonl"),
    read,
    (
        ("an issue", "a task; key import:beads:PROJECT:ID"),
        ("title", "title, one line of up to 200 characters"),
        ("description, design, acceptance criteria, notes", "description"),
        ("priority 0, 1, 2, 3, 4", "critical, high, normal, low, low"),
        ("open, in_progress, blocked, hooked, review", "a task to do; whether it is blocked is what its blockers say"),
        ("deferred", "a task not before defer_until; without that, not until somebody reschedules it"),
        ("closed", "not taken; what waits for it need not wait"),
        ("tombstone, pinned", "not taken"),
        ("dependencies blocks, conditional-blocks, waits-for", "depends_on"),
        (
            "dependency parent-child",
            "the parent depends on its children, tagged parent/ID; they wait for what it waits for",
        ),
        ("dependencies related, discovered-from, ...", "not taken"),
        ("labels, issue type", "tags"),
        ("assignee", "the agent of that name; where there is none, anybody"),
    ),
)
