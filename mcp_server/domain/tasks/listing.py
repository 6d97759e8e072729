"""How the list of tasks is narrowed, and which lists it is read from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.domain.tasks.spec import SYSTEM_KIND, shown_kind
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.paging import Query, after_all

_NOT_QUEUED = ("pending", "running", "paused")


class HeldUp(NamedTuple):
    """What keeps queued tasks from being claimed now: the queues of which nobody can take anything up, and concurrency
    keys of tasks that run."""

    queues: Sequence[str]
    keys: Sequence[str]


def parts(query: Query, agent_id: str | None, held_up: HeldUp | None = None) -> list[Query]:
    """A list of tasks as lists that are read each in its own order: the hot tasks and the archived ones, and of an
    agent what it works on, what names it and what it ended.

    Args:
        query: the list, narrowed.
        agent_id: the agent.
        held_up: where only those are meant that have not ended and cannot be claimed now, what keeps them from it.
    """
    whole = [query, replace(query, statement=f"archived_{query.statement}")]
    if held_up is not None:
        whole = [query.where(f"task_status_{status}") for status in _NOT_QUEUED]
        whole += _queued_ones(query, held_up)
    if agent_id is None:
        return whole
    ways = ("task_leased", "task_named", "task_finished")
    return [one.where(way, task_agent=agent_id) for one in whole for way in ways]


def _queued_ones(query: Query, held_up: HeldUp) -> list[Query]:
    """Those of a list that are queued and held up, each in one part. What holds up nothing costs no look: all that is
    queued would be gone through in vain."""
    queues, keys = (dump_json(list(names)) for names in held_up)
    in_queues = [query.where("task_in_queues", queues_held_up=queues)] if held_up.queues else []
    by_keys = [query.where("task_key_held", queues_held_up=queues, keys_held=keys)] if held_up.keys else []
    return in_queues + by_keys


def listed(command: FindTasks) -> Query:
    """The list of tasks, narrowed by what is asked but for a text."""
    status = "queued" if command.ready else command.status
    query = Query("tasks_find" if command.tag is None else "tasks_tagged")
    if command.tag is not None:
        query = replace(query, parameters=(("task_tag", command.tag),))
    if status is not None:
        query = query.where(f"task_status_{status}")
    if command.blocked:
        query = query.where("task_blocked")
    if command.schedules:
        query = query.where("task_schedules")
    if not command.include_system:
        query = query.where("task_not_system")
    return _of_kind(query, command.kind).where("task_parent", task_parent=command.parent_id)


def _of_kind(query: Query, kind: str | None) -> Query:
    """A list narrowed by a kind as callers see it."""
    if kind is None or not kind.startswith(SYSTEM_KIND):
        return query.where("task_kind", task_kind=kind)
    begins = f"{shown_kind(kind)}."
    return query.where("task_system_kind", task_kind=kind, kind_low=begins, kind_high=after_all(begins))
