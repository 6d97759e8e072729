"""Tasks: the life cycle of one piece of work.

    pending ──▶ queued ──▶ running ──▶ completed
       ▲  ▲       │           │ ├────▶ failed | timed_out ──retry──▶ queued
       │  └─retry─┼───────────┘ └────▶ cancelled
       └─ paused ◀┘

Each claim raises the attempt number, the fence for outside systems, and brings a lease token of its own, of which the
task keeps the hash alone: a late worker's token is stale.
JSON columns stay text in the aggregate: no rule looks inside them.
"""

import json
from typing import Any, Literal, Self

from mcp_server.domain.tasks.refusals import Standing, illegal, lease_lost, nothing_to_decide, too_late_to_ask
from mcp_server.domain.tasks.rules import (
    BLANK,
    NO_LEASE,
    TaskStatus,
    backoff_seconds,
    due_at,
    finish_mark,
    legal_now,
    readiness,
    rest_seconds,
    system_legal,
)
from mcp_server.domain.tasks.schedules import ScheduleSpec
from mcp_server.domain.tasks.spec import MAX_ATTEMPTS_DEFAULT, PRIORITIES, FailureSpec, UsageSpec, queue_name
from mcp_server.kernel.clocks import is_ahead
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, dump_json, sha256_text
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration, iso_or_none

JSON_COLUMNS = frozenset(
    ("input", "required_capabilities", "depends_on", "tags", "progress", "result", "error", "usage", "schedule")
)
LEASE_RAN_OUT = "The worker's lease ran out before it reported or finished."
_LIFE = frozenset(BLANK) | {"id", "version", "status", "ready_at", "due_at"}


