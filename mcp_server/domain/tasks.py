"""Tasks: the life cycle of one piece of work.

    pending ──▶ queued ──▶ running ──▶ completed
       ▲  ▲       │           │ ├────▶ failed | timed_out ──retry──▶ queued
       │  └─retry─┼───────────┘ └────▶ cancelled
       └─ paused ◀┘

A task's attempt number is its fencing token: each claim raises it, so a late worker's token is stale.
JSON columns stay text in the aggregate: no rule looks inside them.
"""

from typing import Any, Literal, Self

from mcp_server.domain.errors import InvalidTransition, LeaseLost
from mcp_server.domain.events import Event
from mcp_server.domain.task_spec import MAX_ATTEMPTS_DEFAULT, PRIORITIES, FailureSpec, TaskSpec, UsageSpec
from mcp_server.domain.values import Frozen, Micros, RawJson, check_json, dump_json, duration

TaskStatus = Literal["pending", "queued", "running", "paused", "completed", "failed", "cancelled", "timed_out"]
TaskAction = Literal["cancel", "pause", "resume", "retry", "discard", "set_priority", "reschedule"]
TERMINAL = frozenset({"completed", "failed", "cancelled", "timed_out"})
_WAITING = ("cancel", "pause", "set_priority", "reschedule")
LEGAL: dict[str, tuple[str, ...]] = {
    "pending": _WAITING,
    "queued": _WAITING,
    "running": ("cancel", "set_priority"),
    "paused": ("resume", "cancel", "set_priority", "reschedule"),
    "completed": (),
    "failed": ("retry", "discard"),
    "timed_out": ("retry", "discard"),
    "cancelled": ("retry",),
}
_NO_LEASE: dict[str, Any] = {
    "lease_agent_id": None,
    "lease_instance_id": None,
    "lease_expires_at": None,
    "deadline_at": None,
}


