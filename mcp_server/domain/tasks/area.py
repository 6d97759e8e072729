"""How tasks are wired into the house."""

from functools import partial

from mcp_server.domain.agents.hooks import AGENT_ENDED, AGENT_HANDED_OVER, AGENT_HOLDS, INSTANCE_ENDED
from mcp_server.domain.tasks import replay
from mcp_server.domain.tasks.archive import ARCHIVE_KIND, archive_tasks, is_anything_old
from mcp_server.domain.tasks.claiming import claim, claim_system, read_ahead
from mcp_server.domain.tasks.endings import ENDINGS_KIND, go_on_ending, put_off
from mcp_server.domain.tasks.hooks import ENDINGS_LEFT
from mcp_server.domain.tasks.model import JSON_COLUMNS, Task
from mcp_server.domain.tasks.pinning import hand_over, pinned_to
from mcp_server.domain.tasks.queues import QUEUES_KIND, are_many_empty, drop_queues
from mcp_server.domain.tasks.righting import AHEAD
from mcp_server.domain.tasks.rules import NO_LEASE
from mcp_server.domain.tasks.spec import PRIORITY_NAMES, USUAL, shown_kind
from mcp_server.domain.tasks.timers import DUE
from mcp_server.domain.tasks.transactions import finish, hand_back, instance_gone, read_finishes_ahead, require_held
from mcp_server.kernel.area import Aggregate, Area, Chore, Completion, Searched, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import WRITING
from mcp_server.kernel.keys import owner_of_key
from mcp_server.kernel.searching import fold_words
from mcp_server.kernel.telling import Telling, whole

_NO_LEASE = " ".join(NO_LEASE)
_EDITED = (
    "title kind description input priority agent_id required_capabilities on_parent_failure timeout_seconds tags "
    "max_attempts retry_delay_seconds retry_max_delay_seconds concurrency_key concurrency_limit"
)


def _moved(always: str, sometimes: str = "") -> Telling:
    """What is told of a task that changes: when, and when it is due where that is another time now."""
    return Telling.of(f"updated_at {always}", f"due_at {sometimes}")


def _controlled(always: str, sometimes: str = "") -> Telling:
    """What is told of a task that somebody changes from outside: also why, where that was said."""
    return _moved(always, f"{sometimes} reason")


_EVENTS = {
    "created": Telling.of(whole(Task)),
    "claimed": _moved(f"{_NO_LEASE} lease_seconds status attempt started_at"),
    "reclaimed": _moved("lease_seconds lease_expires_at lease_token_hash"),
    "reported": _moved("lease_expires_at", "progress"),
    "handed_back": _moved(f"{_NO_LEASE} attempts_forgiven started_at status ready_at cancel_reason"),
    "released": _moved("waits_on", "status ready_at"),
    "queued": _moved("status ready_at", "waits_on"),
    "completed": _moved(f"{_NO_LEASE} result error usage last_finish finished_by status finished_at", "title"),
    "failed": _moved(f"{_NO_LEASE} error finished_by status finished_at", "usage last_finish title"),
    "timed_out": _moved(f"{_NO_LEASE} error finished_by status finished_at", "title"),
    "cancelled": _moved(
        "status finished_at",
        f"{_NO_LEASE} error usage last_finish attempts_forgiven started_at cancel_reason approval approved_by refused "
        "title",
    ),
    "attempt_failed": _moved(f"{_NO_LEASE} error run_at status ready_at usage last_finish"),
    "attempt_timed_out": _moved(f"{_NO_LEASE} error run_at status ready_at"),
    "lease_expired": _moved(f"{_NO_LEASE} error run_at status ready_at"),
    "cancel_requested": _moved("cancel_requested cancel_reason"),
    "paused": _moved("status ready_at", "cancel_reason"),
    "resumed": _controlled("status", "run_at ready_at cancel_reason"),
    "retried": _controlled(
        "status ready_at waits_on approval attempts_forgiven cancel_requested run_at finished_at finished_by "
        "cancel_reason refused progress"
    ),
    "discarded": _moved("status cancel_reason"),
    "priority_set": _controlled("priority"),
    "rescheduled": _controlled("run_at", "schedule status ready_at"),
    "edited": _controlled("", f"{_EDITED} queue approval approved_by depends_on waits_on status ready_at"),
    "assigned": _controlled("agent_id queue", f"{_NO_LEASE} attempts_forgiven started_at status ready_at"),
    "gated": _moved("approval", "status ready_at"),
    "approved": _moved("approval approved_by", "status ready_at"),
    "schedule_fired": _controlled("run_at result"),
    "schedule_skipped": _moved("run_at result"),
    "righted": _moved("", "ready_at started_at run_at lease_expires_at deadline_at"),
}