class Task(Record):
    """The aggregate: the stored columns of one task."""

    id: str
    title: str
    kind: str
    description: str
    input: str | None
    priority: int
    queue: str
    agent_id: str | None
    required_capabilities: str
    depends_on: str
    on_parent_failure: str
    parent_id: str | None
    run_at: Micros | None
    timeout_seconds: float | None
    max_attempts: int | None
    retry_delay_seconds: float
    retry_max_delay_seconds: float
    concurrency_key: str | None
    concurrency_limit: int
    tags: str
    idempotency_key: str | None
    content_hash: str | None
    status: TaskStatus
    waits_on: int
    ready_at: Micros | None
    attempt: int
    attempts_forgiven: int
    lease_agent_id: str | None
    lease_instance_id: str | None
    lease_seconds: float | None
    lease_expires_at: Micros | None
    deadline_at: Micros | None
    started_at: Micros | None
    finished_at: Micros | None
    finished_by: str | None
    progress: str | None
    result: str | None
    error: str | None
    usage: str | None
    last_finish: str | None
    cancel_reason: str | None
    cancel_requested: int
    system: int
    created_by: str
    created_at: Micros
    updated_at: Micros
    version: int
    schedule: str | None
    approval: str | None
    approved_by: str | None
    due_at: Micros | None
    lease_token_hash: str | None
    refused: int | None
    key_owner: str | None

    def definition(self) -> dict[str, Any]:
        """All that was said of the task when it was created, as an event holds it; nothing of its life since."""
        said = {name: value for name, value in self.__dict__.items() if name not in _LIFE}
        return said | {name: RawJson(said[name]) for name in JSON_COLUMNS & said.keys() if said[name] is not None}

    # What the queue does

    def claimed(
        self, agent_id: str, instance_id: str | None, lease_seconds: float, token: str, now: Micros
    ) -> tuple[Self, Event]:
        """Leased to an agent under a new token, as the next attempt."""
        return self.moved(
            "task.claimed",
            now,
            status="running",
            attempt=self.attempt + 1,
            lease_agent_id=agent_id,
            lease_instance_id=instance_id,
            lease_seconds=lease_seconds,
            lease_expires_at=now + duration(lease_seconds),
            deadline_at=None if self.timeout_seconds is None else now + duration(self.timeout_seconds),
            started_at=now,
            lease_token_hash=sha256_text(token),
        )

    def reclaimed(self, lease_seconds: float, token: str, now: Micros) -> tuple[Self, Event]:
        """The same lease under a fresh token, from now on; the old token holds nothing any more."""
        changes = {"lease_seconds": lease_seconds, "lease_expires_at": self._leased_until(lease_seconds, now)}
        return self.moved("task.reclaimed", now, **changes, lease_token_hash=sha256_text(token))

    def released(self, now: Micros) -> tuple[Self, Event]:
        """One dependency fewer to wait for; queued at the last one."""
        waits_on = self.waits_on - 1
        changes: dict[str, Any] = {"waits_on": waits_on}
        if self.status == "pending":
            changes |= readiness(waits_on, self.run_at, self.approval, now)
        return self.moved("task.queued" if changes.get("status") == "queued" else "task.released", now, **changes)

    def due(self, now: Micros) -> tuple[Self, Event]:
        """Queued, its time having come."""
        return self.moved("task.queued", now, **self._readiness(now))

    def lease_expired(self, now: Micros, jitter: float, why: str = LEASE_RAN_OUT) -> tuple[Self, Event]:
        """The worker was not heard of in time, or is gone: back to the queue, or failed when the attempts are used
        up."""
        failure = {"code": "lease_expired", "message": why}
        return self._attempt_over("lease_expired", "failed", failure, now, jitter, retryable=True)

    def timed_out(self, now: Micros, jitter: float) -> tuple[Self, Event]:
        """The attempt ran longer than the task's timeout."""
        why = f"The attempt ran longer than {self.timeout_seconds:g} seconds."
        failure = {"code": "timed_out", "message": why}
        return self._attempt_over("attempt_timed_out", "timed_out", failure, now, jitter, retryable=True)

    def handed_back(self, now: Micros, reason: str) -> tuple[Self, Event]:
        """Back to the queue through no fault of the worker's: the attempt does not count."""
        changes = NO_LEASE | {"attempts_forgiven": self.attempts_forgiven + 1, "started_at": None}
        if self.cancel_requested:
            return self._ended("cancelled", now, **changes)
        return self.moved("task.handed_back", now, **changes, status="queued", ready_at=now, cancel_reason=reason)

    # What a worker does

    def reported(
        self, token: str, progress: RawJson | None, extend_seconds: float | None, now: Micros
    ) -> tuple[Self, Event]:
        """The lease extended, and never cut short, and the progress kept.

        Raises:
            LeaseLost: the token is not the current one.
        """
        self.require_lease(token, now)
        seconds = extend_seconds or self.lease_seconds or 0.0
        changes: dict[str, Any] = {"lease_expires_at": self._leased_until(seconds, now)}
        if progress is not None:
            changes["progress"] = progress
        return self.moved("task.reported", now, **changes)

    def completed(
        self, token: str, result: RawJson | None, usage: UsageSpec | None, digest: str, now: Micros
    ) -> tuple[Self, Event]:
        """Done, with its result.

        Raises:
            LeaseLost: the token is not the current one.
        """
        self.require_lease(token, now)
        return self._ended(
            "completed",
            now,
            **NO_LEASE,
            result=result,
            error=None,
            usage=usage and usage.stored(),
            last_finish=finish_mark(self.lease_token_hash, digest),
            finished_by=self.lease_agent_id,
        )

    def failed(
        self,
        token: str,
        failure: FailureSpec,
        usage: UsageSpec | None,
        digest: str,
        now: Micros,
        jitter: float,
    ) -> tuple[Self, Event]:
        """The attempt failed: retried after a back-off, or failed for good.

        Raises:
            LeaseLost: the token is not the current one.
        """
        self.require_lease(token, now)
        # Said nothing? A task created with a retry policy asks to be retried; one without does not.
        retryable = self.max_attempts is not None if failure.retryable is None else failure.retryable
        facts = failure.model_dump(exclude_none=True, exclude={"retryable", "retry_after_seconds"})
        return self._attempt_over(
            "attempt_failed",
            "failed",
            facts,
            now,
            jitter,
            retryable=retryable,
            delay=failure.retry_after_seconds,
            usage=usage and usage.stored(),
            last_finish=finish_mark(self.lease_token_hash, digest),
        )

    def is_repeat_of(self, token: str, digest: str) -> bool:
        """Whether this very finish was accepted before."""
        return self.last_finish is not None and self.last_finish == finish_mark(sha256_text(token), digest)

    def was_finished_by(self, token: str) -> bool:
        """Whether its last attempt was ended under this lease, whatever was said then."""
        return self.last_finish is not None and self.last_finish.startswith(finish_mark(sha256_text(token), ""))

    # What a person or an orchestrator does

    def cancelled(self, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """Cancelled at once, or asked of the worker, which learns of it at its next report."""
        self.require_legal("cancel")
        if self.status == "running":
            return self.moved("task.cancel_requested", now, cancel_requested=1, cancel_reason=reason)
        return self._ended("cancelled", now, cancel_reason=reason)

    def paused(self, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """Kept from being claimed until resumed. Why stands where a cancellation's reason does: one of them is true."""
        self.require_legal("pause")
        return self.moved("task.paused", now, status="paused", ready_at=None, cancel_reason=reason)

    def resumed(self, now: Micros) -> tuple[Self, Event]:
        """Waiting again for what it waited for, or queued."""
        self.require_legal("resume")
        if self.schedule is not None:
            put_off = self.run_at is not None and self.run_at > now
            run_at = self.run_at if put_off else ScheduleSpec.model_validate_json(self.schedule).next_after(now)
            return self.moved("task.resumed", now, status="pending", run_at=run_at, cancel_reason=None)
        return self.moved("task.resumed", now, **self._readiness(now), cancel_reason=None)

    def retried(self, now: Micros, waits_on: int) -> tuple[Self, Event]:
        """A dead letter put back with all its attempts, to wait for so many of its parents."""
        self.require_legal("retry")
        # What a person refused may be asked again, and needs a new answer then.
        approval = "required" if self.approval == "rejected" else self.approval
        changes = readiness(waits_on, None, approval, now) | {
            "waits_on": waits_on,
            "approval": approval,
            "attempts_forgiven": self.attempt,
            "cancel_requested": 0,
            **dict.fromkeys(("run_at", "finished_at", "finished_by", "cancel_reason", "refused", "progress")),
        }
        return self.moved("task.retried", now, **changes)

    def discarded(self, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """A dead letter given up: no longer listed among the failed."""
        self.require_legal("discard")
        return self.moved("task.discarded", now, status="cancelled", cancel_reason=reason or "discarded")

    def reprioritised(self, priority: str, now: Micros) -> tuple[Self, Event]:
        """Claimed earlier or later than its neighbours."""
        self.require_legal("set_priority")
        return self.moved("task.priority_set", now, priority=PRIORITIES[priority])

    def assigned(self, agent_id: str | None, now: Micros, **more: Any) -> tuple[Self, Event]:
        """For one agent alone, or for anybody who can do it."""
        queue = queue_name(self.kind, agent_id, json.loads(self.required_capabilities))
        return self.moved("task.assigned", now, agent_id=agent_id, queue=queue, **more)

    def approved(self, by: str, now: Micros, how: Literal["granted", "answered"] = "granted") -> tuple[Self, Event]:
        """Free to start, as far as people are concerned.

        Raises:
            InvalidTransition: it does not wait for an approval.
        """
        self._require_undecided()
        changes: dict[str, Any] = {"approval": how, "approved_by": by}
        if self.status == "pending":
            changes |= readiness(self.waits_on, self.run_at, how, now)
        return self.moved("task.approved", now, **changes)

    def rejected(self, by: str | None, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """Cancelled, since a person said no, or nobody said anything in time.

        Raises:
            InvalidTransition: it does not wait for an approval.
        """
        self._require_undecided()
        why = f"rejected by {by}{f': {reason}' if reason else ''}" if by else "expired: nobody decided in time"
        return self._ended("cancelled", now, approval="rejected", approved_by=by, cancel_reason=why, refused=1)

    def gated(self, now: Micros) -> tuple[Self, Event]:
        """From now on waiting for an approval.

        Raises:
            InvalidTransition: it has started or ended, or is a schedule.
        """
        if self.status not in ("pending", "queued", "paused") or self.schedule is not None:
            raise too_late_to_ask(self.id, self.status, asks_anew=self.approval == "rejected")
        changes: dict[str, Any] = {"approval": "required"}
        if self.status != "paused":
            changes |= readiness(self.waits_on, self.run_at, "required", now)
        return self.moved("task.gated", now, **changes)

    def require_legal(self, action: str) -> None:
        """Refuse an action that the status does not allow.

        Raises:
            InvalidTransition: naming the legal actions.
        """
        legal = legal_now(self.status, self.run_at, repeats=self.schedule is not None)
        if action not in legal:
            said = system_legal(legal) if self.system else legal
            raise illegal(self.id, self.status, action, said, repeats=self.schedule is not None)

    # Helpers

    def _leased_until(self, seconds: float, now: Micros) -> Micros:
        """So long from now, and not before the lease ends already, unless a clock that was ahead has said that."""
        return max(now + duration(seconds), 0 if is_ahead(self.updated_at, now) else self.lease_expires_at or 0)

    def _readiness(self, now: Micros) -> dict[str, Any]:
        return readiness(self.waits_on, self.run_at, self.approval, now)

    def _require_undecided(self) -> None:
        if self.approval != "required" or self.status not in ("pending", "paused"):
            raise nothing_to_decide(self.id, self.status, self.approval)

    def require_lease(self, token: str, now: Micros) -> None:
        """Refuse a worker whose lease is not the current one.

        Raises:
            LeaseLost: saying what is true now.
        """
        expired = self.lease_expires_at is not None and self.lease_expires_at <= now
        if self.status != "running" or sha256_text(token) != self.lease_token_hash or expired:
            holder, until = self.lease_agent_id or self.finished_by, iso_or_none(self.lease_expires_at)
            raise lease_lost(Standing(self.id, self.status, self.attempt, holder, until, expired))

    def _attempt_over(
        self,
        event: str,
        final: TaskStatus,
        failure: dict[str, Any],
        now: Micros,
        jitter: float,
        *,
        retryable: bool,
        delay: float | None = None,
        **more: Any,
    ) -> tuple[Self, Event]:
        used = self.attempt - self.attempts_forgiven
        changes: dict[str, Any] = NO_LEASE | more | {"error": RawJson(dump_json(failure | {"attempt": self.attempt}))}
        if self.cancel_requested:
            return self._ended("cancelled", now, **changes)
        if not retryable or used >= (self.max_attempts or MAX_ATTEMPTS_DEFAULT):
            return self._ended(final, now, **changes, finished_by=self.lease_agent_id)
        backoff = backoff_seconds(used, self.retry_delay_seconds, self.retry_max_delay_seconds, jitter)
        run_at = now + duration(rest_seconds(backoff, delay, is_least=bool(self.system)))
        return self.moved(f"task.{event}", now, **changes, run_at=run_at, **readiness(0, run_at, None, now))

    def _ended(self, status: TaskStatus, now: Micros, **changes: Any) -> tuple[Self, Event]:
        return self.moved(f"task.{status}", now, **changes, status=status, finished_at=now, title=self.title)

    def moved(self, type_: str, now: Micros, /, **changes: Any) -> tuple[Self, Event]:
        """The one way a task changes: new fields, a higher version, and the event that says so. One that a clock ahead
        has changed stays known by that until it is righted."""
        changes.setdefault("updated_at", self.updated_at if is_ahead(self.updated_at, now) else now)
        fields = self.changed(changes)
        fields["version"] = version = self.version + 1
        if (due := due_at(fields)) != self.due_at:
            fields["due_at"] = changes["due_at"] = due
        return self.adopt(fields), Event(type_, "task", self.id, version, changes)


def is_claimable(task: Task, now: Micros) -> bool:
    """The specification that the claim statement repeats, capacity and concurrency keys aside."""
    free = task.waits_on == 0 and task.approval != "required" and task.schedule is None
    return task.status == "queued" and free and (task.run_at is None or task.run_at <= now)
