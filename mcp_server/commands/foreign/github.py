"""GitHub: what `gh issue list --json number,title,body,labels,state,assignees,url` prints."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from mcp_server.commands.foreign.item import (
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
from mcp_server.domain.tasks.spec import PRIORITIES as RANKS
from mcp_server.domain.tasks.spec import Priority

STATES: Mapping[str, State] = {"open": "open", "closed": "finished"}
PRIORITIES: Mapping[str, Priority] = {
    "p0": "critical",
    "p1": "high",
    "p2": "normal",
    "p3": "low",
    "critical": "critical",
    "urgent": "critical",
    "high": "high",
    "medium": "normal",
    "normal": "normal",
    "low": "low",
}
UNNAMED: list[Priority] = ["normal"]
_BLOCKED = re.compile(r"(?im)^[ \t>*+-]*(?:depends on|blocked by):?[ \t]+(.+)$")
_NUMBER = re.compile(r"(?<![\w/#])#(\d{1,10})\b")


def _listed(value: Any) -> Any:
    """A list, which gh may wrap with how many there are."""
    return cast("dict[str, Any]", value).get("nodes", []) if isinstance(value, dict) else value


class _Label(Record):
    name: str


class _Person(Record):
    login: str


class _Other(Record):
    number: int
    url: str | None = None


class _Issue(Record):
    number: int = Field(ge=1)
    title: str
    url: str = Field(description="which names the repository")
    body: str = ""
    state: str = "OPEN"
    labels: tuple[_Label, ...] = ()
    assignees: tuple[_Person, ...] = ()
    parent: _Other | None = None
    blockedBy: Annotated[tuple[_Other, ...], BeforeValidator(_listed)] = ()  # noqa: N815 - as gh spells it


def read(data: bytes, reading: Reading) -> list[Item]:
    """The issues of one or several repositories.

    Raises:
        ValidationFailed: naming the issue, by its place in the list.
    """
    listed = parsed(data, "The file")
    if not isinstance(listed, list):
        raise unusable("The file", "it is no list, as `gh issue list --json` prints it")
    items = dict[str, Item]()
    for place, each in enumerate(cast("list[Any]", listed), 1):
        where = f"Issue {place} of the list"
        item = _item(checked(_Issue, each, where), where, reading)
        if items.setdefault(item.id, item) != item:
            raise unusable(where, f"{item.id} is listed twice, and told of differently")
    return list(items.values())


def _item(issue: _Issue, where: str, reading: Reading) -> Item:
    repository = _repository(issue.url, where)
    labels = [label.name for label in issue.labels]
    return Item(
        id=f"{repository}#{issue.number}",
        key=f"github:{repository}#{issue.number}",
        title=title_of(issue.title, f"#{issue.number}"),
        description=text_of(("", issue.body)),
        status=issue.state,
        state=state_of(issue.state, STATES, reading, where),
        priority=_priority(labels),
        blocked_by=_blockers(issue, repository),
        parent=None if issue.parent is None else _named(issue.parent, repository),
        tags=tags_of(("github", *labels)),
        assignee=next((person.login for person in issue.assignees), None),
        origin={"url": issue.url, "assignees": [person.login for person in issue.assignees] or None},
    )


def _repository(url: str, where: str) -> str:
    """`owner/name`, on another host than GitHub's own with that before it."""
    try:
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path.strip("/").split("/")
    except ValueError:
        host, path = "", [""]
    if len(path) != 4 or path[2] != "issues" or not host:
        raise unusable(where, "its url is not that of an issue")
    name = "/".join(path[:2]).lower()
    return name if host == "github.com" else f"{host}/{name}"


def _named(other: _Other, repository: str) -> str:
    known = repository if other.url is None else _repository(other.url, f"Issue {other.number}")
    return f"{known}#{other.number}"


def _blockers(issue: _Issue, repository: str) -> tuple[str, ...]:
    said = (_NUMBER.findall(line) for line in _BLOCKED.findall(issue.body))
    numbers = (f"{repository}#{int(number)}" for line in said for number in line)
    return tuple(dict.fromkeys((*(_named(other, repository) for other in issue.blockedBy), *numbers)))


def _priority(labels: list[str]) -> Priority:
    """The highest that a label names: `P1`, `high`, `priority: high`, `priority/high`."""
    words = (re.sub(r"^prio(rity)?[\s:/_-]*", "", label.strip().lower()) for label in labels)
    named: list[Priority] = [PRIORITIES[word] for word in words if word in PRIORITIES]
    return max(named or UNNAMED, key=lambda each: RANKS[each])


GITHUB = Source(
    "github",
    ("issues.json",),
    read,
    (
        ("an issue", "a task; key import:github:OWNER/REPOSITORY#NUMBER"),
        ("title", "title, one line of up to 200 characters"),
        ("body", "description"),
        ("labels P0 to P3, critical, high, ..., priority: high", "priority; without one, normal"),
        ("OPEN", "a task to do"),
        ("CLOSED", "not taken; what waits for it need not wait"),
        ("blockedBy; lines of the body such as `Depends on #12`, `Blocked by: #12`", "depends_on"),
        ("parent (sub-issues)", "the parent depends on them, tagged parent/NUMBER; they wait for what it waits for"),
        ("labels", "tags"),
        ("assignees", "the agent with the name of the first; where there is none, anybody"),
    ),
)
