"""Why is nothing claimable? What is in the queue all the same, counted by what keeps it from one agent."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mcp_server.domain.tasks.spec import SYSTEM_KIND
from mcp_server.kernel.paging import COUNTED_MAX, AtLeast, counted
from mcp_server.kernel.store import Database, Row

_OTHERS = {"blocked": "blocked_by_dependencies", "scheduled": "scheduled_for_later"}
_SHOWN = 3
_HELD, READY = "held_by_concurrency_key", "ready_by_now"
_BY = {_HELD: ", by its own concurrency_limit"}
_MORE = {"gated": "waiting_for_approval", "paused": "paused"}


class Backlog(NamedTuple):
    """Counts of unfinished tasks by the reason that keeps each from being claimed, and some that are queued."""

    counts: dict[str, int]
    such_as: dict[str, list[str]]


def is_some_ready(why: Backlog | None) -> bool:
    """Whether something has become ready since it was looked why there is nothing."""
    return why is not None and READY in why.counts


def in_words(counts: Mapping[str, int], such_as: Mapping[str, Sequence[str]]) -> str:
    """The reasons with their counts, each with some of the tasks where they are known."""
    return ", ".join(
        f"{'at least ' if isinstance(count, AtLeast) else ''}{count} {reason.replace('_', ' ')}"
        + (f" ({', '.join(such_as[reason])}{_BY.get(reason, '')})" if reason in such_as else "")
        for reason, count in counts.items()
    )


async def why_nothing(
    database: Database, agent_id: str, skills: set[str], kinds: Sequence[str] | None, held_by: str | None = None
) -> Backlog:
    """What keeps unfinished tasks from being claimed; reasons that hold none are left out.

    Args:
        database: where from.
        agent_id: the agent that asked.
        skills: what it can do.
        kinds: what it narrowed its claim to.
        held_by: what keeps back the tasks that it could otherwise do; unsaid, their keys do, and those without one have
            become ready since it was looked.
    """
    counts, such_as = dict[str, int](), dict[str, list[str]]()
    for queue in await database.fetch_all("queued_by_queue", at_most=COUNTED_MAX):
        if queue["tasks"] and not queue["kind"].startswith(SYSTEM_KIND):
            reason = _reason(queue, agent_id, skills, kinds) or _could_do(queue, held_by)
            counts[reason] = counts.get(reason, 0) + queue["tasks"]
            such_as.setdefault(reason, []).append(queue["first_id"])
    waiting = dict(await database.fetch_one("why_not_queued", at_most=COUNTED_MAX) or {})
    counts |= {name: waiting[column] for column, name in (_OTHERS | _MORE).items()}
    told = {reason: counted(count, COUNTED_MAX) for reason, count in counts.items() if count}
    return Backlog(told, {reason: ids[:_SHOWN] for reason, ids in such_as.items()})


def _could_do(queue: Row, held_by: str | None) -> str:
    return held_by or (_HELD if queue["first_key"] else READY)


def _reason(queue: Row, agent_id: str, skills: set[str], kinds: Sequence[str] | None) -> str | None:
    """What keeps a queue's tasks from the agent, or None where it could do them."""
    if queue["agent_id"] not in (None, agent_id):
        return "for_other_agents"
    if not set(json.loads(queue["capabilities"])) <= skills:
        return "need_other_capabilities"
    return "of_other_kinds" if kinds is not None and queue["kind"] not in kinds else None
