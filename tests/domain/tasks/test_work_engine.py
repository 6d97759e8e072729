"""The work engine beyond one task's life: approvals, why nothing is claimable, budgets, silent instances, the archive,
claims whose caller went away."""

import asyncio
import threading
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import BudgetSpec, InstanceSpec, Register
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.approvals.model import approval_id_of
from mcp_server.domain.tasks import service
from mcp_server.domain.tasks.archive import KeepTasks, TaskRetention
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, CreateTasks, FindTasks, ReportTask
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.spec import FailureSpec, TaskSpec, UsageSpec
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import (
    AtCapacity,
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    PermissionDenied,
    ValidationFailed,
)
from tests.world import World, caller

pytestmark = pytest.mark.anyio

DAY = 86_400


async def control(world: World, action: Any, *task_ids: str, **more: Any) -> ControlledTasks:
    command = ControlTasks(task_ids=task_ids, action=action, **more)
    return await world.desk.tasks.control(world.call, command)


# Approvals


async def test_a_task_that_requires_approval_waits_for_a_person_and_then_runs_once(world: World):
    agent = await world.agent()
    task = await world.task(requires_approval=True)
    asked = f"a person's approval ({approval_id_of(task.id)})"
    assert (task.status, task.approval, task.waits_for) == ("pending", "required", [asked])
    assert await world.claim(agent) == []
    decided = await world.decide(caller(id="ann"), task.id, granted=True)
    assert (decided.status, decided.approval) == ("queued", "granted")
    with pytest.raises(InvalidTransition, match="is approved"):
        await world.decide(caller(id="bob"), task.id, granted=False)
    await world.finish(await world.claim_one(agent))
    assert await world.claim(agent) == []
    assert await world.events(aggregate_id=task.id) == [
        "task.created",
        "task.approved",
        "task.claimed",
        "task.completed",
    ]


async def test_a_rejected_task_is_cancelled_and_a_retry_asks_again(world: World):
    agent = await world.agent()
    task = await world.task(requires_approval=True)
    rejected = await world.decide(caller(id="ann"), task.id, granted=False, reason="too risky")
    assert (rejected.status, rejected.cancel_reason) == ("cancelled", "rejected by ann: too risky")
    await control(world, "retry", task.id)
    assert (await world.desk.tasks.get(world.call, task.id)).approval == "required"
    assert await world.claim(agent) == []


async def test_an_approval_alone_does_not_free_a_task_from_its_other_reasons_to_wait(world: World):
    agent = await world.agent()
    _, gated = await world.tasks({}, {"depends_on": ["#0"], "requires_approval": True})
    await world.finish(await world.claim_one(agent))
    assert await world.status(gated) == "pending"
    await world.decide(world.call, gated.id, granted=True)
    assert await world.status(gated) == "queued"


async def test_neither_an_agent_nor_the_server_decides_on_an_approval(world: World):
    task = await world.task(requires_approval=True)
    for actor in (caller(Role.ADMIN, "agent", "agent_x"), caller(Role.AGENT), caller(Role.ADMIN, "system", "server")):
        with pytest.raises(PermissionDenied):
            await world.decide(actor, task.id, granted=True)
    assert await world.status(task) == "pending"


# Why nothing


async def test_an_empty_claim_tells_apart_what_is_for_others_and_what_needs_other_skills(world: World):
    agent, other = await world.agent("a"), await world.agent("b")
    await world.tasks(
        {"agent_id": other.id},
        {"required_capabilities": ["fly"]},
        {"required_capabilities": ["fly"]},
        {"kind": "test"},
        {"requires_approval": True},
    )
    answer = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id, kinds=("build",)))
    assert answer.nothing_because == {
        "for_other_agents": 1,
        "need_other_capabilities": 2,
        "of_other_kinds": 1,
        "waiting_for_approval": 1,
    }


async def test_an_agent_at_capacity_is_told_how_much_it_could_do_otherwise(world: World):
    agent = await world.agent(capacity=1)
    await world.tasks({}, {}, {}, {"required_capabilities": ["fly"]})
    await world.claim_one(agent)
    with pytest.raises(AtCapacity) as raised:
        await world.claim(agent)
    assert raised.value.details["nothing_because"] == {"held_by_capacity": 2, "need_other_capabilities": 1}


async def test_tasks_of_one_call_are_claimed_in_the_order_given(world: World):
    agent = await world.agent(capacity=50)
    await world.tasks(*({"title": f"t{number}"} for number in range(30)))
    assert [c.task.title for c in await world.claim(agent, max_tasks=30)] == [f"t{number}" for number in range(30)]


# Budgets


async def spend(world: World, agent: AgentView, **usage: Any) -> None:
    await world.task()
    await world.finish(await world.claim_one(agent), usage=UsageSpec(**usage))


