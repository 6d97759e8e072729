"""GitHub: what `gh issue list --json number,title,body,labels,state,assignees,url` prints."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from mcp_server.commands.foreign.item import Item, Reading, Source, State
from mcp_server.commands.foreign.parsing import Record, checked, once, parsed, state_of, unusable
from mcp_server.commands.foreign.wording import tags_of, text_of, title_of
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
HIGHEST_FIRST: tuple[Priority, ...] = ("critical", "high", "normal", "low")
_BLOCKED = re.compile(r"(?im)^[ \t>*+-]*(?:depends on|blocked by):?[ \t]+(.+)$")
_ISSUE = re.compile(r"https?://([a-z0-9.:-]+)/([\w.-]+/[\w.-]+)/issues/\d+")
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

    @property
    def label_names(self) -> list[str]:
        """What its labels say."""
        return [label.name for label in self.labels]

    @property
    def logins(self) -> list[str]:
        """To whom it is assigned."""
        return [person.login for person in self.assignees]

    @property
    def named_in_body(self) -> list[_Other]:
        """The issues of its own repository that its text says it waits for."""
        lines = _BLOCKED.findall(self.body)
        return [_Other(number=int(number)) for line in lines for number in _NUMBER.findall(line)]


def read(data: bytes, reading: Reading) -> list[Item]:
    """The issues of one or several repositories.

    Raises:
        ValidationFailed: naming the issue, by its place in the list.
    """
    listed = parsed(data, "The file")
    if not isinstance(listed, list):
        raise unusable("The file", "it is no list, as `gh issue list --json` prints it")
    places = ((f"Issue {place} of the list", each) for place, each in enumerate(cast("list[Any]", listed), 1))
    return once((where, _item(checked(_Issue, each, where), where, reading)) for where, each in places)


def _item(issue: _Issue, where: str, reading: Reading) -> Item:
    repository = _repository(issue.url, where)
    above = [_named(other, repository) for other in filter(None, (issue.parent,))]
    before = [_named(other, repository) for other in (*issue.blockedBy, *issue.named_in_body)]
    return Item(
        id=f"{repository}#{issue.number}",
        key=f"github:{repository}#{issue.number}",
        title=title_of(issue.title, f"#{issue.number}"),
        description=text_of(("", issue.body)),
        status=issue.state,
        state=state_of(issue.state, STATES, reading, where),
        priority=_priority(issue.label_names),
        blocked_by=tuple(dict.fromkeys(before)),
        parent=next(iter(above), None),
        tags=tags_of(("github", *issue.label_names)),
        assignee=next(iter(issue.logins), None),
        origin={"url": issue.url, "assignees": issue.logins},
    )


def _repository(url: str, where: str) -> str:
    """`owner/name`, on another host than GitHub's own with that before it."""
    found = _ISSUE.fullmatch(url.lower())
    if found is None:
        raise unusable(where, "its url is not that of an issue")
    host, name = found.groups()
    return name if host == "github.com" else f"{host}/{name}"


def _named(other: _Other, repository: str) -> str:
    known = repository if other.url is None else _repository(other.url, f"Issue {other.number}")
    return f"{known}#{other.number}"


def _priority(labels: list[str]) -> Priority:
    """The highest that a label names."""
    named = set(map(PRIORITIES.get, map(_bare, labels)))
    for priority in HIGHEST_FIRST:
        if priority in named:
            return priority
    return "normal"


def _bare(label: str) -> str:
    """A label without what says that it is a priority: `priority: high`, `Prio/high`."""
    return re.sub(r"^prio(rity)?[\s:/_-]*", "", label.strip().lower())


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