class Task(Frozen):
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

    @staticmethod
    def created(
        task_id: str, spec: TaskSpec, parents: tuple[str, ...], waits_on: int, origin: "Creation"
    ) -> tuple["Task", Event]:
        """A new task, queued when nothing keeps it waiting."""
        now = origin.now
        data: dict[str, Any] = spec.columns() | {
            "depends_on": RawJson(dump_json(list(parents))),
            "idempotency_key": spec.idempotency_key,
            "content_hash": spec.content_hash() if spec.idempotency_key else None,
            "waits_on": waits_on,
            "created_by": origin.actor,
            "created_at": now,
            "updated_at": now,
        }
        data |= _readiness(waits_on, data["run_at"], now)
        task = Task.trusted({"id": task_id, "version": 1} | _BLANK | data)
        return task, Event("task.created", "task", task_id, 1, _BLANK | data, creates=True)

    # What the queue does

    def claimed(self, agent_id: str, instance_id: str | None, lease_seconds: float, now: Micros) -> tuple[Self, Event]:
        """Leased to an agent under a new fencing token, `attempt`."""
        return self._evolved(
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
        )

    def released(self, now: Micros) -> tuple[Self, Event]:
        """One dependency fewer to wait for; queued at the last one."""
        waits_on = self.waits_on - 1
        changes: dict[str, Any] = {"waits_on": waits_on}
        if self.status == "pending":
            changes |= _readiness(waits_on, self.run_at, now)
        return self._evolved("task.released" if waits_on else "task.queued", now, **changes)

    def due(self, now: Micros) -> tuple[Self, Event]:
        """Queued, its time having come."""
        return self._evolved("task.queued", now, **_readiness(self.waits_on, self.run_at, now))

    def lease_expired(self, now: Micros, jitter: float) -> tuple[Self, Event]:
        """The worker was not heard of in time: back to the queue, or failed when the attempts are used up."""
        failure = {
            "code": "lease_expired",
            "message": "The worker's lease ran out before it reported or finished.",
        }
        return self._attempt_over("lease_expired", "failed", failure, now, jitter, retryable=True)

    def timed_out(self, now: Micros, jitter: float) -> tuple[Self, Event]:
        """The attempt ran longer than the task's timeout."""
        failure = {
            "code": "timed_out",
            "message": f"The attempt ran longer than {self.timeout_seconds:g} seconds.",
        }
        return self._attempt_over("attempt_timed_out", "timed_out", failure, now, jitter, retryable=True)

    def handed_back(self, now: Micros, reason: str) -> tuple[Self, Event]:
        """Back to the queue through no fault of the worker's: the attempt does not count."""
        changes = _NO_LEASE | {"attempts_forgiven": self.attempts_forgiven + 1, "started_at": None}
        if self.cancel_requested:
            return self._ended("cancelled", now, **changes)
        return self._evolved("task.handed_back", now, **changes, status="queued", ready_at=now, cancel_reason=reason)

    # What a worker does

    def reported(
        self, token: int, progress: RawJson | None, extend_seconds: float | None, now: Micros
    ) -> tuple[Self, Event]:
        """The lease extended and the progress kept.

        Raises:
            LeaseLost: the token is not the current one.
        """
        self._require_lease(token, now)
        seconds = extend_seconds or self.lease_seconds or 0.0
        changes: dict[str, Any] = {"lease_expires_at": now + duration(seconds)}
        if progress is not None:
            changes["progress"] = progress
        return self._evolved("task.reported", now, **changes)

    def completed(
        self, token: int, result: RawJson | None, usage: UsageSpec | None, digest: str, now: Micros
    ) -> tuple[Self, Event]:
        """Done, with its result.

        Raises:
            LeaseLost: the token is not the current one.
        """
        self._require_lease(token, now)
        return self._ended(
            "completed",
            now,
            **_NO_LEASE,
            result=result,
            error=None,
            usage=_usage(usage),
            last_finish=f"{token}:{digest}",
            finished_by=self.lease_agent_id,
        )

    def failed(
        self,
        token: int,
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
        self._require_lease(token, now)
        # Said nothing? A task created with a retry policy asks to be retried; one without does not.
        retryable = self.max_attempts is not None if failure.retryable is None else failure.retryable
        facts = failure.model_dump(exclude_none=True, exclude={"retryable"})
        return self._attempt_over(
            "attempt_failed",
            "failed",
            facts,
            now,
            jitter,
            retryable=retryable,
            usage=_usage(usage),
            last_finish=f"{token}:{digest}",
        )

    def is_repeat_of(self, token: int, digest: str) -> bool:
        """Whether this very finish was accepted before."""
        return self.last_finish == f"{token}:{digest}"

    # What a person or an orchestrator does

    def cancelled(self, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """Cancelled at once, or asked of the worker, which learns of it at its next report."""
        self.require_legal("cancel")
        if self.status == "running":
            return self._evolved("task.cancel_requested", now, cancel_requested=1, cancel_reason=reason)
        return self._ended("cancelled", now, cancel_reason=reason)

    def paused(self, now: Micros) -> tuple[Self, Event]:
        """Kept from being claimed until resumed."""
        self.require_legal("pause")
        return self._evolved("task.paused", now, status="paused", ready_at=None)

    def resumed(self, now: Micros) -> tuple[Self, Event]:
        """Waiting again for what it waited for, or queued."""
        self.require_legal("resume")
        return self._evolved("task.resumed", now, **_readiness(self.waits_on, self.run_at, now))

    def retried(self, now: Micros) -> tuple[Self, Event]:
        """A dead letter put back with all its attempts."""
        self.require_legal("retry")
        changes = _readiness(self.waits_on, None, now) | {
            "attempts_forgiven": self.attempt,
            "run_at": None,
            "finished_at": None,
            "finished_by": None,
            "cancel_requested": 0,
            "cancel_reason": None,
            "progress": None,
        }
        return self._evolved("task.retried", now, **changes)

    def discarded(self, reason: str | None, now: Micros) -> tuple[Self, Event]:
        """A dead letter given up: no longer listed among the failed."""
        self.require_legal("discard")
        return self._evolved("task.discarded", now, status="cancelled", cancel_reason=reason or "discarded")

    def reprioritised(self, priority: str, now: Micros) -> tuple[Self, Event]:
        """Claimed earlier or later than its neighbours."""
        self.require_legal("set_priority")
        return self._evolved("task.priority_set", now, priority=PRIORITIES[priority])

    def rescheduled(self, run_at: Micros, now: Micros) -> tuple[Self, Event]:
        """Not to be claimed before `run_at`."""
        self.require_legal("reschedule")
        changes: dict[str, Any] = {"run_at": run_at}
        if self.status != "paused":
            changes |= _readiness(self.waits_on, run_at, now)
        return self._evolved("task.rescheduled", now, **changes)

    def require_legal(self, action: str) -> None:
        """Refuse an action that the status does not allow.

        Raises:
            InvalidTransition: naming the legal actions.
        """
        legal = LEGAL[self.status]
        if action not in legal:
            raise InvalidTransition(
                f"Task {self.id} is {self.status}, so {action} is not possible.",
                next=f"Legal now: {', '.join(legal) or 'nothing, it is finished'}.",
                details={"task_id": self.id, "status": self.status, "legal": list(legal)},
            )

    # Helpers

    def _require_lease(self, token: int, now: Micros) -> None:
        expired = self.lease_expires_at is not None and self.lease_expires_at <= now
        if self.status == "running" and token == self.attempt and not expired:
            return
        state = (
            f"its lease ran out at attempt {self.attempt}"
            if expired
            else f"it is {self.status} at attempt {self.attempt}"
        )
        raise LeaseLost(
            f"Lease token {token} no longer holds task {self.id}: {state}.",
            next="Stop working on it and claim again with tasks_claim.",
            details={
                "task_id": self.id,
                "status": self.status,
                "current_token": self.attempt,
                "your_token": token,
            },
        )

    def _attempt_over(
        self,
        event: str,
        final: TaskStatus,
        failure: dict[str, Any],
        now: Micros,
        jitter: float,
        *,
        retryable: bool,
        **more: Any,
    ) -> tuple[Self, Event]:
        used = self.attempt - self.attempts_forgiven
        changes: dict[str, Any] = _NO_LEASE | more | {"error": RawJson(dump_json(failure | {"attempt": self.attempt}))}
        if self.cancel_requested:
            return self._ended("cancelled", now, **changes)
        if not retryable or used >= (self.max_attempts or MAX_ATTEMPTS_DEFAULT):
            return self._ended(final, now, **changes, finished_by=self.lease_agent_id)
        run_at = now + duration(backoff_seconds(used, self.retry_delay_seconds, self.retry_max_delay_seconds, jitter))
        return self._evolved(f"task.{event}", now, **changes, run_at=run_at, **_readiness(0, run_at, now))

    def _ended(self, status: TaskStatus, now: Micros, **changes: Any) -> tuple[Self, Event]:
        return self._evolved(f"task.{status}", now, **changes, status=status, finished_at=now, ready_at=None)

    def _evolved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        changes["updated_at"] = now
        version = self.version + 1
        new = self.evolved(changes | {"version": version})
        return new, Event(kind, "task", self.id, version, changes)


class Creation(Frozen):
    """Who creates a task, and when."""

    actor: str
    now: Micros


_BLANK: dict[str, Any] = _NO_LEASE | {
    "attempt": 0,
    "attempts_forgiven": 0,
    "lease_seconds": None,
    "started_at": None,
    "finished_at": None,
    "finished_by": None,
    "progress": None,
    "result": None,
    "error": None,
    "usage": None,
    "last_finish": None,
    "cancel_reason": None,
    "cancel_requested": 0,
    "system": 0,
}


def is_claimable(task: Task, now: Micros) -> bool:
    """The specification that the claim statement repeats, capacity and concurrency keys aside."""
    return task.status == "queued" and task.waits_on == 0 and (task.run_at is None or task.run_at <= now)


def backoff_seconds(attempts_used: int, delay: float, delay_max: float, jitter: float) -> float:
    """Exponential back-off with full-range jitter of ±20 %, capped.

    Args:
        attempts_used: attempts made so far, at least 1.
        delay: seconds before the second attempt.
        delay_max: cap in seconds.
        jitter: a random number in [0, 1).
    """
    exponent = min(attempts_used - 1, 60)
    return min(delay * 2.0**exponent, delay_max) * (0.8 + 0.4 * jitter)


def _readiness(waits_on: int, run_at: Micros | None, now: Micros) -> dict[str, Any]:
    if waits_on > 0 or (run_at is not None and run_at > now):
        return {"status": "pending", "ready_at": None}
    return {"status": "queued", "ready_at": now}


def _usage(usage: UsageSpec | None) -> RawJson | None:
    return None if usage is None else check_json(usage.model_dump(exclude_none=True), "usage")
