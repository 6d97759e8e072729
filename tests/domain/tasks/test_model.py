"""The task's life cycle, driven at random against its rules."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from mcp_server.domain.tasks.births import new_task as born
from mcp_server.domain.tasks.commands import FinishTask
from mcp_server.domain.tasks.editing import edited
from mcp_server.domain.tasks.model import Task, is_claimable
from mcp_server.domain.tasks.rescheduling import rescheduled
from mcp_server.domain.tasks.rules import LEGAL, TERMINAL, backoff_seconds, due_at
from mcp_server.domain.tasks.spec import FailureSpec, TaskChanges, TaskSpec, UsageSpec
from mcp_server.kernel.errors import InvalidTransition, LeaseLost, ValidationFailed
from mcp_server.kernel.events import Origin
from mcp_server.kernel.times import SECOND

ACTIONS = ("cancel", "pause", "resume", "retry", "discard", "set_priority", "reschedule", "edit")


def new_task(**spec) -> Task:
    task, _ = born("task_x", TaskSpec.model_validate({"title": "t"} | spec), (), 0, Origin(0, "user:me", "c"))
    return task


class TaskLife(RuleBasedStateMachine):
    """Any sequence of legal steps keeps the invariants; illegal ones are refused and change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.task = new_task(retry={"max_attempts": 3, "delay_seconds": 1}, timeout_seconds=50)
        self.tokens: list[str] = []

    def step(self, outcome) -> None:
        new, event = outcome
        assert event.version == self.task.version + 1 == new.version
        assert new.fields() == self.task.fields() | dict(event.data) | {"version": new.version}
        self.task = new

    @initialize(gated=st.booleans())
    def is_created(self, gated: bool) -> None:
        self.task = new_task(retry={"max_attempts": 3, "delay_seconds": 1}, timeout_seconds=50, requires_approval=gated)

    @rule(granted=st.booleans())
    def a_person_decides(self, granted: bool) -> None:
        before = self.task
        move = before.approved if granted else lambda by, now: before.rejected(by, "no", now)
        if before.approval == "required" and before.status in ("pending", "paused"):
            self.step(move("user:boss", self.now))
            assert self.task.approved_by == "user:boss"
            return
        with pytest.raises(InvalidTransition):
            move("user:boss", self.now)

    @rule(seconds=st.integers(0, 100))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @precondition(lambda self: is_claimable(self.task, self.now))
    @rule()
    def claim(self) -> None:
        token = f"lease_{len(self.tokens)}"
        self.step(self.task.claimed("agent_a", None, 30, token, self.now))
        self.tokens.append(token)

    @precondition(lambda self: self.task.status == "running")
    @rule()
    def takes_its_lease_up_again(self) -> None:
        attempt, token = self.task.attempt, f"lease_{len(self.tokens)}"
        self.step(self.task.reclaimed(30, token, self.now))
        assert self.task.attempt == attempt
        self.tokens.append(token)

    @precondition(lambda self: self.task.status == "pending" and (self.task.due_at or 1 << 62) <= self.now)
    @rule()
    def becomes_due(self) -> None:
        self.step(self.task.due(self.now))

    @precondition(lambda self: self.task.status == "running")
    @rule(jitter=st.floats(0, 0.999))
    def lease_runs_out(self, jitter: float) -> None:
        self.step(self.task.lease_expired(self.now, jitter))

    @precondition(lambda self: self.task.status == "running")
    @rule(jitter=st.floats(0, 0.999))
    def times_out(self, jitter: float) -> None:
        self.step(self.task.timed_out(self.now, jitter))

    @precondition(lambda self: self.task.status == "running")
    @rule()
    def is_handed_back(self) -> None:
        self.step(self.task.handed_back(self.now, "drained"))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), fails=st.booleans())
    def worker_finishes(self, data, fails: bool) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        holds = self.task.status == "running" and token == self.tokens[-1]
        try:
            if fails:
                self.step(self.task.failed(token, FailureSpec(message="no"), None, "f", self.now, 0.5))
            else:
                self.step(self.task.completed(token, None, None, "c", self.now))
        except LeaseLost:
            assert not holds or self.task.lease_expires_at <= self.now
        else:
            assert holds
            assert self.task.is_repeat_of(token, "f" if fails else "c")

    def at(self, ahead: int) -> datetime:
        return datetime.fromtimestamp(self.now // SECOND + ahead, UTC)

    @rule(action=st.sampled_from(ACTIONS), ahead=st.integers(-10, 100))
    def somebody_steers(self, action: str, ahead: int) -> None:
        before = self.task
        moves = {
            "cancel": lambda: before.cancelled("why", self.now),
            "pause": lambda: before.paused("why", self.now),
            "resume": lambda: before.resumed(self.now),
            "retry": lambda: before.retried(self.now, before.waits_on),
            "discard": lambda: before.discarded(None, self.now),
            "set_priority": lambda: before.reprioritised("high", self.now),
            "reschedule": lambda: rescheduled(before, TaskChanges(run_at=self.at(ahead)), self.now),
            "edit": lambda: edited(before, TaskChanges(input=ahead % 3, timeout_seconds=50), before.waits_on, self.now),
        }
        if action in LEGAL[before.status]:
            self.step(moves[action]())
            return
        with pytest.raises(InvalidTransition):
            moves[action]()

    @invariant()
    def a_lease_is_held_exactly_while_running(self) -> None:
        assert (self.task.lease_agent_id is not None) == (self.task.status == "running")
        assert (self.task.lease_expires_at is not None) == (self.task.status == "running")

    @invariant()
    def an_ended_task_says_when(self) -> None:
        assert (self.task.finished_at is not None) == (self.task.status in TERMINAL)

    @invariant()
    def a_queued_task_has_its_place_in_the_queue(self) -> None:
        if self.task.status in ("queued", "running"):
            assert self.task.ready_at is not None
        if self.task.status in ("pending", "paused"):
            assert self.task.ready_at is None

    @invariant()
    def time_alone_moves_exactly_what_it_should(self) -> None:
        task = self.task
        assert task.due_at == due_at(task.fields())
        waits_for_time = task.status == "pending" and task.approval != "required"
        assert (task.due_at is not None) == (task.status == "running" or waits_for_time)

    @invariant()
    def nothing_starts_before_a_person_has_agreed(self) -> None:
        if self.task.approval in ("required", "rejected"):
            assert self.task.status not in ("queued", "running")


TestTaskLife = TaskLife.TestCase
TestTaskLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.integers(1, 200), st.floats(0, 1e5), st.floats(0, 1e6), st.floats(0, 0.999))
def test_the_back_off_grows_never_beyond_its_cap_and_its_jitter(attempts: int, delay: float, cap: float, jitter: float):
    seconds = backoff_seconds(attempts, delay, cap, jitter)
    assert 0 <= seconds <= cap * 1.2
    if delay <= cap and attempts == 1:
        assert delay * 0.8 <= seconds <= delay * 1.2


def test_what_a_repeated_finish_says_is_part_of_its_identity():
    def digest(**parts) -> str:
        outcome = "failed" if "error" in parts else "completed"
        return FinishTask(task_id="task_x", lease_token="x", outcome=outcome, **parts).digest()

    assert digest() == digest(usage=UsageSpec(input_tokens=9)) != digest(result="1")
    assert digest() != digest(error=FailureSpec(message="x")) != digest(result="1") != digest(result="2")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"outcome": "failed"}, "'failed' needs `error`"),
        ({"outcome": "completed", "error": FailureSpec(message="x")}, "only 'failed' takes it"),
        ({"outcome": "failed", "error": FailureSpec(message="x"), "result": 1}, "A failed attempt has no `result`"),
    ],
)
def test_an_attempt_says_what_its_outcome_takes_and_nothing_else(parts: dict[str, Any], reason: str):
    with pytest.raises((ValidationFailed, ValidationError), match=reason):
        FinishTask(task_id="task_x", lease_token="x", **parts)
