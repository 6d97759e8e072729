"""Rows <-> `Task`: loading one, bringing one back from the archive, and what one task's end does to its dependents."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mcp_server.domain.tasks.hooks import ENDINGS_LEFT, TASK_ENDED
from mcp_server.domain.tasks.model import Task
from mcp_server.domain.tasks.refusals import no_task
from mcp_server.domain.tasks.rules import TERMINAL
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Memory, Transaction
from mcp_server.kernel.times import Micros

ENDINGS_MAX = 500
"""So many tasks are changed in one transaction by the end of what they hung on: everyone else waits for it."""
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
    tasks, waiting = tx.together(("tasks_lock", ids), ("dependents_of_many", ids))
    for row in tasks:
        tx.notes["task", row["id"]] = row["version"]
    _note_dependents(tx, [row["id"] for row in tasks], waiting)


def _note_dependents(tx: Transaction, task_ids: Iterable[str], waiting: Iterable[Mapping[str, Any]]) -> None:
    children: dict[str, list[dict[str, Any]]] = {task_id: [] for task_id in task_ids}
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
    """The same for several tasks that ended. What hangs on them beyond some hundreds is put off: everyone else waits
    for this transaction."""
    released: list[str] = []
    left = ENDINGS_MAX
    while pending and left > 0:
        parent, cause = pending.pop()
        caused = origin.caused_by(cause)
        children = _concerned(tx, caused, parent, left + 1)
        changed = _after_parent(tx, caused, parent, children[:left])
        pending += [(parent, cause)] * (len(children) > left) + changed
        released += _with_status(changed, ("queued",))
        left -= len(children)
    later = _with_status(pending, TERMINAL)
    if later:
        tx.tell(ENDINGS_LEFT, origin, later)
    return released


def _with_status(changed: Iterable[tuple[Task, int]], statuses: Collection[str]) -> list[str]:
    return [task.id for task, _ in changed if task.status in statuses]


def _concerned(tx: Transaction, origin: Origin, parent: Task, limit: int) -> list[Task]:
    """The dependents to which a task's end does something, locked, once it has been told; those that go on waiting for
    its retry are none of them."""
    if parent.status not in TERMINAL:
        return []
    tx.tell(TASK_ENDED, origin, parent)
    if tx.notes.pop(("dependents", parent.id), None) == []:
        return []
    # The statement says by these two what `_left_by` does.
    refused = bool(parent.refused)
    how = {"refused": int(refused), "frees": int(not refused and parent.status == "completed")}
    return list(map(Task.adopt, tx.all("dependents_concerned", parent_id=parent.id, limit=limit, **how)))


def _after_parent(tx: Transaction, origin: Origin, parent: Task, children: Sequence[Task]) -> list[tuple[Task, int]]:
    """Dependents as their parent's end leaves them, each with the event that says so, but for those that had ended."""
    changed: list[tuple[Task, int]] = []
    for child in children:
        new, event = _left_by(parent, child, origin.at)
        cause = tx.record(origin, event)
        changed += [] if child.status in TERMINAL else [(new, cause)]
    if children and not parent.refused:  # after a no the dependency stays: a retry has to ask again
        tx.run("dependencies_delete", parent_id=parent.id, ids=dump_json([child.id for child in children]))
    ended = _with_status(changed, TERMINAL)
    if len(ended) > 1:  # for one alone that is its own look
        _note_dependents(tx, ended, tx.all("dependents_of_many", ids=dump_json(ended)))
    return changed


def _left_by(parent: Task, child: Task, now: Micros) -> tuple[Task, Event]:
    """A dependent whom its parent's end concerns as that leaves it: nothing runs that hung on a person's no."""
    if parent.refused:
        why = f"{parent.id} was {parent.cancel_reason}"[:_REASON_CHARACTERS_MAX]
        return child.moved("task.cancelled", now, status="cancelled", finished_at=now, cancel_reason=why, refused=1)
    if parent.status == "completed" or child.on_parent_failure == "run_anyway":
        return child.released(now)
    return child.cancelled(f"{parent.id} ended as {parent.status}", now)
