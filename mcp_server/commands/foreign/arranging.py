"""The order in which foreign items can be created, and what each waits for."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mcp_server.commands.foreign.item import Item
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.lines import one_line

BLOCKERS_MAX = 100
LEVELS_MAX = 20
"""How many parents above an item are looked at."""


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
    known = {item.id for item in items}
    taken = {item.id: item for item in items if item.state in ("open", "later")}
    notes = [
        f"{item.id} waits for {blocker}, which is not in the file"
        for item in taken.values()
        for blocker in item.blocked_by
        if blocker not in known
    ]
    waiting = _Waiting(taken, notes)
    order = waiting.ordered()
    return Arranged([taken[id_] for id_ in order], {id_: tuple(waiting.blockers[id_]) for id_ in order}, notes)


@dataclass(slots=True)
class _Waiting:
    """Who waits for whom: for its own blockers, and beyond those by custom, which may be given up."""

    taken: Mapping[str, Item]
    notes: list[str]
    blockers: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    """By item, what it waits for, and whether that is by custom alone."""

    def __post_init__(self) -> None:
        for id_, item in self.taken.items():
            own = dict.fromkeys((each for each in item.blocked_by if each in self.taken), False)
            if len(own) > BLOCKERS_MAX:
                raise ValidationFailed(
                    f"{one_line(id_, 80)} is blocked by {len(own)} others; a task waits for {BLOCKERS_MAX} at most.",
                    next="Put some of them under one that it waits for. Nothing was changed.",
                )
            self.blockers[id_] = own
        for id_, item in self.taken.items():
            self._add_customs(id_, item)

    def _add_customs(self, id_: str, item: Item) -> None:
        above = self._above(item)
        for parent in above[:1]:
            self._wait(parent, id_)
        for blocker in (each for parent in above for each in self.taken[parent].blocked_by):
            if blocker in self.taken and blocker not in (id_, *above):
                self._wait(id_, blocker)

    def _above(self, item: Item) -> list[str]:
        """An item's parent, the parent's parent and so on, as far as they are taken, each once."""
        above, parent = list[str](), item.parent
        while parent is not None and self._is_above(parent, item, above):
            above.append(parent)
            parent = self.taken[parent].parent
        return above

    def _is_above(self, parent: str, item: Item, above: Sequence[str]) -> bool:
        return parent in self.taken and parent not in (item.id, *above) and len(above) < LEVELS_MAX

    def _wait(self, id_: str, blocker: str) -> None:
        blockers = self.blockers[id_]
        if blocker not in blockers and len(blockers) == BLOCKERS_MAX:
            self.notes.append(f"{id_} does not wait for {blocker}: it waits for {BLOCKERS_MAX} others")
            return
        blockers.setdefault(blocker, True)

    def ordered(self) -> list[str]:
        """Blockers first, else as in the file."""
        place = {id_: number for number, id_ in enumerate(self.taken)}
        names, unmet = list(self.taken), {id_: set(blockers) for id_, blockers in self.blockers.items()}
        dependents: dict[str, list[str]] = {id_: [] for id_ in names}
        for id_, blockers in unmet.items():
            for blocker in blockers:
                dependents[blocker].append(id_)
        ready = [place[id_] for id_ in names if not unmet[id_]]
        order = list[str]()
        while unmet:
            if not ready:
                ready = sorted(place[id_] for id_ in self._break_circles(unmet))
                continue
            done = names[heapq.heappop(ready)]
            order.append(done)
            del unmet[done]
            for id_ in dependents[done]:
                if id_ in unmet and done in unmet[id_]:
                    unmet[id_].remove(done)
                    if not unmet[id_]:
                        heapq.heappush(ready, place[id_])
        return order

    def _break_circles(self, unmet: Mapping[str, set[str]]) -> list[str]:
        """Give up what is by custom among those that wait for each other; who waits for nothing any more."""
        tangled = _tangled(unmet)
        pairs = [(id_, blocker) for id_ in self.taken if id_ in tangled for blocker in self.blockers[id_]]
        given_up = [(id_, blocker) for id_, blocker in pairs if blocker in tangled and self.blockers[id_][blocker]]
        if not given_up:
            circle = _circle(unmet)
            shown = [one_line(id_, 80) for id_ in circle[:8]]
            raise ValidationFailed(
                f"Items wait for each other in a circle: {' -> '.join([*shown, '...' if circle[8:] else shown[0]])}.",
                next="Remove one of these dependencies there. Nothing was changed.",
            )
        for id_, blocker in given_up:
            unmet[id_].remove(blocker)
            del self.blockers[id_][blocker]
            self.notes.append(f"{id_} does not wait for {blocker}: they would wait for each other")
        return [id_ for id_ in dict(given_up) if not unmet[id_]]


def _tangled(unmet: Mapping[str, set[str]]) -> set[str]:
    """Items in circles, and those between circles: who is left where nobody is ready, but for who is not waited for."""
    waited_for = Counter(blocker for blockers in unmet.values() for blocker in blockers)
    tangled, loose = set(unmet), [id_ for id_ in unmet if not waited_for[id_]]
    while loose:
        id_ = loose.pop()
        tangled.remove(id_)
        waited_for.subtract(unmet[id_])
        loose += [blocker for blocker in unmet[id_] if not waited_for[blocker]]
    return tangled


def _circle(unmet: Mapping[str, set[str]]) -> list[str]:
    """Items that wait for each other, each for the next; where nobody is ready, there are some."""
    path = dict[str, None]()
    at = next(iter(unmet))
    while at not in path:
        path[at] = None
        at = min(unmet[at])
    names = list(path)
    return names[names.index(at) :]