WORDS = ("title", "description")

AREA = Area(
    name="tasks",
    toolset="tasks",
    tables=(
        # One in which no unfinished task stands may be gone, or not yet.
        Table(
            "queues",
            rebuilt="SELECT * FROM queues WHERE name IN (SELECT queue FROM tasks "
            "WHERE status IN ('pending', 'queued', 'running', 'paused')) ORDER BY name",
        ),
        Table(
            "tasks",
            rebuilt="SELECT * FROM (SELECT * FROM tasks UNION ALL SELECT * FROM archived_tasks) AS every ORDER BY id",
        ),
        Table("dependencies", key=2),
        Table("archived_tasks", rebuilt=None),
        Table("task_tags", key=3, exported=False),
    ),
    aggregates=(
        Aggregate(
            "task",
            events=_EVENTS,
            seen_by=Permission.TASKS_READ,
            record=Task,
            beside={"reason": str},
            table="tasks",
            row="task_for_update",
            json=JSON_COLUMNS,
            any_json=frozenset(("input", "result")),
            hidden=frozenset(
                ("queue", "lease_token_hash", "last_finish", "waits_on", "attempts_forgiven", "system", "due_at")
            ),
            told={
                "priority": lambda rank: PRIORITY_NAMES.get(rank, rank),
                "cancel_requested": bool,
                "kind": shown_kind,
            },
            usual=USUAL,
            uris=lambda id_: {"ops://tasks", f"ops://tasks/{id_}"},
            words=WORDS,
            reworded=("edited",),
            unsaid=owner_of_key,
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
            may_thin=replay.may_thin,
        ),
    ),
    hears=(
        AGENT_ENDED.heard_by(hand_back),
        INSTANCE_ENDED.heard_by(instance_gone),
        AGENT_HOLDS.heard_by(pinned_to),
        AGENT_HANDED_OVER.heard_by(hand_over),
        WRITING.heard_by(require_held),
        ENDINGS_LEFT.heard_by(put_off),
    ),
    searched=tuple(
        Searched("task", every, partial(fold_words, columns=WORDS), in_time=f"{every}_in_time")
        for every in ("tasks_every", "archive_every")
    ),
    sweeps=(DUE,),
    rightings=(AHEAD,),
    kinds=(
        SystemKind(ARCHIVE_KIND, archive_tasks, at_once=1, seconds_max=600),
        SystemKind(ENDINGS_KIND, go_on_ending, at_once=1, seconds_max=600),
        SystemKind(QUEUES_KIND, drop_queues, at_once=1, seconds_max=600),
    ),
    chores=(
        Chore("Archive finished tasks", ARCHIVE_KIND, times=13, wanted=is_anything_old),
        Chore("Drop queues that nobody uses", QUEUES_KIND, times=15, wanted=are_many_empty),
    ),
    completions={
        "task_id": Completion("complete_task_ids", Permission.TASKS_READ),
        "kind": Completion("complete_kinds", Permission.TASKS_READ),
    },
    # On PostgreSQL claims have a writer of their own: they wait for each other on their agent's row anyway, and must
    # not make others wait as well.
    lanes={claim: 1, claim_system: 1},
    read_ahead={claim: read_ahead, finish: read_finishes_ahead},
)
