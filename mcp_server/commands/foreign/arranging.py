"""The order in which foreign items can be created, and what each waits for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError
from itertools import filterfalse

from mcp_server.commands.foreign.circles import ordered, tangled
from mcp_server.commands.foreign.item import Item
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.lines import one_line

BLOCKERS_MAX = 100
LEVELS_MAX = 20
"""How many parents above an item are looked at."""
SHOWN_MAX = 9


@dataclass(frozen=True, slots=True)
class Arranged:
    """Items to take, those that others wait for first; what each waits for; and what could not be kept, in words."""

    order: list[Item]
    blockers: Mapping[str, tuple[str, ...]]
    notes: list[str]


def arrange(items: Sequence[Item]) -> Arranged:
    """Put what is to be taken in order. What is finished or given up there blocks nothing.

    A parent waits for its children, and they for what it waits for; that gives way where it would make a circle.

    Raises:
        ValidationFailed: items block each other in a circle, or one is blocked by more than a task can wait for.
    """
    taken = {item.id: item for item in items if item.is_taken}
    return _Waiting(taken, list(_missing(taken, {item.id for item in items}))).arranged()


def _missing(taken: Mapping[str, Item], known: set[str]) -> Iterator[str]:
    for id_, item in taken.items():
        for blocker in filterfalse(known.__contains__, item.blocked_by):
            yield f"{id_} waits for {blocker}, which is not in the file"


@dataclass(slots=True)
class _Waiting:
    """Who waits for whom: for its own blockers, and beyond those by custom, which may be given up.

    Attributes:
        taken: the items, by id.
        notes: what could not be kept, in words.
        blockers: by item, what it waits for, and whether that is by custom alone.
    """

    taken: Mapping[str, Item]
    notes: list[str]
    blockers: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])

    def __post_init__(self) -> None:
        self.blockers = {id_: self._own(item) for id_, item in self.taken.items()}
        for item in self.taken.values():
            self._add_customs(item)

    def _own(self, item: Item) -> dict[str, bool]:
        own = dict.fromkeys(filter(self.taken.__contains__, item.blocked_by), False)
        if len(own) > BLOCKERS_MAX:
            raise ValidationFailed(
                f"{one_line(item.id, 80)} is blocked by {len(own)} others; a task waits for {BLOCKERS_MAX} at most.",
                next="Put some of them under one that it waits for. Nothing was changed.",
            )
        return own

    def arranged(self) -> Arranged:
        """Everything in an order in which nothing waits for what comes after it."""
        order = self._settled()
        blockers = {id_: tuple(self.blockers[id_]) for id_ in order}
        return Arranged(list(map(self.taken.__getitem__, order)), blockers, self.notes)

    def _add_customs(self, item: Item) -> None:
        above = self._above(item)
        for parent in above[:1]:
            self._wait(parent, item.id)
        for blocker in self._inherited(above):
            if blocker != item.id:
                self._wait(item.id, blocker)

    def _inherited(self, above: Sequence[str]) -> Iterator[str]:
        """What those above an item wait for, but for each other."""
        for parent in above:
            taken = filter(self.taken.__contains__, self.taken[parent].blocked_by)
            yield from filterfalse(above.__contains__, taken)

    def _above(self, item: Item) -> list[str]:
        """An item's parent, the parent's parent and so on, as far as they are taken, each once."""
        above, parent = list[str](), self._parent(item)
        while parent is not None and parent.id not in (item.id, *above) and len(above) < LEVELS_MAX:
            above.append(parent.id)
            parent = self._parent(parent)
        return above

    def _parent(self, item: Item) -> Item | None:
        return None if item.parent is None else self.taken.get(item.parent)

    def _wait(self, id_: str, blocker: str) -> None:
        blockers = self.blockers[id_]
        if blocker not in blockers and len(blockers) == BLOCKERS_MAX:
            self.notes.append(f"{id_} does not wait for {blocker}: it waits for {BLOCKERS_MAX} others")
            return
        blockers.setdefault(blocker, True)

    def _settled(self) -> list[str]:
        while True:
            try:
                return ordered(self.blockers)
            except CycleError as error:
                given_up = list(self._customs_in_circles())
                if not given_up:
                    raise _in_a_circle(error.args[1][::-1]) from None
                self._give_up(given_up)

    def _customs_in_circles(self) -> Iterator[tuple[str, str]]:
        among = tangled(self.blockers)
        for id_ in filter(among.__contains__, self.taken):
            for blocker in filter(among.__contains__, self._customs(id_)):
                yield id_, blocker

    def _customs(self, id_: str) -> Iterator[str]:
        blockers = self.blockers[id_]
        return filter(blockers.__getitem__, blockers)

    def _give_up(self, pairs: Sequence[tuple[str, str]]) -> None:
        for id_, blocker in pairs:
            del self.blockers[id_][blocker]
            self.notes.append(f"{id_} does not wait for {blocker}: they would wait for each other")


def _in_a_circle(circle: Sequence[str]) -> ValidationFailed:
    names = [one_line(id_, 80) for id_ in circle[:SHOWN_MAX]]
    more = " -> ..." if circle[SHOWN_MAX:] else ""
    return ValidationFailed(
        f"Items wait for each other in a circle: {' -> '.join(names)}{more}.",
        next="Remove one of these dependencies there. Nothing was changed.",
    )
