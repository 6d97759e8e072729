"""Why does a task wait? Nobody can do it, who could is busy, its key is held, what it depends on ended badly, or it is
early. Said in words, with the ids that they are about."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from mcp_server.domain.agents.holding import HOLDING_COUNTED_MAX, Holding
from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.agents.workers import Left, Worker, listed, nobody_can
from mcp_server.domain.tasks.listing import HeldUp
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.standing import waits_for
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import iso

_NAMED_MAX = 3
_HINTED_MAX = 5
"""Of so many wants that nobody can meet it is told who comes nearest, and what was perhaps meant: all capabilities of
all agents are compared for it."""
_BADLY = TERMINAL - {"completed"}
_WORK_SHOWN = 10
"""Of so many agents that are at capacity it is told what they work on."""


class Takers(NamedTuple):
    """Who could take up tasks that need the same: that nobody can, in words; or why none of those who can takes
    anything up now, where all of them are away until somebody lets them go on, and where not."""

    nobody: str | None
    away: list[str]
    busy: list[str]


class Facts(NamedTuple):
    """What tasks may wait for: the agents, who holds which concurrency key, what each task depends on that has not
    been completed, which question to people is open about it, where the reader may read of those, and on what agents
    work that are at capacity. And what was found out of it, once for all tasks that need the same: many do, of many
    agents."""

    workers: Sequence[Worker]
    holders: Mapping[str, Sequence[Row]]
    parents: Mapping[str, Sequence[Row]]
    questions: Mapping[str, Sequence[Row]]
    work: Mapping[str, Sequence[Row]]
    takers: dict[tuple[str, str | None], Takers]
    left: Sequence[Left] = ()
    """Who was terminated, where something waits that nobody who is there can do."""


async def facts_about(
    database: Database, agents: AgentService, rows: Sequence[Row], reader: Actor | None = None
) -> Facts:
    """What is to be known of some tasks to say to somebody why they wait; what none of them may wait for is not
    read."""
    waiting = list(filter(_waits, rows))
    if not waiting:
        return Facts((), {}, {}, {}, {}, {})
    holders, parents = await _holders(database, waiting), await _parents(database, waiting)
    may_read = reader is not None and reader.may(Permission.APPROVALS_READ)
    questions = await _questions(database, waiting) if may_read else dict[str, list[Row]]()
    workers = await agents.able()
    left = await agents.left() if _is_any_beyond_all(waiting, workers) else ()
    work = await _work(database, waiting, workers)
    return Facts(workers, holders, parents, questions, work, {}, left)


def _is_any_beyond_all(rows: Sequence[Row], workers: Sequence[Worker]) -> bool:
    """Whether one of some tasks, which is for nobody in particular, can be done by nobody who is there."""
    wanted = {row["required_capabilities"] for row in rows if row["agent_id"] is None} - {"[]"}
    needs = map(json.loads, wanted)
    return not all(any(one.skills.issuperset(needed) for one in workers) for needed in needs)


def why_waiting(row: Row, facts: Facts) -> list[str] | None:
    """What a task waits for, in words, each with what is true now; None where it does not wait."""
    found = _found(_REASONS, row, facts) if _waits(row) else []
    parents = facts.parents.get(row["id"], ())
    unfinished = [one["id"] for one in parents if one["status"] not in _BADLY]
    asked = "".join(map(_asked, facts.questions.get(row["id"], ())))
    return [*(waits_for(row, len(parents) - len(unfinished), unfinished, asked) or ()), *found] or None


async def stranded(database: Database, agents: AgentService, rows: Sequence[Row]) -> list[str]:
    """What some tasks will wait for until somebody does something about it, each with the task's id. What waits for
    nobody in particular, and for nothing else, costs no look."""
    picky = [row for row in rows if _waits(row) and _may_wait_for_ever(row)]
    facts = await facts_about(database, agents, picky)
    said: list[str] = []
    for row in picky:
        said += [f"{row['id']}: {reason}." for reason in _found(_LASTING, row, facts)]
        await asyncio.sleep(0)  # there may be thousands of agents, each of whom is looked at
    return said


async def held_by(database: Database, agent_id: str) -> list[Holding | None]:
    """The tasks that an agent has leased, and those that wait for it alone."""
    leased = await database.fetch_all("agent_leases", id=agent_id)
    waiting = await database.fetch_all("tasks_waiting_for", agent_id=agent_id, counted=HOLDING_COUNTED_MAX)
    return [
        Holding.ending("tasks", ((row["id"], row["due_at"]) for row in leased)),
        Holding.of("pinned_tasks", [row["id"] for row in waiting], HOLDING_COUNTED_MAX),
    ]


async def warnings_about_times(rows: Sequence[Row]) -> list[str]:
    """Schedules that fire on other days or at other hours than may be meant, each with its id."""
    found: list[str] = []
    for row in rows:
        if row["schedule"] is not None:
            found += [f"{row['id']}: {said}." for said in _of_times(row)]
            await asyncio.sleep(0)  # what fires every few years is looked for for ten milliseconds
    return found


def _of_times(row: Row) -> list[str]:
    return ScheduleSpec.model_validate_json(row["schedule"]).said_of_times(row["run_at"])


async def held_up_now(database: Database, agents: AgentService) -> HeldUp:
    """What keeps queued tasks from being claimed now: in queues of which nobody there is can take anything up, and by
    concurrency keys."""
    facts = Facts(await agents.able(), {}, {}, {}, {}, {})
    queues = await database.fetch_all("queues_for_agents")
    keys = await database.fetch_all("concurrency_keys_running")
    nobody = [queue["name"] for queue in queues if _found(_OF_A_QUEUE, queue, facts)]
    return HeldUp(nobody, [row["concurrency_key"] for row in keys])


async def freed_by(database: Database, task: Row) -> list[str] | None:
    """Which tasks can run now that one with their concurrency key has ended, as far as they stand near the front of its
    queue."""
    key, at_once = task["concurrency_key"], task["concurrency_limit"]
    if task["status"] == "queued":
        return None
    running = len(await database.fetch_all("concurrency_holders", keys=dump_json([key])))
    if running >= at_once:
        return None
    limit = min(at_once - running, _NAMED_MAX)
    rows = await database.fetch_all("concurrency_next", key=key, queue=task["queue"], limit=limit)
    return [row["id"] for row in rows] or None


async def still_waiting(database: Database, ids: Sequence[str]) -> dict[str, list[str]] | None:
    """Which of some tasks wait on, each with what for: tasks by their ids, its time, people; of many, the first."""
    rows = await database.fetch_all("still_waiting", ids=dump_json(list(ids[:_NAMED_MAX])))
    return {task_id: _on(ones) for task_id, ones in _by("task_id", rows).items()} or None


def _on(rows: Sequence[Row]) -> list[str]:
    """What one task waits for: a row for each that it depends on, and one that is its own."""
    (own,) = (row for row in rows if row["parent_id"] is None)
    parents = (row["parent_id"] for row in rows if row is not own)
    return [*parents, *(waits_for(own, own["waits_on"]) or ())]


def _waits(row: Row) -> bool:
    return row["status"] in ("pending", "queued") and not row["system"]


def _may_wait_for_ever(row: Row) -> bool:
    """Whether somebody in particular, or something else, has to be there before it runs."""
    return bool(row["waits_on"] or row["agent_id"] is not None or row["required_capabilities"] != "[]")


def _found(reasons: "Sequence[_Reason]", row: Row, facts: Facts) -> list[str]:
    return list(chain.from_iterable(reason(row, facts) for reason in reasons))


async def _holders(database: Database, waiting: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    keys = sorted({row["concurrency_key"] for row in waiting if row["concurrency_key"] is not None})
    return _by("concurrency_key", await database.fetch_all("concurrency_holders", keys=dump_json(keys)) if keys else [])


async def _parents(database: Database, waiting: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    ids = [row["id"] for row in waiting if row["waits_on"]]
    return _by("task_id", await database.fetch_all("dependencies_of_many", ids=dump_json(ids)) if ids else [])


async def _questions(database: Database, waiting: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
    ids = [row["id"] for row in waiting if row["approval"] == "required"]
    return _by("task_id", await database.fetch_all("questions_about", ids=dump_json(ids)) if ids else [])


async def _work(database: Database, waiting: Sequence[Row], workers: Sequence[Worker]) -> Mapping[str, Sequence[Row]]:
    """What agents work on that are at capacity, where a task waits for one to be free."""
    is_ready = any(row["status"] == "queued" for row in waiting)
    full = [one.id for one in workers if one.is_full()][:_WORK_SHOWN] if is_ready else []
    if not full:
        return {}
    most = _NAMED_MAX * _WORK_SHOWN
    return _by("lease_agent_id", await database.fetch_all("leases_of_many", ids=dump_json(full), limit=most))


def _asked(question: Row) -> str:
    """Which question is open, of whom and until when."""
    people: list[str] = json.loads(question["approvers"])
    whom = [f"asked of {_some(list(map(named, people)))}"] if people else []
    until = [] if question["expires_at"] is None else [f"open until {iso(question['expires_at'])}"]
    return f" ({', '.join([question['id'], *whom, *until])})"


def _nobody(row: Row, facts: Facts) -> list[str]:
    """That nobody there is can ever take it up; a schedule is taken up by nobody anyway, its firings are."""
    if row["agent_id"] is not None:
        return _not_by(row["agent_id"], json.loads(row["required_capabilities"]), facts.workers)
    nobody = _takers(row, facts).nobody
    return [] if nobody is None else [nobody]


def _not_by(agent_id: str, needed: Sequence[str], workers: Sequence[Worker]) -> list[str]:
    only = next((one for one in workers if one.id == agent_id), None)
    if only is None:
        return [f"it is for {agent_id} alone, which has left: assign it (agent_id null: to anybody)"]
    lacks = only.lacks(needed)
    return [f"it is for {only.name} alone, which lacks {listed(lacks)}"] if lacks else []


def _away(row: Row, facts: Facts) -> list[str]:
    """That whoever could take it up takes nothing up until somebody lets it go on."""
    return _takers(row, facts).away


def _busy(row: Row, facts: Facts) -> list[str]:
    """That everybody who could take it up cannot now, though somebody is at work."""
    return [] if row["status"] != "queued" else _takers(row, facts).busy


def _none_of(able: Sequence[Worker], work: Mapping[str, Sequence[Row]]) -> list[str]:
    """That none of these takes anything up now, and why; nothing where one does, or there is none."""
    held_up = [one.held_up() for one in able]
    if not held_up or None in held_up:
        return []
    told = [f"{why}{_at_work(work.get(one.id, ()))}" for one, why in zip(able, held_up, strict=True)]
    return [f"who could do it cannot now: {_some(told)}"]


def _at_work(leases: Sequence[Row]) -> str:
    """On what an agent works, and since when."""
    tasks = [f"{one['id']} since {iso(one['started_at'])}" for one in leases]
    return f" ({_some(tasks)})" if tasks else ""


def _some(said: Sequence[str]) -> str:
    """The first of several, and how many more there are."""
    more = f" and {len(said) - _NAMED_MAX} more" if len(said) > _NAMED_MAX else ""
    return f"{', '.join(said[:_NAMED_MAX])}{more}"


def _takers(row: Row, facts: Facts) -> Takers:
    """Who could take a task up, looked for once for all that need the same."""
    key = row["required_capabilities"], row["agent_id"]
    if key not in facts.takers:
        facts.takers[key] = _looked_for(*key, facts)
    return facts.takers[key]


def _looked_for(required: str, agent_id: str | None, facts: Facts) -> Takers:
    """Who could take up what needs these capabilities, and may be for one agent alone."""
    needed: list[str] = json.loads(required)
    able = [one for one in facts.workers if agent_id in (None, one.id) and one.skills.issuperset(needed)]
    if not able:
        return Takers(_nobody_at_all(needed, facts) if needed and agent_id is None else None, [], [])
    why = _none_of(able, facts.work)
    return Takers(None, why, []) if all(one.rests() for one in able) else Takers(None, [], why)


def _nobody_at_all(needed: Sequence[str], facts: Facts) -> str:
    """That no agent has all of these; of the first few such, with who comes nearest."""
    told = sum(one.nobody is not None for one in facts.takers.values())
    return nobody_can(needed, facts.workers, facts.left) if told < _HINTED_MAX else nobody_can(needed, ())


def _key_held(row: Row, facts: Facts) -> list[str]:
    holders = facts.holders.get(row["concurrency_key"] or "", ())
    if row["status"] != "queued" or len(holders) < row["concurrency_limit"]:
        return []
    names = {one.id: one.name for one in facts.workers}
    held = [_held(one, names.get(one["lease_agent_id"]) or one["lease_agent_id"]) for one in holders]
    most = f"{row['concurrency_limit']} at a time, its own concurrency_limit"
    return [f"its concurrency_key ({most}) is held by {_some(held)}"]


def _held(holder: Row, name: str) -> str:
    since = f"since {iso(holder['started_at'])}, lease until {iso(holder['lease_expires_at'])}"
    return f"{holder['id']} ({name} {since})"


def _ended_badly(row: Row, facts: Facts) -> list[str]:
    return [
        f"{one['id']} ended as {one['status']}, so {_then(row, one)} (on_parent_failure {row['on_parent_failure']})"
        for one in facts.parents.get(row["id"], ())
        if one["status"] in _BADLY
    ][:_NAMED_MAX]


def _then(row: Row, parent: Row) -> str:
    """What becomes of a task one of whose parents ended badly: by its policy, and by what people said of the parent.
    What was not touched since is yet to be cancelled with it; what was retried since waits for that one."""
    policy, is_refused = row["on_parent_failure"], bool(parent["refused"])
    ends_with_it = policy == "cancel" or (is_refused and policy != "wait")
    if ends_with_it and row["updated_at"] < (parent["finished_at"] or 0):
        return "it is cancelled soon"
    if is_refused:
        return "it waits for a retry, and for people's yes to that"
    return "it runs once the others have ended" if policy == "run_anyway" else "it waits for a retry"


_Reason = Callable[[Row, Facts], list[str]]
_OF_A_QUEUE = (_nobody, _away, _busy)
_LASTING = (_ended_badly, _nobody, _away)
_REASONS = (_ended_badly, _key_held, _nobody, _away, _busy)


def _by(column: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[column], []).append(row)
    return grouped
