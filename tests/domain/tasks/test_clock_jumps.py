"""A clock that jumps an hour either way: nothing is lost, and nothing is done twice."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import InstanceSpec, Register
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.tasks.commands import ReportTask
from mcp_server.domain.tasks.results import ClaimedTask, ReportedTask
from mcp_server.kernel.errors import LeaseLost
from mcp_server.kernel.times import iso
from tests.world import World

pytestmark = pytest.mark.anyio

HOUR = 3600.0
FORTH_AND_BACK = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forwards", "backwards"])


async def report(world: World, claimed: ClaimedTask, **more: Any) -> ReportedTask:
    command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token, **more)
    return await world.desk.tasks.report(world.call, command)


@FORTH_AND_BACK
async def test_work_under_way_ends_exactly_once(world: World, jump: float):
    agent = await world.agent()
    task = await world.task(retry={"max_attempts": 5, "delay_seconds": 1})
    before = await world.claim_one(agent)
    world.clock.set(jump)
    await world.settle()
    try:
        await world.finish(before, result="first")
    except LeaseLost:
        assert jump > 0  # its lease ended in the jump, so the task was handed back
        world.clock.advance(2)
        await world.finish(await world.claim_one(agent), result="second")
    with pytest.raises(LeaseLost):
        await report(world, before)
    assert await world.status(task) == "completed"
    assert await world.claim(agent) == []
    assert (await world.events(aggregate_id=task.id)).count("task.completed") == 1


async def test_after_a_jump_back_a_report_brings_the_lease_back_to_the_clock(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent, lease_seconds=60)
    world.clock.set(-HOUR)
    await report(world, claimed, extend_seconds=60)
    lease = (await world.desk.tasks.get(world.call, claimed.task.id)).lease
    assert lease is not None and lease.expires_at == iso(world.clock.now + 60_000_000)


@FORTH_AND_BACK
async def test_new_work_is_taken_up_at_once_and_dependents_are_released(world: World, jump: float):
    agent = await world.agent()
    first, second = await world.tasks({}, {"depends_on": ["#0"]})
    world.clock.set(jump)
    await world.settle()
    third = await world.task(priority="low")
    done = []
    for _ in range(3):
        claimed = await world.claim_one(agent)
        done.append(claimed.task.id)
        await world.finish(claimed)
    assert sorted(done) == sorted([first.id, second.id, third.id])


@FORTH_AND_BACK
async def test_a_schedule_fires_no_occurrence_twice(world: World, jump: float):
    agent = await world.agent()
    schedule = await world.task(title="s", schedule={"cron": "*/10 * * * *", "overlap": "allow", "catch_up": "once"})
    seen = []
    for step in (600, 600, jump, 600, 600, -jump, *[600] * 9):
        (world.clock.set if abs(step) == HOUR else world.clock.advance)(step)
        await world.settle()
        for claimed in await world.claim(agent, max_tasks=10):
            seen.append(claimed.task.run_at)
            await world.finish(claimed)
    assert len(seen) == len(set(seen)) > 3
    assert await world.status(schedule) == "pending"


@FORTH_AND_BACK
async def test_a_task_for_a_time_waits_for_the_clock_to_say_so(world: World, jump: float):
    agent = await world.agent()
    await world.task(run_at=iso(world.clock.now + 1_800_000_000))
    world.clock.set(jump)
    await world.settle()
    assert len(await world.claim(agent)) == (1 if jump > 0 else 0)
    world.clock.advance(2 * HOUR)
    await world.settle()
    assert len(await world.claim(agent)) == (0 if jump > 0 else 1)


@FORTH_AND_BACK
async def test_an_instance_is_itself_again_at_its_next_call(world: World, jump: float):
    agent, instance_id = await world.instance("a")
    world.clock.set(jump)
    await world.settle()
    await world.task()
    claimed = await world.claim_one(agent, instance_id=instance_id)
    await world.finish(claimed)
    command = Register(name="a", max_concurrent_tasks=10, instance=InstanceSpec(label="one"))
    assert (await world.desk.agents.register(world.call, command)).instance_id == instance_id


@FORTH_AND_BACK
async def test_events_keep_their_order_and_none_is_read_twice(world: World, jump: float):
    await world.task(title="before")
    events, cursor = await world.desk.events.read(world.call, ReadEvents(limit=100))
    world.clock.set(jump)
    await world.task(title="after")
    later, _ = await world.desk.events.read(world.call, ReadEvents(limit=100, after=cursor))
    assert [event.data["title"] for event in (*events, *later)] == ["before", "after"]


@FORTH_AND_BACK
async def test_a_lock_has_one_holder_at_most(world: World, jump: float):
    async def acquire(owner: str):
        command = AcquireLock(name="l", owner=owner, mode="exclusive", ttl_seconds=60)
        return (await world.desk.locks.acquire(world.call, command)).lock

    mine = await acquire("me")
    assert mine is not None
    world.clock.set(jump)
    await world.settle()
    theirs = await acquire("you")
    assert (theirs is not None) == (jump > 0)
    if theirs is not None:
        assert theirs.fencing_token > mine.fencing_token