async def test_a_budget_warns_once_stops_at_its_limit_and_starts_anew_next_month(world: World):
    spender = await world.agent("spender", budget=BudgetSpec(tokens_per_month=1000))
    await spend(world, spender, input_tokens=500, output_tokens=200)
    assert "agent.budget_warning" not in await world.events(aggregate_id=spender.id)
    await spend(world, spender, input_tokens=150)
    await spend(world, spender, output_tokens=100)
    assert (await world.events(aggregate_id=spender.id)).count("agent.budget_warning") == 1
    agent = await world.desk.agents.get(world.call, spender.id)
    assert agent.budget == {"tokens_per_month": 1000, "warn_at": 0.8, "used_share": 0.95}
    await spend(world, spender, output_tokens=50)
    assert (await world.events(aggregate_id=spender.id))[-1] == "agent.budget_exhausted"
    task = await world.task()
    with pytest.raises(LimitExceeded, match="used up its budget for 2027-01: 1000 tokens") as raised:
        await world.claim(spender)
    assert raised.value.details["tokens"] == 1000
    assert await world.status(task) == "queued"
    world.clock.advance(31 * DAY)
    assert len(await world.claim(spender)) == 1


async def test_a_cost_budget_counts_failed_attempts_too(world: World):
    spender = await world.agent("spender", budget=BudgetSpec(cost_usd_per_month=1.0))
    await world.task(retry={"max_attempts": 5, "delay_seconds": 0})
    claimed = await world.claim_one(spender)
    await world.finish(claimed, error=FailureSpec(message="no"), usage=UsageSpec(cost_usd=1.25))
    with pytest.raises(LimitExceeded, match=r"1\.25 USD"):
        await world.claim(spender)
    metrics = (await world.desk.agents.get(world.call, spender.id)).metrics or {}
    assert metrics["cost_usd_this_month"] == 1.25


async def test_a_repeated_finish_is_not_counted_twice(world: World):
    spender = await world.agent("spender", budget=BudgetSpec(tokens_per_month=1000))
    await world.task()
    claimed = await world.claim_one(spender)
    for _ in range(3):
        await world.finish(claimed, usage=UsageSpec(input_tokens=100))
    assert (await world.desk.agents.get(world.call, spender.id)).metrics["tokens_this_month"] == 100  # type: ignore[index]


# Instances


async def test_a_silent_instance_is_marked_lost_and_resumes_its_identity_when_heard_of_again(world: World):
    agent, instance_id = await world.instance("a")
    world.clock.advance(59)
    await world.settle()
    assert "instance.lost" not in await world.events()
    world.clock.advance(2)
    await world.settle()
    await world.settle()
    assert (await world.events(aggregate_id=instance_id)) == ["instance.introduced", "instance.lost"]
    (shown,) = (await world.desk.agents.get(world.call, agent.id)).instances or []
    assert not shown.alive and shown.lost_at is not None
    await world.claim(agent, instance_id=instance_id)
    (shown,) = (await world.desk.agents.get(world.call, agent.id)).instances or []
    assert shown.alive and shown.lost_at is None
    assert (await world.events(aggregate_id=instance_id))[-1] == "instance.returned"
    world.clock.advance(100)
    await world.settle()
    command = Register(name="a", instance=InstanceSpec(label="one", pid=7))
    again = await world.desk.agents.register(world.call, command)
    assert again.instance_id == instance_id
    (shown,) = (await world.desk.agents.get(world.call, agent.id)).instances or []
    assert shown.pid == 7


async def test_a_dead_instances_lease_goes_to_another_on_its_own(world: World):
    agent, instance_id = await world.instance("a")
    await world.task(retry={"max_attempts": 2, "delay_seconds": 0})
    first = await world.claim_one(agent, instance_id=instance_id, lease_seconds=30)
    world.clock.advance(31)
    second = await world.claim_one(agent)
    assert second.task.id == first.task.id and second.attempt == 2
    with pytest.raises(LeaseLost):
        await world.finish(first)


async def test_every_call_with_a_lease_is_its_instances_heartbeat(world: World):
    agent, instance_id = await world.instance("a")
    await world.task()
    claimed = await world.claim_one(agent, instance_id=instance_id, lease_seconds=3600)
    for _ in range(4):
        world.clock.advance(40)
        report = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
        await world.desk.tasks.report(world.call, report)
        await world.settle()
    world.clock.advance(40)
    await world.finish(claimed)
    world.clock.advance(40)
    await world.settle()
    assert "instance.lost" not in await world.events()


# The archive


async def archived(world: World, days: float = 31) -> int:
    world.clock.advance(days * DAY)
    moved = 0
    while batch := await world.desk.get(TaskRetention).archive_some():
        moved += batch
    return moved


