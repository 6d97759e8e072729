"""The task queue's promises, on both engines."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.commands import (
    ClaimTasks,
    ControlTasks,
    FindTasks,
    FinishTask,
    GiveUpTask,
    ReportTask,
    WaitForTasks,
)
from mcp_server.domain.tasks.model import Task, is_claimable
from mcp_server.domain.tasks.results import ClaimedTask, ControlledTasks, ReportedTask
from mcp_server.domain.tasks.service import TaskService
from mcp_server.domain.tasks.spec import FailureSpec, ProgressSpec, UsageSpec
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import (
    AtCapacity,
    Conflict,
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.kernel.times import SECOND
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.upkeep.replay import replay
from tests.world import START, World, caller

pytestmark = pytest.mark.anyio


def at(seconds: float) -> datetime:
    """A moment relative to the world's start."""
    return datetime.fromtimestamp(START / SECOND, UTC) + timedelta(seconds=seconds)


async def report(world: World, claimed: ClaimedTask, **more: Any) -> ReportedTask:
    command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token, **more)
    return await world.desk.tasks.report(world.call, command)


async def control(world: World, action: Any, *task_ids: str, **more: Any) -> ControlledTasks:
    command = ControlTasks(task_ids=task_ids, action=action, **more)
    return await world.desk.tasks.control(world.call, command)


async def test_a_task_goes_from_creation_to_completion_and_each_step_is_an_event(world: World):
    agent = await world.agent()
    task = await world.task(title="Write", input={"pages": [1, None]}, tags=["x"], priority="high")
    claimed = await world.claim_one(agent)
    assert (claimed.task.id, claimed.task.status, claimed.attempt) == (task.id, "running", 1)
    reported = await report(world, claimed, progress=ProgressSpec(percent=50, step="draft"))
    assert reported.task.progress == {"percent": 50.0, "step": "draft"}
    done = await world.finish(claimed, result={"ok": None}, usage=UsageSpec(cost_usd=0.5))
    kept = await world.desk.tasks.get(world.call, task.id)
    assert (done.task.status, kept.result, kept.usage) == ("completed", {"ok": None}, {"cost_usd": 0.5})
    assert (done.released, done.repeated) == ([], False)
    assert await world.events(aggregate_id=task.id) == [
        "task.created",
        "task.claimed",
        "task.reported",
        "task.completed",
    ]


async def test_the_highest_priority_is_claimed_first_and_then_the_oldest(world: World):
    agent = await world.agent()
    for title, priority in [("old", "normal"), ("urgent", "critical"), ("minor", "low"), ("new", "normal")]:
        await world.task(title=title, priority=priority)
        world.clock.advance(1)
    claimed = await world.claim(agent, max_tasks=10)
    assert [c.task.title for c in claimed] == ["urgent", "old", "new", "minor"]


async def test_an_agent_is_given_only_what_it_can_do(world: World):
    painter = await world.agent("painter", skills=("paint",))
    writer = await world.agent("writer", skills=("write",))
    await world.tasks(
        {"title": "paint it", "required_capabilities": ["paint"]},
        {"title": "for the writer", "agent_id": writer.id},
        {"title": "both", "required_capabilities": ["paint", "write"]},
    )
    assert [c.task.title for c in await world.claim(painter, max_tasks=10)] == ["paint it"]
    assert [c.task.title for c in await world.claim(writer, max_tasks=10)] == ["for the writer"]


async def test_a_claim_may_be_narrowed_to_kinds(world: World):
    agent = await world.agent()
    await world.tasks({"title": "a", "kind": "build"}, {"title": "b", "kind": "test"})
    assert [c.task.title for c in await world.claim(agent, max_tasks=5, kinds=["test"])] == ["b"]


async def test_an_empty_claim_says_why(world: World):
    agent = await world.agent()
    await world.tasks(
        {"required_capabilities": ["fly"]},
        {"concurrency_key": "k"},
        {"concurrency_key": "k"},
        {"run_at": at(60)},
    )
    held = await world.claim_one(agent)
    await world.task(depends_on=[held.task.id])
    paused = await world.task()
    await control(world, "pause", paused.id)
    answer = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id))
    assert answer.claims == []
    assert answer.nothing_because == {
        "need_other_capabilities": 1,
        "held_by_concurrency_key": 1,
        "blocked_by_dependencies": 1,
        "scheduled_for_later": 1,
        "paused": 1,
    }


