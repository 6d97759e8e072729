"""Rows <-> `Task`: loading one, bringing one back from the archive, and what one task's end does to its dependents."""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcp_server.domain.tasks.hooks import ENDINGS_LEFT, TASK_ENDED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.refusals import no_task
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Memory, Transaction

DEPENDENTS_MAX = 5_000
ENDINGS_MAX = 1_000
_KEPT_MAX = 1024
_REASON_CHARACTERS_MAX = 1000
_KEPT_CHARACTERS_MAX = 2048


class LeasedTasks(Memory):
    """The tasks that this process leased last, whole: a row whose version is still the same need not be read again.

    Good because every change of a task raises its version. A rollback forgets all: versions that never were may be
    given out again.
    """

    shared = True

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def keep(self, row: dict[str, Any]) -> None:
        """Remember a row just written, unless it is bulky."""
        if len(row["input"] or "") + len(row["description"]) <= _KEPT_CHARACTERS_MAX:
            with self._lock:
                self._rows[row["id"]] = row
                if len(self._rows) > _KEPT_MAX:
                    del self._rows[next(iter(self._rows))]

    def take(self, id_: str) -> dict[str, Any] | None:
        """The row, which is forgotten: whoever loads it is about to change it."""
        with self._lock:
            return self._rows.pop(id_, None)

    def forget(self) -> None:
        """Forget them all."""
        with self._lock:
            self._rows.clear()


def load_task(tx: Transaction, task_id: str) -> Task:
    """The task, locked for this transaction.

    Raises:
        NotFound: no such task.
    """
    kept = tx.memory(LeasedTasks).take(task_id)
    if kept is not None and _current_version(tx, task_id) == kept["version"]:
        return Task.adopt(kept)
    row = tx.one("task_for_update", id=task_id)
    if row is None:
        raise no_task(task_id)
    return Task.adopt(row)


def read_ahead(tx: Transaction, task_ids: Iterable[str]) -> None:
    """Lock tasks, in order, and read what ending them will ask for: their versions, and behind the locks, since others
    may come while these are waited for, their dependents."""
    ids = {"ids": dump_json(sorted(set(task_ids)))}
    children: dict[str, list[dict[str, Any]]] = {}
    tasks, waiting = tx.together(("tasks_lock", ids), ("dependents_of_many", ids))
    for row in tasks:
        tx.notes["task", row["id"]] = row["version"]
        children[row["id"]] = []
    for row in waiting:
        children[row["parent_id"]].append({"task_id": row["task_id"]})
    for task_id, rows in children.items():
        tx.notes["dependents", task_id] = rows


def _current_version(tx: Transaction, task_id: str) -> int | None:
    version = tx.notes.get(("task", task_id))
    if version is None:
        row = tx.one("task_version", id=task_id)
        if row is None:
            return None
        version = row["version"]
        if not row["waited_for"]:
            tx.notes["dependents", task_id] = []
    return version


def _dependents(tx: Transaction, parent_id: str) -> list[dict[str, Any]]:
    rows = tx.notes.pop(("dependents", parent_id), None)
    return tx.all("dependents", parent_id=parent_id) if rows is None else rows


def dependents(tx: Transaction, parent_id: str) -> list[str]:
    """The ids of what waits for a task's end; reading them here costs its end nothing more."""
    rows = _dependents(tx, parent_id)
    tx.notes["dependents", parent_id] = rows
    return [row["task_id"] for row in rows]


def require_room(tx: Transaction, parent_id: str) -> None:
    """Refuse one more to wait for a task for which so many wait that its end would hold up everyone else.

    Raises:
        LimitExceeded: naming how many may.
    """
    if tx.one("dependents_beyond", parent_id=parent_id, beyond=DEPENDENTS_MAX - 1) is not None:
        raise LimitExceeded(
            f"{DEPENDENTS_MAX} tasks wait for {parent_id} already, as many as may: its end releases them all at once.",
            next="Let a task in between wait for it, and the others for that one.",
            details={"task_id": parent_id, "dependents_max": DEPENDENTS_MAX},
        )


def add_dependency(tx: Transaction, parent_id: str, task_id: str) -> None:
    """Let a task wait for its parent's end."""
    tx.notes.pop(("dependents", parent_id), None)
    tx.run("dependency_insert", parent_id=parent_id, task_id=task_id)


