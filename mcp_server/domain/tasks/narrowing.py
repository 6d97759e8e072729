"""By what the list of tasks is read that several things narrow: by the one that finds the fewest, whose own index has
them in order; of each of these the others are asked."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.spec import SYSTEM_KIND, shown_kind
from mcp_server.kernel.fewest import fewest
from mcp_server.kernel.paging import after_all
from mcp_server.kernel.store import Database

AGENT, TAG = "task_agent", "task_tag"
_UNSAID = (None, False)
_COUNTS = {"task_named": "task_assignee", "task_finished": "task_finisher"}
"""What counts some parts without a look at each task."""


class Way(NamedTuple):
    """Something by which the list is narrowed.

    Attributes:
        name: the filter that finds what is so; of an agent and of a tag there is none of that name.
        beside: the filter that asks it of what another has found.
        parameters: of both.
    """

    name: str
    beside: str
    parameters: Mapping[str, Any]


class Reach(NamedTuple):
    """Where there can be any of what is asked for: the lists, and the filters that together find an agent's."""

    lists: Sequence[str]
    of_agent: Sequence[str]


def ways_of(command: FindTasks, agent_id: str | None) -> list[Way]:
    """All by which a list is narrowed, but for a text. The first is taken where each finds very many: of a status, the
    newest are most often what is left."""
    given = {
        "task_status": _status(command),
        "task_blocked": command.blocked,
        "task_schedules": command.schedules,
        "task_parent": command.parent_id,
        AGENT: agent_id,
        "task_kind": command.kind,
        TAG: command.tag,
    }
    return [_way(name, value) for name, value in given.items() if value not in _UNSAID]


def reach_of(command: FindTasks) -> Reach:
    """What has not ended is archived nowhere, and was ended by nobody; nobody works at what has."""
    status = "pending" if command.blocked else _status(command)
    if status is None:
        return Reach(("tasks", "archived_tasks"), ("task_leased", "task_named", "task_finished"))
    if status in TERMINAL:
        return Reach(("tasks", "archived_tasks"), ("task_named", "task_finished"))
    return Reach(("tasks",), ("task_leased", "task_named"))


async def narrowest(database: Database, ways: Sequence[Way], reach: Reach) -> Way | None:
    """The way that finds the fewest; None where there is none."""
    if not ways:
        return None
    return ways[await fewest([partial(_count, database, way, reach) for way in ways])]


async def _count(database: Database, way: Way, reach: Reach, most: int) -> int:
    """How many a way finds, counted so far."""
    total = 0
    for statement, filters in _counting(way, reach):
        left = max(most - total, 0)
        (row,) = await database.fetch_all(statement, filters=filters, counted=left, **way.parameters)
        total += row["n"]
    return total


def _counting(way: Way, reach: Reach) -> list[tuple[str, tuple[str, ...]]]:
    """What counts a way, together: statements with their filters."""
    if way.name == TAG:
        return [("task_tags_count", ())]
    return [(f"{one}_find_count", (name,)) for one, name in product(reach.lists, _columns(way, reach))]


def _columns(way: Way, reach: Reach) -> list[str]:
    """The filters that count a way, each by what one index holds."""
    parts = reach.of_agent if way.name == AGENT else [way.name]
    return [_COUNTS.get(part, part) for part in parts]


def _status(command: FindTasks) -> str | None:
    return "queued" if command.ready else command.status


def _way(name: str, value: Any) -> Way:
    """The way of that name; of a status each has its own."""
    if name == "task_kind":
        return _of_kind(value)
    if name == "task_status":
        return Way(f"task_status_{value}", "task_status_beside", {name: value})
    return Way(name, f"{name}_beside", {} if value is True else {name: value})


def _of_kind(kind: str) -> Way:
    """A kind as callers see it: one of the server's own has those beneath it."""
    if not kind.startswith(SYSTEM_KIND):
        return Way("task_kind", "task_kind_beside", {"task_kind": kind})
    begins = f"{shown_kind(kind)}."
    within = {"task_kind": kind, "kind_low": begins, "kind_high": after_all(begins)}
    return Way("task_system_kind", "task_system_kind_beside", within)
