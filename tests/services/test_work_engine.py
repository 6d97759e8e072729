"""The work engine beyond one task's life: approvals, why nothing is claimable, budgets, silent instances, the archive,
claims whose caller went away."""

import asyncio
import threading

import pytest

from mcp_server.domain.agents import AgentSpec, BudgetSpec, InstanceSpec
from mcp_server.domain.errors import (
    AtCapacity,
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.domain.task_spec import FailureSpec, TaskSpec, UsageSpec
from mcp_server.domain.users import Role
from mcp_server.services.retention import Keep
from mcp_server.services.tasks import TaskFilter
from tests.world import World, caller

pytestmark = pytest.mark.anyio

DAY = 86_400


async def finish(world: World, claimed, **how):
    return (await world.desk.tasks.finish(world.call, claimed.task.id, claimed.lease_token, **how))[0]


# Approvals


async def test_a_task_that_requires_approval_waits_for_a_person_and_then_runs_once(world: World):
    agent = await world.agent()
    task = await world.task(requires_approval=True)
    assert (task.status, task.approval, task.waits_for) == ("pending", "required", ["a person's approval"])
    assert await world.claim(agent) == []
    decided = await world.decide(caller(id="ann"), task.id, granted=True)
    assert (decided.status, decided.approval) == ("queued", "granted")
    with pytest.raises(InvalidTransition, match="is approved"):
        await world.decide(caller(id="bob"), task.id, granted=False)
    await finish(world, await world.claim_one(agent))
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
    await world.desk.tasks.control(world.call, [task.id], "retry")
    assert (await world.desk.tasks.get(world.call, task.id)).approval == "required"
    assert await world.claim(agent) == []


async def test_an_approval_alone_does_not_free_a_task_from_its_other_reasons_to_wait(world: World):
    agent = await world.agent()
    _, gated = await world.tasks({}, {"depends_on": ["#0"], "requires_approval": True})
    await finish(world, await world.claim_one(agent))
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
    _, reasons = await world.desk.tasks.claim(world.call, agent.id, kinds=["build"])
    assert reasons == {
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


async def budgeted(world: World, **budget) -> str:
    spec = AgentSpec(name="spender", max_concurrent_tasks=10, budget=BudgetSpec(**budget))
    return (await world.desk.agents.register(world.call, spec, None))[0].id


async def spend(world: World, agent_id: str, **usage) -> None:
    await world.task()
    ((claimed,), _) = await world.desk.tasks.claim(world.call, agent_id)
    await finish(world, claimed, usage=UsageSpec(**usage))


async def test_a_budget_warns_once_stops_at_its_limit_and_starts_anew_next_month(world: World):
    agent_id = await budgeted(world, tokens_per_month=1000)
    await spend(world, agent_id, input_tokens=500, output_tokens=200)
    assert "agent.budget_warning" not in await world.events(aggregate_id=agent_id)
    await spend(world, agent_id, input_tokens=150)
    await spend(world, agent_id, output_tokens=100)
    assert (await world.events(aggregate_id=agent_id)).count("agent.budget_warning") == 1
    agent = await world.desk.agents.get(world.call, agent_id)
    assert agent.budget == {"tokens_per_month": 1000, "warn_at": 0.8, "used_share": 0.95}
    await spend(world, agent_id, output_tokens=50)
    assert (await world.events(aggregate_id=agent_id))[-1] == "agent.budget_exhausted"
    task = await world.task()
    with pytest.raises(LimitExceeded, match="used up its budget for 2027-01: 1000 tokens") as raised:
        await world.desk.tasks.claim(world.call, agent_id)
    assert raised.value.details["tokens"] == 1000
    assert await world.status(task) == "queued"
    world.clock.advance(31 * DAY)
    assert len((await world.desk.tasks.claim(world.call, agent_id))[0]) == 1


async def test_a_cost_budget_counts_failed_attempts_too(world: World):
    agent_id = await budgeted(world, cost_usd_per_month=1.0)
    await world.task(retry={"max_attempts": 5, "delay_seconds": 0})
    ((claimed,), _) = await world.desk.tasks.claim(world.call, agent_id)
    await finish(world, claimed, failure=FailureSpec(message="no"), usage=UsageSpec(cost_usd=1.25))
    with pytest.raises(LimitExceeded, match=r"1\.25 USD"):
        await world.desk.tasks.claim(world.call, agent_id)
    metrics = (await world.desk.agents.get(world.call, agent_id)).metrics or {}
    assert metrics["cost_usd_this_month"] == 1.25


async def test_a_repeated_finish_is_not_counted_twice(world: World):
    agent_id = await budgeted(world, tokens_per_month=1000)
    await world.task()
    ((claimed,), _) = await world.desk.tasks.claim(world.call, agent_id)
    for _ in range(3):
        await finish(world, claimed, usage=UsageSpec(input_tokens=100))
    assert (await world.desk.agents.get(world.call, agent_id)).metrics["tokens_this_month"] == 100  # type: ignore[index]


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
    again, same, _ = await world.desk.agents.register(world.call, AgentSpec(name="a"), InstanceSpec(label="one", pid=7))
    assert same == instance_id and again.instances is not None and again.instances[0].pid == 7


async def test_a_dead_instances_lease_goes_to_another_on_its_own(world: World):
    agent, instance_id = await world.instance("a")
    await world.task(retry={"max_attempts": 2, "delay_seconds": 0})
    first = await world.claim_one(agent, instance_id=instance_id, lease_seconds=30)
    world.clock.advance(31)
    second = await world.claim_one(agent)
    assert second.task.id == first.task.id and second.lease_token == 2
    with pytest.raises(LeaseLost):
        await finish(world, first)


async def test_every_call_with_a_lease_is_its_instances_heartbeat(world: World):
    agent, instance_id = await world.instance("a")
    await world.task()
    claimed = await world.claim_one(agent, instance_id=instance_id, lease_seconds=3600)
    for _ in range(4):
        world.clock.advance(40)
        await world.desk.tasks.report(world.call, claimed.task.id, claimed.lease_token)
        await world.settle()
    world.clock.advance(40)
    await finish(world, claimed)
    world.clock.advance(40)
    await world.settle()
    assert "instance.lost" not in await world.events()


# The archive


KEEP = Keep(finished_days=30, events_days=90)


async def archived(world: World, days: float = 31) -> int:
    world.clock.advance(days * DAY)
    moved = 0
    while batch := await world.desk.retention.archive_some(KEEP):
        moved += batch
    return moved


async def test_finished_work_leaves_the_hot_table_and_is_still_found(world: World):
    agent = await world.agent()
    done = await world.task(title="done", kind="old", tags=["x"], input={"a": 1}, idempotency_key="k")
    await finish(world, await world.claim_one(agent), result={"b": 2})
    waiting = await world.task(title="waiting", kind="old")
    assert await archived(world) == 1
    young = await world.task(title="young", kind="old")
    shown = await world.desk.tasks.get(world.call, done.id)
    assert (shown.status, shown.result, shown.input) == ("completed", {"b": 2}, {"a": 1})
    found, cursor, omitted = await world.desk.tasks.find(world.call, TaskFilter(kind="old"), limit=2, cursor=None)
    assert [task.id for task in found] == [young.id, waiting.id] and omitted == 1
    rest, cursor, _ = await world.desk.tasks.find(world.call, TaskFilter(kind="old"), limit=2, cursor=cursor)
    assert [task.id for task in rest] == [done.id] and cursor is None
    assert (await world.task(title="done", kind="old", tags=["x"], input={"a": 1}, idempotency_key="k")).replayed
    with pytest.raises(IdempotencyConflict):
        await world.task(title="else", idempotency_key="k")
    assert (await world.task(depends_on=[done.id], parent_id=done.id)).status == "queued"


async def test_an_archived_dead_letter_can_still_be_retried(world: World):
    agent = await world.agent()
    task = await world.task()
    await finish(world, await world.claim_one(agent), failure=FailureSpec(message="no"))
    assert await archived(world) == 1
    assert [
        t.id for t in (await world.desk.tasks.find(world.call, TaskFilter(status="failed"), limit=5, cursor=None))[0]
    ] == [task.id]
    tasks, refused = await world.desk.tasks.control(world.call, [task.id], "retry")
    assert (len(tasks), refused) == (1, [])
    assert (await world.claim_one(agent)).task.id == task.id
    assert await archived(world) == 0


async def test_a_task_may_wait_for_the_retry_of_an_archived_one(world: World):
    agent = await world.agent()
    parent = await world.task()
    await finish(world, await world.claim_one(agent), failure=FailureSpec(message="no"))
    assert await archived(world) == 1
    child = await world.task(depends_on=[parent.id])
    assert (child.status, child.waits_for) == ("pending", ["1 unfinished dependencies"])
    await world.desk.tasks.control(world.call, [parent.id], "retry")
    await finish(world, await world.claim_one(agent))
    assert await world.status(child) == "queued"


async def test_what_others_still_wait_for_is_not_archived(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"]})
    await finish(world, await world.claim_one(agent), failure=FailureSpec(message="no"))
    assert await archived(world) == 0
    await world.desk.tasks.control(world.call, [parent.id], "retry")
    await finish(world, await world.claim_one(agent))
    assert await world.status(child) == "queued"


async def test_archiving_is_a_system_task_hidden_unless_asked_for_and_queued_once(world: World):
    agent = await world.agent()
    await world.desk.retention.begin(KEEP)
    assert await world.events(type_="task.created") == []
    await world.task()
    await finish(world, await world.claim_one(agent))
    world.clock.advance(31 * DAY)
    for _ in range(3):
        await world.desk.retention.begin(KEEP)
    find, counts = world.desk.tasks.find, world.desk.tasks.counts
    hidden, _, _ = await find(world.call, TaskFilter(status="queued"), limit=5, cursor=None)
    shown, _, _ = await find(world.call, TaskFilter(status="queued", include_system=True), limit=5, cursor=None)
    assert (hidden, [task.kind for task in shown]) == ([], ["system.archive"])
    assert await counts(world.call) == {}
    assert await world.claim(agent) == []
    assert (await world.desk.tasks.claim(world.call, agent.id))[1] == {}


async def test_a_caller_cannot_create_a_system_task(world: World):
    with pytest.raises(ValidationFailed, match=r"'system\.archive' is reserved"):
        await world.desk.tasks.create(world.call, [TaskSpec(title="t"), TaskSpec(title="u", kind="system.archive")])
    assert await world.events() == []


# Callers that go away


async def test_a_claim_whose_caller_goes_away_while_it_commits_is_put_back(world: World):
    agent = await world.agent()
    task = await world.task()
    held, go = threading.Event(), threading.Event()

    def hold(tx) -> None:
        held.set()
        go.wait(10)

    # The writer is kept busy, so that the claim is still under way when its caller goes.
    busy = asyncio.create_task(world.database.write(hold))
    while not held.is_set():
        await asyncio.sleep(0.001)
    real = world.desk.tasks._claims.claim
    began = threading.Event()

    def slow_claim(*args):
        began.set()
        outcome = real(*args)
        go_on.wait(10)
        return outcome

    go_on = threading.Event()
    world.desk.tasks._claims = type("Slow", (), {"claim": staticmethod(slow_claim)})
    claiming = asyncio.create_task(world.desk.tasks.claim(world.call, agent.id))
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
