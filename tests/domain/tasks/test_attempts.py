"""What a task that was tried more than once tells of each attempt."""

import pytest

from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.spec import FailureSpec
from mcp_server.kernel.times import iso
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_each_attempt_says_who_tried_how_long_and_how_it_ended(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    task = await world.task(retry={"max_attempts": 4, "delay_seconds": 1}, timeout_seconds=10)
    taken = await world.claim_one(ann)
    assert (await world.desk.tasks.get(world.call, task.id)).attempts is None
    world.clock.advance(3)
    await world.finish(taken, error=FailureSpec(message="no paper"))
    world.clock.advance(2)
    began = iso(world.clock())
    taken = await world.claim_one(bob)
    first, second = reversed((await world.desk.tasks.get(world.call, task.id)).attempts or [])
    assert (first.agent_id, first.took_seconds, first.ended, first.error) == (ann.id, 3.0, "failed", "no paper")
    assert (second.agent_id, second.started_at, second.took_seconds, second.ended) == (bob.id, began, None, None)
    world.clock.advance(5)
    await world.finish(taken, result=1)
    newest, _ = (await world.desk.tasks.get(world.call, task.id)).attempts or []
    assert (newest.took_seconds, newest.ended, newest.error) == (5.0, "completed", None)


async def test_an_attempt_that_was_given_to_another_or_ran_out_says_so(world: World):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    task = await world.task(retry={"max_attempts": 9, "delay_seconds": 0}, timeout_seconds=10)
    await world.claim_one(ann)
    world.clock.advance(2)
    given = ControlTasks.model_validate({"task_ids": [task.id], "action": "assign", "agent_id": bob.id})
    await world.desk.tasks.control(world.call, given)
    await world.claim_one(bob)
    world.clock.advance(11)
    await world.settle()
    await world.claim_one(bob)
    told = (await world.desk.tasks.get(world.call, task.id)).attempts or []
    assert [(one.agent_id, one.ended) for one in told[1:]] == [(bob.id, "timed out"), (ann.id, "assigned to another")]
