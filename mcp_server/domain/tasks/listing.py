"""How the list of tasks is narrowed, and which lists it is read from."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.domain.tasks.narrowing import AGENT, TAG, Reach, Way, narrowest, reach_of, ways_of
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import Query, decode_cursor
from mcp_server.kernel.store import Database
from mcp_server.kernel.views import short

_NOT_QUEUED = ("pending", "running", "paused")


class HeldUp(NamedTuple):
    """What keeps queued tasks from being claimed now: the queues of which nobody can take anything up, and concurrency
    keys of tasks that run."""

    queues: Sequence[str]
    keys: Sequence[str]


class Place(NamedTuple):
    """Behind which task a page begins."""

    at: int
    task_id: str


def place_of(command: FindTasks) -> Place | None:
    """Where the page begins, unless that is at the newest."""
    return None if command.cursor is None else Place(*decode_cursor("tasks", command.cursor, (int, str)))


async def titles_of(database: Database, task_ids: Sequence[str]) -> dict[str, str]:
    """What some tasks are called, cut short, by their ids."""
    rows = await database.fetch_all("task_titles", ids=dump_json(list(task_ids)))
    return {row["id"]: short(row["title"]) for row in rows}


async def lists_of(
    database: Database, command: FindTasks, agent_id: str | None, held_up: HeldUp | None = None
) -> list[Query]:
    """A list of tasks, narrowed by what is asked but for a text, as lists that have nothing in common and are read each
    in its own order: the hot tasks and the archived ones, and of an agent what it works on, what names it and what it
    ended.

    Args:
        database: what is counted.
        command: what is asked.
        agent_id: the agent.
        held_up: where only those are meant that have not ended and cannot be claimed now, what keeps them from it.
    """
    ways, reach = ways_of(command, agent_id), reach_of(command)
    if held_up is not None:
        return _held_up_ones(_beside(command, ways), held_up)
    first = await narrowest(database, ways, reach)
    return _each(_beside(command, ways, first), reach, first)


def _beside(command: FindTasks, ways: Sequence[Way], first: Way | None = None) -> Query:
    """The list of tasks from where the page begins, of each of which is asked whether it is so; but for the way that
    finds them."""
    query = Query("tasks_find")
    for way in ways:
        query = query if way is first else query.where(way.beside, **way.parameters)
    query = query if command.include_system else query.where("task_not_system")
    return _from_place(query, place_of(command), "task_tagged_after" if _is_tagged(first) else "task_after")


def _from_place(query: Query, place: Place | None, after: str) -> Query:
    return query if place is None else query.where(after, after_at=place.at, after_id=place.task_id)


def _each(query: Query, reach: Reach, first: Way | None) -> list[Query]:
    """The lists in which there may be some, each by what finds them; what is tagged has lists of its own."""
    ending = "tagged" if _is_tagged(first) else "find"
    lists = [replace(query, statement=f"{one}_{ending}") for one in reach.lists]
    return lists if first is None else [_found_by(*each) for each in product(lists, [first], _finding(first, reach))]


def _finding(first: Way, reach: Reach) -> Sequence[str]:
    """The filters that find what is so, one a list."""
    return reach.of_agent if first.name == AGENT else [first.name]


def _is_tagged(first: Way | None) -> bool:
    return first is not None and first.name == TAG


def _held_up_ones(query: Query, held_up: HeldUp) -> list[Query]:
    """Those of a list that have not ended and cannot be claimed now, each in one part."""
    return [*(query.where(f"task_status_{status}") for status in _NOT_QUEUED), *_queued_ones(query, held_up)]


def _found_by(query: Query, first: Way, name: str) -> Query:
    if first.name == TAG:
        return replace(query, parameters=(*query.parameters, *first.parameters.items()))
    return query.where(name, **first.parameters)


def _queued_ones(query: Query, held_up: HeldUp) -> list[Query]:
    """Those of a list that are queued and held up, each in one part. What holds up nothing costs no look: all that is
    queued would be gone through in vain."""
    queues, keys = (dump_json(list(names)) for names in held_up)
    in_queues = [query.where("task_in_queues", queues_held_up=queues)] if held_up.queues else []
    by_keys = [query.where("task_key_held", queues_held_up=queues, keys_held=keys)] if held_up.keys else []
    return in_queues + by_keys