async def test_whoever_goes_away_at_any_moment_of_a_claim_leaves_no_task_leased(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent))
    child = await world.task(depends_on=[parent.id])

    async def is_free() -> bool:
        return await world.status(child) == "queued"

    for turns in range(40):
        task = asyncio.create_task(world.claim(agent))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(ended, asyncio.CancelledError):
            world.desk.tasks.put_back(world.call, GiveUpTask(ended[0].task.id, ended[0].lease_token, "a test"))
        async with asyncio.timeout(60):
            while not await is_free():
                await asyncio.sleep(0.001)


async def test_what_becomes_ready_while_a_claim_looks_why_there_is_nothing_is_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    agent, looked = await world.agent(), TaskService._why_nothing

    async def meanwhile(self: TaskService, *asked: Any) -> Any:
        await world.task(title="new")
        return await looked(self, *asked)

    monkeypatch.setattr(TaskService, "_why_nothing", meanwhile)
    assert [claim.task.title for claim in await world.claim(agent)] == ["new"]


async def test_questions_to_people_are_not_taken_off_what_is_scheduled(world: World):
    agent = await world.agent()
    for title in ("may I?", "and this?"):
        await world.desk.approvals.request(world.call, RequestApproval(title=title, action="deploy", approvers=()))
    await world.task(run_at=at(60))
    answer = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id))
    assert answer.nothing_because == {"scheduled_for_later": 1}


async def test_an_agent_at_capacity_is_refused_work_with_the_reason(world: World):
    agent = await world.agent(capacity=1)
    await world.tasks({}, {})
    assert len(await world.claim(agent, max_tasks=5)) == 1
    with pytest.raises(AtCapacity, match="already runs 1 of 1"):
        await world.claim(agent)


async def test_dependents_wait_for_every_parent_and_are_released_by_the_last(world: World):
    agent = await world.agent()
    first, second, child = await world.tasks({"title": "a"}, {"title": "b"}, {"title": "c", "depends_on": ["#0", "#1"]})
    one, two = await world.claim(agent, max_tasks=2)
    assert (await world.desk.tasks.state(world.call, child.id)).waits_for == [
        f"2 unfinished dependencies ({first.id}, {second.id})"
    ]
    assert (await world.finish(one)).released == []
    waiting = await world.desk.tasks.get(world.call, child.id)
    assert waiting.waits_for == [f"1 unfinished dependency ({two.task.id})"]
    assert [p.status for p in waiting.waits_for_tasks or []] == ["running"]
    assert (await world.finish(two)).released == [child.id]
    assert {first.id, second.id} == {one.task.id, two.task.id}


async def test_a_parent_that_is_done_already_is_not_waited_for(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent))
    assert (await world.task(depends_on=[parent.id])).status == "queued"


@pytest.mark.parametrize(("policy", "status"), [("wait", "pending"), ("cancel", "cancelled"), ("run_anyway", "queued")])
async def test_dependents_follow_their_policy_when_a_parent_fails(world: World, policy: str, status: str):
    agent = await world.agent()
    _, child, grandchild = await world.tasks(
        {}, {"depends_on": ["#0"], "on_parent_failure": policy}, {"depends_on": ["#1"], "on_parent_failure": "cancel"}
    )
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    assert await world.status(child) == status
    assert await world.status(grandchild) == ("cancelled" if policy == "cancel" else "pending")


