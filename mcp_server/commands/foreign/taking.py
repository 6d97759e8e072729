"""Foreign items become tasks, through the same door as everybody's: `tasks_create`, up to 100 at a time."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from mcp_server.commands.foreign.arranging import Arranged, arrange
from mcp_server.commands.foreign.item import Item, tags_of, unusable
from mcp_server.domain.agents.commands import FindAgents
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, OpsError
from mcp_server.kernel.json_text import check_line
from mcp_server.kernel.lines import one_line
from mcp_server.upkeep.watching import Watch

AT_ONCE = 100
LATER = "9999-01-01T00:00:00Z"
"""When what was put off there without a day is due: once somebody reschedules it."""
KEY_MAX = 200


@dataclass(slots=True)
class Report:
    """What became of the items, and what a person should know.

    Attributes:
        items: how many there are in the file.
        created: new tasks; in a dry run, those that would be.
        here: those to take that were taken before.
        later: those of the new ones that were put off there.
        finished: items that are done there, and not taken.
        dropped: items that were given up there, and not taken.
        changed: what is different there from here, and stays as it is here.
        notes: what could not be kept as it was there.
    """

    items: int
    created: int = 0
    here: int = 0
    later: int = 0
    finished: int = 0
    dropped: int = 0
    changed: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Taking:
    """Items on their way into a desk: what is to be taken, and what of it is here already."""

    arranged: Arranged
    here: Mapping[str, TaskView]
    agents: frozenset[str]
    report: Report

    @property
    def new(self) -> list[Item]:
        """What is to be created, blockers first."""
        return [item for item in self.arranged.order if item.id not in self.here]

    def command(self, items: Sequence[Item], ids: Mapping[str, str]) -> CreateTasks:
        """The call that creates some of them; `ids` are those of tasks that are there by then."""
        places = {item.id: f"#{number}" for number, item in enumerate(items)}
        specs = [self._spec(item, {**ids, **places}) for item in items]
        return CreateTasks.model_validate({"tasks": specs})

    def _spec(self, item: Item, ids: Mapping[str, str]) -> dict[str, Any]:
        return {
            "title": item.title,
            "description": item.description,
            "priority": item.priority,
            "tags": tags_for(item),
            "depends_on": [ids[blocker] for blocker in self.arranged.blockers[item.id]],
            "run_at": item.not_before or (LATER if item.state == "later" else None),
            "agent_id": item.assignee if item.assignee in self.agents else None,
            "input": {"source": _source(item)},
            "idempotency_key": f"import:{item.key}",
        }


async def prepare(desk: Desk, call: Call, items: Sequence[Item]) -> Taking:
    """Find out what is to be done; nothing is changed.

    Raises:
        OpsError: an item cannot become a task, or they wait for each other in a circle.
    """
    report, arranged = Report(len(items)), arrange(items)
    taking = Taking(arranged, {}, frozenset(), report)
    for item in items:
        _require_key(item)
    for chunk in chunks(arranged.order):
        _require_sound(taking, chunk)
    here = await _here(desk, call, items)
    taking = replace(taking, here=here, agents=await _agents(desk, call, arranged.order, report))
    _count(taking, items)
    return taking


async def take(desk: Desk, call: Call, taking: Taking, watch: Watch) -> None:
    """Create what is new. What was created before something is refused stays, and a repeat goes on after it.

    Raises:
        OpsError: a task was refused.
    """
    ids, done = {id_: task.id for id_, task in taking.here.items()}, 0
    for chunk in chunks(taking.new):
        try:
            created = await desk.tasks.create(call, taking.command(chunk, ids))
        except OpsError as error:
            raise Conflict(
                f"{done} of {len(taking.new)} new tasks were created, then one was refused: {error.message}",
                next="Put that right and run the same command again: it goes on from there.",
            ) from error
        ids |= {item.id: task.id for item, task in zip(chunk, created.tasks, strict=True)}
        done += len(chunk)
        watch(done, len(taking.new))


def tags_for(item: Item) -> list[str]:
    """An item's tags, 32 at most, with the one by which a parent's children are found."""
    name = "" if item.parent is None else item.parent.rpartition("#" if "#" in item.parent else ":")[2]
    return [*tags_of([f"parent/{name}"] if name else ()), *item.tags][:32]


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many as one call creates."""
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _require_key(item: Item) -> None:
    if len(f"import:{item.key}") > KEY_MAX:
        raise unusable(one_line(item.id, 80), f"its id is too long: {KEY_MAX} characters with project and tag")
    check_line(item.key, "id")


