"""Agents as those who might take a task up: what each can do, how much room it has, and who comes nearest."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple

from mcp_server.domain.agents.model import in_words
from mcp_server.domain.agents.spending import used_up
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.near import near
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.store import Row

_LEFT_NAMED_MAX = 3
_LOOKED_FOR_MAX = 5
"""Of so many capabilities that nobody has it is told what was perhaps meant: each is compared with all there are."""


class Worker(NamedTuple):
    """One agent that has not left."""

    id: str
    name: str
    lifecycle: str
    skills: frozenset[str]
    running: int
    capacity: int
    is_silent: bool
    """Whether instances of it are known, and none of them has been heard of lately."""
    is_capacity_fixed: bool
    """Whether an operator said how many tasks it has at once."""
    used_up: str | None = None
    """What it has used of its budget for the month, where nothing is left of it."""

    def rests(self) -> bool:
        """Whether it takes nothing up until somebody lets it go on."""
        return self.lifecycle != "active" or self.used_up is not None

    def is_full(self) -> bool:
        """Whether it is at work on as many tasks as it may have at once, and takes up others once it has ended some."""
        return self.lifecycle == "active" and self.running >= self.capacity

    def lacks(self, needed: Iterable[str]) -> list[str]:
        """What it cannot do of what is needed."""
        return sorted(set(needed) - self.skills)

    def held_up(self) -> str | None:
        """Why it takes nothing up now; None where it could."""
        if self.lifecycle != "active":
            return f"{self.name} is {in_words(self.lifecycle)}"
        if self.used_up is not None:
            return f"{self.name} has used up its budget ({self.used_up})"
        if self.running >= self.capacity:
            return f"{self.name} runs {self.running} of {self.capacity}"
        return f"{self.name} has not been heard of for a minute" if self.is_silent else None

    def no_more(self, actor: Actor, missing: int) -> str | None:
        """Why it may not have as many tasks as it asked for, and what would help; None where nothing holds it up."""
        why = self.held_up()
        return None if why is None else "; ".join(filter(None, (why, self.more_at_once(actor, self.running + missing))))

    def more_at_once(self, actor: Actor, wanted: int) -> str | None:
        """How a caller has it run more at once, where too little room is what holds it up."""
        if self.rests() or self.running < self.capacity:
            return None
        if self.is_capacity_fixed and not actor.may(Permission.AGENTS_CONTROL):
            return "an operator set that"
        raised = f"agents_register(name={quoted(self.name)}, max_concurrent_tasks={wanted}) raises that"
        return raised if actor.may(Permission.AGENTS_REGISTER) else None


def worker(row: Row) -> Worker:
    """An agent's row as one who might work."""
    skills = frozenset[str](json.loads(row["skills"]))
    is_silent = row["instances_known"] > 0 and row["instances_alive"] == 0
    room = row["running"], row["max_concurrent_tasks"]
    is_fixed = "max_concurrent_tasks" in json.loads(row["operator_set"])
    return Worker(row["id"], row["name"], row["lifecycle"], skills, *room, is_silent, is_fixed, used_up(row))


class Left(NamedTuple):
    """An agent that was terminated, and can be had back."""

    name: str
    skills: frozenset[str]


def nobody_can(needed: Sequence[str], workers: Sequence[Worker], left: Sequence[Left] = ()) -> str:
    """That no agent has all of some capabilities, and who comes nearest: one that was terminated and has them, if any
    does."""
    said = f"no agent has {listed(needed, ' and ')}"
    had = [one.name for one in left if one.skills.issuperset(needed)]
    if had:
        more = f" and {len(had) - _LEFT_NAMED_MAX} more" if len(had) > _LEFT_NAMED_MAX else ""
        return f"no agent that is there has {listed(needed, ' and ')}; terminated: " + (
            f"{', '.join(had[:_LEFT_NAMED_MAX])}{more} (agents_control(action='resume') brings one back)"
        )
    if not workers:
        return said
    nearest = min(workers, key=lambda one: len(one.lacks(needed)))
    if nearest.skills.intersection(needed):
        return f"{said} together; nearest is {nearest.name}, which lacks {listed(nearest.lacks(needed))}"
    meant = _meant(needed, frozenset[str]().union(*(one.skills for one in workers)))
    return f"{said}; agents have {listed(meant)}" if meant else said


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """Names in quotes, one after the other."""
    return separator.join(map(repr, names))


def _meant(needed: Iterable[str], known: Iterable[str]) -> list[str]:
    """What may have been meant by capabilities that nobody has."""
    ordered = sorted(known)
    return list(chain.from_iterable(near(name, ordered) for name in islice(needed, _LOOKED_FOR_MAX)))
