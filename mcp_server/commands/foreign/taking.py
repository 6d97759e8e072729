"""Foreign items become tasks, through the same door as everybody's: `tasks_create`, up to 100 at a time."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcp_server.commands.foreign.arranging import Arranged, arrange
from mcp_server.commands.foreign.comparing import Here, changes
from mcp_server.commands.foreign.item import Item
from mcp_server.commands.foreign.specs import command_for, require_sound
from mcp_server.domain.agents.commands import FindAgents
from mcp_server.domain.desk import Desk
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, OpsError
from mcp_server.upkeep.watching import Watch

AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What becomes of the items, and what a person should know.

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
    created: int
    here: int
    later: int
    finished: int
    dropped: int
    changed: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Taking:
    """Items on their way into a desk: in order, with what of them is here already and who is an agent here."""

    items: Sequence[Item]
    arranged: Arranged
    here: Here
    agents: frozenset[str]

    @property
    def new(self) -> list[Item]:
        """What is to be created, blockers first."""
        return [item for item in self.arranged.order if item.id not in self.here]

    @property
    def report(self) -> Report:
        """What becomes of everything."""
        states, new = Counter(item.state for item in self.items), self.new
        return Report(
            items=len(self.items),
            created=len(new),
            here=len(self.arranged.order) - len(new),
            later=Counter(item.state for item in new)["later"],
            finished=states["finished"],
            dropped=states["dropped"],
            changed=list(self._changed()),
            notes=[*self.arranged.notes, *self._unknown()],
        )

    def _changed(self) -> Iterator[str]:
        for item in self.items:
            if item.id in self.here:
                yield from changes(item, self.here, self.arranged.blockers)

    def _unknown(self) -> Iterator[str]:
        for name, count in _assigned(self.arranged.order).items():
            if name not in self.agents:
                yield f"there is no agent '{name[:80]}': anybody may take up its {count}"


async def prepare(desk: Desk, call: Call, items: Sequence[Item]) -> Taking:
    """Find out what is to be done; nothing is changed.

    Raises:
        OpsError: an item cannot become a task, or they wait for each other in a circle.
    """
    arranged = arrange(items)
    for chunk in _chunks(arranged.order):
        require_sound(chunk, arranged.blockers)
    return Taking(items, arranged, await _here(desk, call, items), await _agents(desk, call, arranged.order))


async def take(desk: Desk, call: Call, taking: Taking, watch: Watch) -> None:
    """Create what is new. What was created before something is refused stays, and a repeat goes on after it.

    Raises:
        OpsError: a task was refused.
    """
    ids, new, done = {id_: task.id for id_, task in taking.here.items()}, taking.new, 0
    for chunk in _chunks(new):
        command = command_for(chunk, taking.arranged.blockers, ids, taking.agents)
        with _told_how_far(done, len(new)):
            created = await desk.tasks.create(call, command)
        ids |= {item.id: task.id for item, task in zip(chunk, created.tasks, strict=True)}
        done += len(chunk)
        watch(done, len(new))


@contextmanager
def _told_how_far(done: int, total: int) -> Generator[None]:
    """A refusal says what was created before it."""
    try:
        yield
    except OpsError as error:
        raise Conflict(
            f"{done} of {total} new tasks were created, then one was refused: {error.message}",
            next="Put that right and run the same command again: it goes on from there.",
        ) from error


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many as one call creates."""
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


async def _here(desk: Desk, call: Call, items: Sequence[Item]) -> dict[str, TaskView]:
    """What was taken before, by item."""
    found = dict[str, TaskView]()
    for chunk in _chunks(items):
        found |= await desk.tasks.keyed(call, [item.idempotency_key for item in chunk])
    return {item.id: found[item.idempotency_key] for item in items if item.idempotency_key in found}


async def _agents(desk: Desk, call: Call, items: Sequence[Item]) -> frozenset[str]:
    """Of those to whom items are assigned, the ones who are agents here."""
    return frozenset([name for name in _assigned(items) if await _is_agent(desk, call, name)])


async def _is_agent(desk: Desk, call: Call, name: str) -> bool:
    """Whether there is an agent of that name, who has not left."""
    found = await desk.agents.find(call, FindAgents(name=name))
    return any(agent.status != "terminated" for agent in found.items)


def _assigned(items: Sequence[Item]) -> Counter[str]:
    """How many items each has who has any."""
    return Counter(filter(None, (item.assignee for item in items)))