def waited_for(tx: Transaction, task: Mapping[str, Any]) -> list[str]:
    """The parents for which a task that starts anew has to wait: all that are not completed; where it runs anyway, only
    those that have not ended, or that people refused."""
    return [parent_id for parent_id in json.loads(task["depends_on"]) if _holds_up(tx, parent_id, task)]


def _holds_up(tx: Transaction, parent_id: str, task: Mapping[str, Any]) -> bool:
    parent = find_row(tx, parent_id)
    if parent is None or parent["status"] == "completed":
        return False
    return parent["status"] not in TERMINAL or bool(parent["refused"]) or task["on_parent_failure"] != "run_anyway"


def wait_anew(tx: Transaction, task: Mapping[str, Any], parents: Sequence[str]) -> None:
    """Let a task wait for these of its parents, and for no other. One that is waited for is back from the archive:
    somebody hopes for its retry."""
    for parent_id in json.loads(task["depends_on"]):
        tx.notes.pop(("dependents", parent_id), None)
        if parent_id not in parents:
            tx.run("dependency_delete", parent_id=parent_id, task_id=task["id"])
            continue
        load_anywhere(tx, parent_id)
        add_dependency(tx, parent_id, task["id"])


def find_row(tx: Transaction, task_id: str) -> dict[str, Any] | None:
    """A task's columns, locked, wherever they are: in the hot table or in the archive."""
    return tx.one("task_for_update", id=task_id) or tx.one("archived_task_by_id", id=task_id)


def load_anywhere(tx: Transaction, task_id: str) -> Task:
    """The task, locked and in the hot table: an archived one is brought back, so that it can change.

    Raises:
        NotFound: no such task.
    """
    if tx.one("task_for_update", id=task_id) is None and tx.one("archived_task_by_id", id=task_id) is not None:
        tx.run("unarchive_copy", id=task_id)
        tx.run("unarchive_remove", id=task_id)
    return load_task(tx, task_id)


def after_end(tx: Transaction, origin: Origin, ended: Task, cause: int) -> list[str]:
    """What a task's end, told by the event `cause`, does to its dependents, and theirs; the ids queued by it."""
    return spread(tx, origin, [(ended, cause)])


def spread(tx: Transaction, origin: Origin, pending: list[tuple[Task, int]]) -> list[str]:
    """The same for several tasks that ended. What hangs on more than a thousand of them is put off: everyone else waits
    for this transaction."""
    released: list[str] = []
    for _ in range(ENDINGS_MAX):
        if not pending:
            return released
        parent, cause = pending.pop()
        if parent.status not in TERMINAL:
            continue
        tx.tell(TASK_ENDED, origin.caused_by(cause), parent)
        for row in _dependents(tx, parent.id):
            changed = _after_parent(tx, origin.caused_by(cause), load_task(tx, row["task_id"]), parent)
            if changed is not None and changed[0].status == "queued":
                released.append(changed[0].id)
            elif changed is not None:
                pending.append(changed)
    if pending:
        tx.tell(ENDINGS_LEFT, origin, [task.id for task, _ in pending])
    return released


def _after_parent(tx: Transaction, origin: Origin, child: Task, parent: Task) -> tuple[Task, int] | None:
    """The dependent as its parent's end leaves it and the event that says so, or None where it goes on waiting for that
    parent's retry."""
    waits = child.status in ("pending", "paused")
    if parent.refused:
        return _after_refusal(tx, origin, child, parent) if waits else None
    if parent.status == "completed" or child.on_parent_failure == "run_anyway":
        new, event = child.released(origin.at)
    elif child.on_parent_failure == "cancel" and waits:
        new, event = child.cancelled(f"{parent.id} ended as {parent.status}", origin.at)
    else:
        return None
    tx.run("dependency_delete", parent_id=parent.id, task_id=child.id)
    cause = tx.record(origin, event)
    return None if child.status in TERMINAL else (new, cause)


def _after_refusal(tx: Transaction, origin: Origin, child: Task, parent: Task) -> tuple[Task, int] | None:
    """After a person's no, nothing that hung on it runs. The dependency stays: a retry has to ask again."""
    if child.on_parent_failure == "wait":
        return None
    why = f"{parent.id} was {parent.cancel_reason}"[:_REASON_CHARACTERS_MAX]
    new, event = child.moved(
        "task.cancelled", origin.at, status="cancelled", finished_at=origin.at, cancel_reason=why, refused=1
    )
    return new, tx.record(origin, event)