def _require_sound(taking: Taking, items: Sequence[Item]) -> None:
    """Have a call checked as it will be, before anything is created."""
    try:
        taking.command(items, dict.fromkeys(taking.arranged.blockers, "task_aaaaaaaaaaaa"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        number, *member = first["loc"][1:]
        where = f"{one_line(items[int(number)].id, 80)}, {'.'.join(map(str, member))}"
        raise unusable(where, first["msg"].removeprefix("Value error, ")) from None


def _source(item: Item) -> dict[str, Any]:
    told = {"id": item.id, "status": item.status, "parent": item.parent, "assignee": item.assignee, **item.origin}
    return {"of": item.key.partition(":")[0]} | {name: value for name, value in told.items() if value is not None}


async def _here(desk: Desk, call: Call, items: Sequence[Item]) -> dict[str, TaskView]:
    """What was taken before, by item."""
    found = dict[str, TaskView]()
    for chunk in chunks(items):
        tasks = await desk.tasks.keyed(call, [f"import:{item.key}" for item in chunk])
        found |= {item.id: tasks[f"import:{item.key}"] for item in chunk if f"import:{item.key}" in tasks}
    return found


async def _agents(desk: Desk, call: Call, items: Sequence[Item], report: Report) -> frozenset[str]:
    """Of those to whom items are assigned, the ones who are agents here."""
    assigned = Counter(item.assignee for item in items if item.assignee is not None)
    found = set[str]()
    for name, count in assigned.items():
        (agents, *_) = await desk.agents.find(call, FindAgents(name=name))
        if any(agent.status != "terminated" for agent in agents):
            found.add(name)
        else:
            report.notes.append(f"there is no agent '{name[:80]}': anybody may take up its {count}")
    return frozenset(found)


def _count(taking: Taking, items: Sequence[Item]) -> None:
    report, states = taking.report, Counter(item.state for item in items)
    report.notes[:0] = taking.arranged.notes
    report.created = len(taking.new)
    report.here = len(taking.arranged.order) - report.created
    report.later = sum(item.state == "later" for item in taking.new)
    report.finished, report.dropped = states["finished"], states["dropped"]
    for item in items:
        if item.id in taking.here:
            report.changed += _changes(taking, item, taking.here[item.id])


def _changes(taking: Taking, item: Item, task: TaskView) -> Iterator[str]:
    if item.state in ("finished", "dropped"):
        if task.status not in TERMINAL:
            yield f"{item.id} is {item.status} there, and {task.id} is {task.status} here"
        return
    now = {
        "title": task.title == item.title,
        "description": (task.description or "") == item.description,
        "priority": task.priority == item.priority,
        "tags": set(task.tags or ()) == set(tags_for(item)),
        "what it waits for": _ids_of(taking, item) <= set(task.depends_on or ()),
    }
    different = [name for name, is_same in now.items() if not is_same]
    if different:
        yield f"{item.id} differs from {task.id} in {', '.join(different)}"


def _ids_of(taking: Taking, item: Item) -> set[str]:
    """The tasks that it would wait for; one that is new here is none of those it waits for."""
    return {
        taking.here[blocker].id if blocker in taking.here else blocker for blocker in taking.arranged.blockers[item.id]
    }