async def test_finished_work_leaves_the_hot_table_and_is_still_found(world: World):
    agent = await world.agent()
    done = await world.task(title="done", kind="old", tags=["x"], input={"a": 1}, idempotency_key="k")
    await world.finish(await world.claim_one(agent), result={"b": 2})
    waiting = await world.task(title="waiting", kind="old")
    assert await archived(world) == 1
    young = await world.task(title="young", kind="old")
    shown = await world.desk.tasks.get(world.call, done.id)
    assert (shown.status, shown.result, shown.input) == ("completed", {"b": 2}, {"a": 1})
    found, cursor, omitted = await world.desk.tasks.find(world.call, FindTasks(kind="old", limit=2))
    assert [task.id for task in found] == [young.id, waiting.id] and omitted == 1
    rest, cursor, _ = await world.desk.tasks.find(world.call, FindTasks(kind="old", limit=2, cursor=cursor))
    assert [task.id for task in rest] == [done.id] and cursor is None
    (again,) = await world.created(
        {"title": "done", "kind": "old", "tags": ["x"], "input": {"a": 1}, "idempotency_key": "k"}
    )
    assert again.replayed
    with pytest.raises(IdempotencyConflict):
        await world.task(title="else", idempotency_key="k")
    assert (await world.task(depends_on=[done.id], parent_id=done.id)).status == "queued"


async def test_an_archived_dead_letter_can_still_be_retried(world: World):
    agent = await world.agent()
    task = await world.task()
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    assert await archived(world) == 1
    found = await world.desk.tasks.find(world.call, FindTasks(status="failed", limit=5))
    assert [one.id for one in found.items] == [task.id]
    done = await control(world, "retry", task.id)
    assert (len(done.tasks), done.refused) == (1, None)
    assert (await world.claim_one(agent)).task.id == task.id
    assert await archived(world) == 0


async def test_a_task_may_wait_for_the_retry_of_an_archived_one(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    assert await archived(world) == 1
    child = await world.task(depends_on=[parent.id])
    assert child.status == "pending" and "ended as failed" in str(child.waits_for)
    await control(world, "retry", parent.id)
    await world.finish(await world.claim_one(agent))
    assert await world.status(child) == "queued"


async def test_what_others_still_wait_for_is_not_archived(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"]})
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no"))
    assert await archived(world) == 0
    await control(world, "retry", parent.id)
    await world.finish(await world.claim_one(agent))
    assert await world.status(child) == "queued"


async def test_archiving_is_a_system_task_hidden_unless_asked_for_and_queued_once(world: World):
    agent = await world.agent()
    await world.desk.housekeeping.begin_chores()
    assert await world.events(type="task.created") == []
    await world.task()
    await world.finish(await world.claim_one(agent))
    world.clock.advance(31 * DAY)
    for _ in range(3):
        await world.desk.housekeeping.begin_chores()
    find, counts = world.desk.tasks.find, world.desk.tasks.counts
    hidden, _, _ = await find(world.call, FindTasks(status="queued", limit=5))
    shown, _, _ = await find(world.call, FindTasks(status="queued", include_system=True, limit=5))
    assert (hidden, [task.kind for task in shown]) == ([], ["system.archive"])
    assert await counts(world.call) == {}
    assert await world.claim(agent) == []
    assert (await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id))).nothing_because == {}


async def test_finished_work_is_kept_for_as_many_days_as_the_operator_says(world: World):
    agent = await world.agent()
    await world.task()
    await world.finish(await world.claim_one(agent))
    retention = desk_on(world.database, KeepTasks(7), clock=world.clock).get(TaskRetention)
    world.clock.advance(6 * DAY)
    assert (await retention.is_anything_old(), await retention.archive_some()) == (False, 0)
    world.clock.advance(2 * DAY)
    assert not await world.desk.get(TaskRetention).is_anything_old()
    assert (await retention.is_anything_old(), await retention.archive_some()) == (True, 1)


async def test_a_caller_cannot_create_a_system_task(world: World):
    with pytest.raises(ValidationFailed, match=r'"system\.archive" is reserved'):
        command = CreateTasks(tasks=(TaskSpec(title="t"), TaskSpec(title="u", kind="system.archive")))
        await world.desk.tasks.create(world.call, command)
    assert await world.events() == []


# Callers that go away


async def test_a_claim_whose_caller_goes_away_while_it_commits_is_put_back(world: World, monkeypatch):
    agent = await world.agent()
    task = await world.task()
    held, go = threading.Event(), threading.Event()

    def hold(tx) -> None:
        held.set()
        go.wait(60)

    # The writer is kept busy, so that the claim is still under way when its caller goes.
    busy = asyncio.create_task(world.database.write(hold))
    while not held.is_set():
        await asyncio.sleep(0.001)
    real = service.claim
    began = threading.Event()

    def slow_claim(*args):
        began.set()
        outcome = real(*args)
        go_on.wait(60)
        return outcome

    go_on = threading.Event()
    monkeypatch.setattr(service, "claim", slow_claim)
    claiming = asyncio.create_task(world.claim(agent))
    go.set()
    while not began.is_set():
        await asyncio.sleep(0.001)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    go_on.set()
    await busy
    while await world.status(task) != "queued" or "task.handed_back" not in await world.events():
        await asyncio.sleep(0.005)
    assert (await world.events(aggregate_id=task.id))[-1] == "task.handed_back"