async def test_a_dependent_that_waits_is_released_when_the_failed_parent_is_retried(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"]})
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    await control(world, "retry", parent.id)
    assert (await world.finish(await world.claim_one(agent))).released == [child.id]


@pytest.mark.parametrize("policy", ["wait", "cancel", "run_anyway"])
@pytest.mark.parametrize("first", ["parent", "child"])
async def test_a_dependent_that_is_retried_waits_anew_for_a_parent_that_is_retried(
    world: World, policy: str, first: str
):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"], "on_parent_failure": policy})
    await control(world, "cancel", parent.id)
    if await world.status(child) != "cancelled":
        await control(world, "cancel", child.id)
    for id_ in (parent.id, child.id) if first == "parent" else (child.id, parent.id):
        await control(world, "retry", id_)
    waits = policy != "run_anyway" or first == "parent"
    assert await world.status(child) == ("pending" if waits else "queued")
    claimed = await world.claim(agent, max_tasks=5)
    assert len(claimed) == (1 if waits else 2)
    for one in claimed:
        await world.finish(one)
    assert await world.status(child) == ("queued" if waits else "completed")


async def test_what_is_asked_for_at_once_must_agree(world: World):
    for wrong in ({"ready": True, "status": "paused"}, {"ready": True, "blocked": True}):
        with pytest.raises(ValueError, match="`ready` means queued"):
            FindTasks.model_validate(wrong)


async def test_agent_id_is_whom_a_task_is_for_and_lease_who_works_on_it_in_lists_and_alone(world: World):
    agent = await world.agent()
    task = await world.task()
    claimed = await world.claim_one(agent)
    await report(world, claimed, progress=ProgressSpec(percent=50))
    (listed,) = (await world.desk.tasks.find(world.call, FindTasks())).items
    alone = await world.desk.tasks.get(world.call, task.id)
    for shown in (listed, alone):
        assert shown.agent_id is None and shown.lease is not None and shown.lease.agent_id == agent.id
        assert shown.progress == {"percent": 50.0}
    await world.finish(claimed)
    assert (await world.desk.tasks.get(world.call, task.id)).progress == {"percent": 100.0}


async def test_what_a_task_was_about_to_do_is_not_told_once_it_has_ended(world: World):
    agent = await world.agent()
    done, failed = await world.task(title="a"), await world.task(title="b")
    for task, how in ((done, {}), (failed, {"error": FailureSpec(message="no", retryable=False)})):
        claimed = await world.claim_one(agent)
        await report(world, claimed, progress=ProgressSpec(percent=50, step="two", message="almost there"))
        assert (await world.desk.tasks.get(world.call, task.id)).progress is not None
        await world.finish(claimed, **how)
    assert (await world.desk.tasks.get(world.call, done.id)).progress == {"percent": 100.0}
    assert (await world.desk.tasks.get(world.call, failed.id)).progress == {"percent": 50.0, "step": "two"}


async def test_an_action_answers_without_what_is_usual(world: World):
    task = await world.task()
    (paused,) = (await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action="pause"))).tasks
    assert (paused.status, paused.priority, paused.attempt) == ("paused", None, None)
    high = ControlTasks(task_ids=(task.id,), action="set_priority", priority="high")
    assert (await world.desk.tasks.control(world.call, high)).tasks[0].priority == "high"


async def test_an_event_says_that_a_task_is_queued_only_where_it_is(world: World):
    agent = await world.agent()
    parent, later, gated, gone = await world.tasks(
        {},
        {"depends_on": ["#0"], "run_at": "2030-01-01T00:00:00Z"},
        {"depends_on": ["#0"], "requires_approval": True},
        {"depends_on": ["#0"]},
    )
    await control(world, "cancel", gone.id)
    await world.finish(await world.claim_one(agent))
    for task in (later, gated, gone):
        assert "task.queued" not in await world.events(aggregate_id=task.id)
        assert await world.status(task) in ("pending", "cancelled")
    assert await world.status(parent) == "completed"


async def test_depending_on_a_dead_parent_is_refused_where_it_would_cancel_at_once(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    with pytest.raises(Conflict, match="has already ended as failed"):
        await world.task(depends_on=[parent.id], on_parent_failure="cancel")
    assert (await world.task(depends_on=[parent.id], on_parent_failure="run_anyway")).status == "queued"


async def test_a_batch_is_created_whole_or_not_at_all(world: World):
    with pytest.raises(NotFound, match="task_aaaaaaaaaaaz"):
        await world.tasks({"title": "fine"}, {"title": "bad", "depends_on": ["task_aaaaaaaaaaaz"]})
    assert (await world.desk.tasks.find(world.call, FindTasks(limit=10))).items == []
    assert await world.events() == []


async def test_a_cycle_is_refused_and_shown(world: World):
    with pytest.raises(ValidationFailed, match="#0 -> #1 -> #0"):
        await world.tasks({"depends_on": ["#1"]}, {"depends_on": ["#0"]})
    with pytest.raises(ValidationFailed, match="only #0 to #0"):
        await world.tasks({"depends_on": ["#7"]})


async def test_a_parent_may_stand_in_the_same_call_also_after_its_parts_or_waiting_for_them(world: World):
    whole, part, late = await world.tasks(
        {"title": "whole", "depends_on": ["#1"]}, {"title": "part", "parent_id": "#0"}, {"parent_id": "#1"}
    )
    assert (part.parent_id, late.parent_id, whole.depends_on) == (whole.id, part.id, [part.id])


async def test_a_part_names_the_parent_that_an_idempotency_key_finds(world: World):
    (first,) = await world.created({"title": "whole", "idempotency_key": "whole"})
    specs = [
        {"parent_id": "#1", "idempotency_key": "part"},
        {"title": "whole", "idempotency_key": "whole"},
    ]
    part, again = await world.created(*specs)
    assert again.id == first.id and again.replayed
    assert (await world.desk.tasks.get(world.call, part.id)).parent_id == first.id
    assert [one.replayed for one in await world.created(*specs)] == [True, True]


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ([{"parent_id": "#0"}], "parents in a circle: #0 -> #0"),
        ([{"parent_id": "#1"}, {"parent_id": "#0"}], "parents in a circle: #0 -> #1 -> #0"),
        ([{"parent_id": "#3", "depends_on": ["#2"]}], "Task #0 depends on #2 and is part of #3, but"),
    ],
)
async def test_a_parent_of_the_same_call_that_makes_no_sense_is_refused(
    world: World, specs: list[dict[str, Any]], said: str
):
    with pytest.raises(ValidationFailed, match=said):
        await world.created(*specs)


