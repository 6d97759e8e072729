"""What has become of several tasks, within bounds: the parents of one that is claimed, and those that somebody waits
for. What is too long is left out, with the call that reads it."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from mcp_server.domain.search.finding import fetch_few_holding
from mcp_server.domain.tasks.commands import Until
from mcp_server.domain.tasks.refusals import no_task
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.domain.tasks.standing import progress_of
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.views import View, json_or_none

RESULT_CHARACTERS_MAX = 8_000
RESULTS_CHARACTERS_MAX = 24_000
"""One result, and all of them together; a model reads about a quarter as many tokens."""


class Standing(NamedTuple):
    """Where a task stands; any change raises its version."""

    status: str
    version: int

    def has_reached(self, until: Until, first: "Standing") -> bool:
        """Whether what is waited for is there, from where the task stood at first."""
        if until == "any_change":
            return self != first
        return self.status in TERMINAL or (until == "running" and self.status == "running")


Standings = dict[str, Standing]
"""By the tasks' ids."""


class OutcomeView(View):
    """One task's status and result; or how far it is, or what it waits for."""

    id: str
    title: str
    status: str
    result: Any = None
    result_left_out: str | None = None
    error: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    waits_for: list[str] | None = None


async def standings(database: Database, task_ids: Sequence[str]) -> Standings:
    """Status and version of several tasks, wherever they are.

    Raises:
        NotFound: naming the first that there is not.
    """
    rows = await database.fetch_all("task_standings", ids=dump_json(list(task_ids)))
    found = {row["id"]: Standing(row["status"], row["version"]) for row in rows}
    missing = next((task_id for task_id in task_ids if task_id not in found), None)
    if missing is not None:
        raise await unknown_task(database, missing)
    return found


async def unknown_task(database: Database, reference: str) -> NotFound:
    """The refusal for what names no task; where it is the title of one that is not ended, with that one's id."""
    if reference.startswith("task_"):
        return no_task(reference)
    titled = await fetch_few_holding(database, "tasks_titled", "task", f"{reference}\n")
    return no_task(reference, [row["id"] for row in titled])


async def outcomes(database: Database, task_ids: Iterable[str]) -> dict[str, OutcomeView]:
    """What has become of several tasks, by id; those that are gone are left out."""
    ids = list(dict.fromkeys(task_ids))
    rows = {row["id"]: row for row in await database.fetch_all("task_outcomes", ids=dump_json(ids))}
    return {task_id: _outcome(rows[task_id]) for task_id in ids if task_id in rows}


async def parents_of(database: Database, tasks: Iterable[Row]) -> dict[str, list[OutcomeView]]:
    """What each of some tasks depended on, by its id, within bounds; those that depended on nothing are left out."""
    depended = {task["id"]: list[str](json.loads(task["depends_on"])) for task in tasks if task["depends_on"] != "[]"}
    if not depended:
        return {}
    found = await outcomes(database, chain.from_iterable(depended.values()))
    return {task_id: bounded(filter(None, map(found.get, ids))) for task_id, ids in depended.items()}


def bounded(tasks: Iterable[OutcomeView]) -> list[OutcomeView]:
    """These, as long as their results together are not too long: those that came first keep theirs."""
    left, kept = RESULTS_CHARACTERS_MAX, list[OutcomeView]()
    for task in tasks:
        length = 0 if task.result is None else len(dump_json(task.result))
        fits = length <= min(left, RESULT_CHARACTERS_MAX)
        left -= length if fits else 0
        kept.append(task if fits else task.evolved({"result": None, "result_left_out": left_out(task.id, length)}))
    return kept


def left_out(task_id: str, length: int) -> str:
    """That a task's result is too long to stand here, and where it is."""
    return f"{length} characters of JSON; tasks_find(task_id='{task_id}') shows them"


def _outcome(row: Row) -> OutcomeView:
    return OutcomeView(
        id=row["id"],
        title=row["title"],
        status=row["status"],
        result=json_or_none(row["result"]),
        error=json_or_none(row["error"]),
        progress=progress_of(row) if row["status"] == "running" else None,
    )
