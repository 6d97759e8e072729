"""What tasks wait for: how their parents stand, and the dependencies on those that hold them up. A task may have a
hundred parents, and a call a hundred tasks: those of one task are read and written together."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcp_server.domain.tasks.rows import load_anywhere
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Row, Transaction

DEPENDENTS_MAX = 5_000


def standing_of(tx: Transaction, task_ids: Iterable[str]) -> dict[str, Row]:
    """How tasks stand, by their ids: `id`, `status`, `approval`, `refused`, `cancel_reason`, and whether they are
    `archived`; all others are locked. Those that there are not are left out."""
    ids = set(task_ids)
    found: dict[str, Row] = {}
    for statement, archived in (("tasks_standing", False), ("archived_tasks_standing", True)):
        asked = sorted(ids - found.keys())
        rows = tx.all(statement, ids=dump_json(asked)) if asked else []
        found |= {row["id"]: {**row, "archived": archived} for row in rows}
    return found


def require_room(tx: Transaction, parents: Sequence[str]) -> None:
    """Refuse one more to wait for tasks for one of which so many wait that its end would hold up everyone else.

    Raises:
        LimitExceeded: naming how many may.
    """
    waiting = _waiting(tx)
    unknown = [parent for parent in parents if parent not in waiting]
    rows = tx.all("dependents_counted", ids=dump_json(unknown), most=DEPENDENTS_MAX) if unknown else []
    waiting.update({row["parent_id"]: row["n"] for row in rows})
    full = next((parent for parent in parents if waiting[parent] >= DEPENDENTS_MAX), None)
    if full is not None:
        raise LimitExceeded(
            f"{DEPENDENTS_MAX} tasks wait for {full} already, as many as may: its end concerns them all.",
            next="Let a task in between wait for it, and the others for that one.",
            details={"task_id": full, "dependents_max": DEPENDENTS_MAX},
        )


def _waiting(tx: Transaction) -> dict[str, int]:
    """How many wait for each task at most: counted once in a transaction, since to count them takes a while."""
    return tx.notes.setdefault(_waiting, {})


def add_dependencies(tx: Transaction, parents: Sequence[str], task_id: str) -> None:
    """Let a task wait for the end of each of these."""
    waiting = _waiting(tx)
    for parent_id in parents:
        tx.notes.pop(("dependents", parent_id), None)
        waiting[parent_id] = waiting.get(parent_id, 0) + 1
    if parents:
        tx.run("dependencies_insert", parent_ids=dump_json(list(parents)), task_id=task_id)


def waited_for(tx: Transaction, task: Mapping[str, Any]) -> list[str]:
    """The parents for which a task that starts anew has to wait: all that are not completed; where it runs anyway, only
    those that have not ended, or that people refused."""
    parents: list[str] = json.loads(task["depends_on"])
    standing = standing_of(tx, parents)
    return [one for one in parents if one in standing and _holds_up(standing[one], task["on_parent_failure"])]


def _holds_up(parent: Row, policy: str) -> bool:
    if parent["status"] == "completed":
        return False
    return parent["status"] not in TERMINAL or bool(parent["refused"]) or policy != "run_anyway"


def wait_anew(tx: Transaction, task: Mapping[str, Any], parents: Sequence[str]) -> None:
    """Let a task wait for these of its parents, and for no other. One that is waited for is back from the archive:
    somebody hopes for its retry."""
    others = sorted(set(json.loads(task["depends_on"])) - set(parents))
    for parent_id in others:
        tx.notes.pop(("dependents", parent_id), None)
    if others:
        tx.run("dependencies_drop", parent_ids=dump_json(others), task_id=task["id"])
    bring_back(tx, standing_of(tx, parents).values())
    add_dependencies(tx, parents, task["id"])


def bring_back(tx: Transaction, standing: Iterable[Row]) -> None:
    """Bring those back from the archive that are in it."""
    for row in standing:
        if row["archived"]:
            load_anywhere(tx, row["id"])