async def test_an_idempotency_key_returns_the_first_task_and_refuses_other_content(world: World):
    (first,) = await world.created({"title": "once", "idempotency_key": "k"})
    (again,) = await world.created({"title": "once", "idempotency_key": "k"})
    assert (again.id, first.replayed, again.replayed) == (first.id, None, True)
    with pytest.raises(IdempotencyConflict, match=first.id):
        await world.task(title="other", idempotency_key="k")


async def test_a_late_workers_token_is_refused_and_a_repeated_finish_changes_nothing(world: World):
    agent = await world.agent()
    task = await world.task()
    late = await world.claim_one(agent, lease_seconds=5)
    world.clock.advance(6)
    with pytest.raises(LeaseLost, match="ran out"):
        await world.finish(late)
    await world.settle()
    world.clock.advance(10)
    current = await world.claim_one(agent)
    assert current.attempt == 2
    with pytest.raises(LeaseLost):
        await world.finish(late, result=1)
    await world.finish(current, result=2)
    assert (await world.finish(current, result=2)).repeated is True
    with pytest.raises(LeaseLost):
        await world.finish(current, result=3)
    assert (await world.desk.tasks.get(world.call, task.id)).result == 2


async def test_a_report_extends_the_lease(world: World):
    agent = await world.agent()
    claimed = await world.claim_one(agent, lease_seconds=5) if await world.task() else None
    assert claimed is not None
    world.clock.advance(4)
    await report(world, claimed, extend_seconds=20)
    world.clock.advance(15)
    await world.settle()
    assert (await world.finish(claimed)).task.status == "completed"


async def test_expired_leases_use_up_the_attempts_and_end_as_a_dead_letter(world: World):
    agent = await world.agent()
    task = await world.task(retry={"max_attempts": 2, "delay_seconds": 1})
    for _ in range(2):
        world.clock.advance(100)
        await world.claim_one(agent, lease_seconds=1)
        world.clock.advance(2)
        await world.settle()
    dead = await world.desk.tasks.get(world.call, task.id)
    assert (dead.status, dead.error and dead.error["code"]) == ("failed", "lease_expired")


async def test_a_claim_settles_what_is_due_without_waiting_for_the_timer(world: World):
    agent = await world.agent()
    task = await world.task(run_at=at(30))
    assert task.status == "pending"
    world.clock.advance(31)
    assert (await world.claim_one(agent)).task.id == task.id


async def test_an_attempt_that_runs_longer_than_its_timeout_is_retried_and_then_timed_out(world: World):
    agent = await world.agent()
    task = await world.task(timeout_seconds=10, retry={"max_attempts": 2, "delay_seconds": 0})
    for status in ("queued", "timed_out"):
        await world.claim_one(agent, lease_seconds=100)
        world.clock.advance(11)
        await world.settle()
        assert await world.status(task) == status


async def test_failed_attempts_are_retried_with_growing_delays_when_the_policy_says_so(world: World):
    agent = await world.agent()
    task = await world.task(retry={"max_attempts": 3, "delay_seconds": 10})
    for delay in (10, 20):
        await world.finish(await world.claim_one(agent), error=FailureSpec(message="flaky"))
        waiting = await world.desk.tasks.get(world.call, task.id)
        assert waiting.status == "pending"
        world.clock.advance(delay - 1)
        assert await world.claim(agent) == []
        world.clock.advance(1)
    last = (await world.finish(await world.claim_one(agent), error=FailureSpec(message="flaky"))).task
    failed = await world.desk.tasks.get(world.call, last.id)
    assert (failed.status, failed.error) == ("failed", {"message": "flaky", "attempt": 3})


async def test_a_failure_is_final_without_a_policy_or_when_it_says_so(world: World):
    agent = await world.agent()
    for spec, failure in [({}, {}), ({"retry": {"max_attempts": 5}}, {"retryable": False})]:
        await world.task(**spec)
        failed = (await world.finish(await world.claim_one(agent), error=FailureSpec(message="no", **failure))).task
        assert failed.status == "failed"


async def test_a_dead_letter_can_be_retried_with_all_its_attempts_or_discarded(world: World):
    agent = await world.agent()
    one, two = await world.tasks({}, {})
    for claimed in await world.claim(agent, max_tasks=2):
        await world.finish(claimed, error=FailureSpec(message="no"))
    await control(world, "retry", one.id)
    (discarded,) = (await control(world, "discard", two.id, reason="obsolete")).tasks
    assert (await world.claim_one(agent)).attempt == 2
    assert discarded.status == "cancelled"


async def test_a_running_task_learns_of_its_cancellation_at_the_next_report(world: World):
    agent = await world.agent()
    task = await world.task()
    claimed = await world.claim_one(agent)
    await control(world, "cancel", task.id, reason="changed my mind")
    assert (await report(world, claimed)).cancel_requested is True
    stopped = (await world.finish(claimed, error=FailureSpec(message="stopped"))).task
    assert (stopped.status, stopped.cancel_reason) == ("cancelled", "changed my mind")


async def test_control_refuses_illegal_moves_one_by_one_and_names_the_legal_ones(world: World):
    task = await world.task()
    answer = await control(world, "retry", task.id, "task_missing")
    assert answer.tasks == []
    refused = answer.refused or []
    assert [(r.id, r.code) for r in refused] == [(task.id, "invalid_transition"), ("task_missing", "not_found")]
    assert "cancel, pause, set_priority, reschedule" in refused[0].message


async def test_pausing_rescheduling_and_priorities_change_what_is_claimed(world: World):
    agent = await world.agent()
    one, two, three = await world.tasks({}, {}, {})
    await control(world, "pause", one.id)
    await control(world, "reschedule", two.id, run_at=at(60))
    await control(world, "reschedule", one.id, run_at=at(30))
    assert [c.task.id for c in await world.claim(agent, max_tasks=5)] == [three.id]
    await control(world, "resume", one.id)
    assert await world.status(one) == "pending"
    await control(world, "set_priority", two.id, priority="critical")
    world.clock.advance(61)
    assert [c.task.id for c in await world.claim(agent, max_tasks=5)] == [two.id, one.id]


@pytest.mark.parametrize(
    ("action", "options", "reason"),
    [
        ("set_priority", {}, "set_priority needs `priority`"),
        ("cancel", {"priority": "low"}, "`priority` is taken by set_priority and edit"),
        ("reschedule", {}, "reschedule needs `run_at`"),
        ("cancel", {"run_at": at(1)}, "`run_at` is taken by reschedule and edit"),
    ],
)
def test_control_refuses_arguments_that_do_not_belong_to_the_action(action, options, reason: str):
    with pytest.raises((ValidationFailed, ValidationError), match=reason):
        ControlTasks(task_ids=("task_x",), action=action, **options)


async def test_a_concurrency_key_lets_only_so_many_run_at_once(world: World):
    agent = await world.agent()
    await world.tasks(*[{"concurrency_key": "db", "concurrency_limit": 2}] * 4)
    first = await world.claim(agent, max_tasks=4)
    assert len(first) == 2
    await world.finish(first[0])
    assert len(await world.claim(agent, max_tasks=4)) == 1


async def test_many_claimers_at_once_never_get_the_same_task(world: World):
    agent = await world.agent(capacity=1000)
    await world.tasks(*[{}] * 60)
    claims = await asyncio.gather(*(world.claim(agent, max_tasks=3) for _ in range(20)))
    ids = [claimed.task.id for batch in claims for claimed in batch]
    assert len(ids) == len(set(ids)) == 60


async def test_two_parents_that_finish_at_the_same_time_release_their_child(world: World):
    agent = await world.agent(capacity=100)
    children = []
    for _ in range(10):
        *_, child = await world.tasks({}, {}, {"depends_on": ["#0", "#1"]})
        children.append(child)
    claims = await world.claim(agent, max_tasks=20)
    await asyncio.gather(*(world.finish(claimed) for claimed in claims))
    assert [await world.status(child) for child in children] == ["queued"] * 10


async def test_a_waiting_claim_wakes_when_work_appears(world: World):
    agent = await world.agent()
    waiting = asyncio.create_task(world.claim(agent, wait_seconds=50))
    await asyncio.sleep(0)
    task = await world.task()
    assert [c.task.id for c in await asyncio.wait_for(waiting, 40)] == [task.id]


async def test_a_waiting_claim_gives_up_when_its_time_is_over(world: World):
    agent = await world.agent()
    assert await world.claim(agent, wait_seconds=0.05) == []


async def test_waiting_for_a_task_ends_when_it_does(world: World):
    agent = await world.agent()
    task = await world.task()
    wait = world.desk.tasks.wait
    assert (await wait(world.call, WaitForTasks(task_id=task.id, wait_seconds=0))).reached is False
    untils: list[Any] = ["running", "terminal", "any_change"]
    commands = [WaitForTasks(task_id=task.id, until=until, wait_seconds=50) for until in untils]
    waits = [await world.waiting(lambda call, command=command: wait(call, command)) for command in commands]
    await world.finish(await world.claim_one(agent))
    for waiting in waits:
        found = await asyncio.wait_for(waiting, 40)
        assert found.reached and found.task.status in ("running", "completed")


async def test_tasks_are_found_by_what_they_are_and_page_by_page(world: World):
    agent = await world.agent()
    parent = await world.task(title="50% Done_", kind="build", tags=["red"])
    for number in range(5):
        world.clock.advance(1)
        await world.task(title=f"child {number}", parent_id=parent.id, description="Deep sea")
    find = world.desk.tasks.find

    async def titles(**narrowed):
        return [t.title for t in (await find(world.call, FindTasks(limit=10, **narrowed))).items]

    assert await titles(kind="build") == await titles(tag="red") == await titles(text="50% d") == ["50% Done_"]
    assert await titles(tag="re") == await titles(text="0_d") == []
    assert len(await titles(text="DEEP")) == len(await titles(parent_id=parent.id)) == 5
    assert len(await titles(ready=True)) == len(await titles(status="queued")) == 6
    assert await titles(blocked=True) == []
    await world.claim(agent, max_tasks=1)
    assert len(await titles(agent_id=agent.id)) == 1
    assert await world.desk.tasks.counts(world.call) == {"queued": 5, "running": 1}
    first, cursor, omitted = await find(world.call, FindTasks(limit=4))
    rest, end, _ = await find(world.call, FindTasks(limit=4, cursor=cursor))
    assert ([t.title for t in first + rest][0], omitted, end, len(first + rest)) == ("child 4", 2, None, 6)
    with pytest.raises(ValidationFailed, match="not a cursor"):
        await find(world.call, FindTasks(limit=4, cursor="bogus!"))


async def test_unknown_ids_are_refused_with_what_to_do_next(world: World):
    with pytest.raises(NotFound, match="agents_register"):
        await world.desk.tasks.claim(world.call, ClaimTasks(agent_id="agent_x"))
    with pytest.raises(NotFound, match="tasks_find"):
        await world.desk.tasks.get(world.call, "task_x")
    with pytest.raises(NotFound, match="tasks_find"):
        await world.task(parent_id="task_x")
    with pytest.raises(NotFound, match="agents_find"):
        await world.task(agent_id="agent_x")


async def test_an_agents_credential_works_only_for_that_agent(world: World):
    mine, other = await world.agent("mine"), await world.agent("other")
    me = caller(Role.AGENT, "agent", mine.id)
    await world.tasks({}, {})
    with pytest.raises(PermissionDenied, match="cannot speak as other"):
        await world.desk.tasks.claim(me, ClaimTasks(agent_id=other.id))
    theirs = await world.claim_one(other)
    with pytest.raises(PermissionDenied, match="cannot speak as other"):
        command = FinishTask(task_id=theirs.task.id, lease_token=theirs.lease_token, outcome="completed")
        await world.desk.tasks.finish(me, command)
    with pytest.raises(PermissionDenied, match="tasks:control"):
        await world.desk.tasks.control(me, ControlTasks(task_ids=(theirs.task.id,), action="cancel"))
    (claimed,) = (await world.desk.tasks.claim(me, ClaimTasks(agent_id=mine.id))).claims
    command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
    assert (await world.desk.tasks.report(me, command)).task.status == "running"


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_claimed_is_exactly_what_the_specification_calls_claimable(world: World, seed: int):
    """`is_claimable` and the claim statement say the same of every task, whatever has been done to it."""
    chance = random.Random(seed)
    agent = await world.agent(capacity=1000)
    ids = [task.id for task in await world.tasks(*[{"retry": {"max_attempts": 2, "delay_seconds": 20}}] * 30)]
    ids += [task.id for task in await world.tasks(*[{"depends_on": [chance.choice(ids)]} for _ in range(10)])]
    for _ in range(60):
        world.clock.advance(chance.choice([0, 1, 15]))
        action = chance.choice(["cancel", "pause", "resume", "retry", "reschedule", "work", "work"])
        if action == "work":
            for claimed in await world.claim(agent, max_tasks=1, lease_seconds=10):
                failure = chance.choice([None, FailureSpec(message="x"), FailureSpec(message="x", retryable=False)])
                if chance.random() < 0.8:
                    await world.finish(claimed, **({} if failure is None else {"error": failure}))
            continue
        moment = datetime.fromtimestamp(world.clock() / SECOND + chance.choice([-5, 30]), UTC)
        run_at = moment if action == "reschedule" else None
        await control(world, action, chance.choice(ids), run_at=run_at)
    await world.settle()
    rows = await world.database.fetch_all("tasks_find", limit=100)
    expected = {row["id"] for row in rows if is_claimable(Task.adopt(dict(row)), world.clock())}
    assert {claimed.task.id for claimed in await world.claim(agent, max_tasks=100)} == expected
    assert {row["status"] for row in rows} >= {"completed", "failed", "pending"}


async def test_a_paused_agent_takes_no_work(world: World):
    agent = await world.agent()
    await world.task()
    pause = ControlAgent(agent_id=agent.id, action="pause", reason="lunch")
    await world.desk.agents.control(world.call, pause)
    with pytest.raises(InvalidTransition, match="resume"):
        await world.claim(agent)


async def test_so_many_wait_for_one_task_that_its_end_takes_no_longer_than_it_may(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.domain.tasks.parents.DEPENDENTS_MAX", 2)
    parent = await world.task()
    between, _ = await world.tasks(*[{"depends_on": [parent.id]}] * 2)
    with pytest.raises(LimitExceeded, match=f"2 tasks wait for {parent.id} already"):
        await world.task(depends_on=[parent.id])
    await world.task(depends_on=[between.id])
    agent = await world.agent()
    await world.finish(await world.claim_one(agent))
    assert await world.status(await world.task(depends_on=[parent.id])) == "queued", "nothing waits for what is done"


async def test_a_cascade_that_is_too_much_for_one_transaction_goes_on_in_others(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.domain.tasks.rows.ENDINGS_MAX", 3)
    root = await world.task()
    chain = [root]
    for _ in range(9):
        chain.append(await world.task(depends_on=[chain[-1].id], on_parent_failure="cancel"))
    waiting = await world.task(depends_on=[chain[-1].id], on_parent_failure="run_anyway")
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(root.id,), action="cancel"))
    assert [await world.status(task) for task in chain] == ["cancelled"] * 4 + ["pending"] * 6
    assert replay(world.url).differences == ()
    (rest,) = (await world.desk.tasks.find(world.call, FindTasks(kind="system.endings", include_system=True))).items
    for action in ("cancel", "pause"):
        stopped = await world.desk.tasks.control(world.call, ControlTasks(task_ids=(rest.id,), action=action))
        assert stopped.tasks == [] and "would wait for ever" in (stopped.refused or [])[0].message
    worker = SystemWorker(world.desk, AREAS.kinds)
    while await worker.look():
        await worker.idle()
    assert [await world.status(task) for task in chain] == ["cancelled"] * 10
    assert await world.status(waiting) == "queued"
    ended = await world.events(type="task.cancelled")
    assert len(ended) == 10 and replay(world.url).differences == ()
