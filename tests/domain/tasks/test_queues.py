"""Queues that nobody uses go, and come back with the next task."""

import pytest

from mcp_server.domain.tasks import queues
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.call import SYSTEM_CALL
from tests.world import World

pytestmark = pytest.mark.anyio


async def drop(world: World) -> int:
    return await world.database.write(queues.drop_some, world.desk.context.origin(SYSTEM_CALL), 100)


async def kinds(world: World) -> list[str]:
    return await world.desk.tasks.kinds(world.call)


async def test_only_queues_without_unfinished_tasks_go(world: World):
    agent = await world.agent(skills=("s",))
    await world.task(kind="done")
    await world.finish(await world.claim_one(agent))
    held = await world.task(kind="held")
    await world.claim_one(agent)
    await world.tasks({"kind": "blocked", "depends_on": [held.id]}, {"kind": "ready"})
    assert await drop(world) == 1
    assert await kinds(world) == ["blocked", "held", "ready"]
    assert await drop(world) == 0


async def test_a_task_is_claimed_whose_queue_had_gone(world: World):
    agent = await world.agent()
    first = await world.task(kind="k")
    await world.finish(await world.claim_one(agent), error={"message": "no", "retryable": False})
    assert (await drop(world), await kinds(world)) == (1, [])
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(first.id,), action="retry"))
    assert (await world.claim_one(agent)).task.id == first.id
    second = await world.task(kind="k")
    assert (await world.claim_one(agent)).task.id == second.id


async def test_queues_are_dropped_once_many_stand_empty(world: World):
    agent = await world.agent(capacity=1000)
    await world.tasks(*[{"kind": f"k{number}"} for number in range(100)])
    for claimed in await world.claim(agent, max_tasks=100):
        await world.finish(claimed)
    assert not await queues.are_many_empty(world.desk)
    await world.task(kind="one-more")
    await world.finish(await world.claim_one(agent))
    assert await queues.are_many_empty(world.desk)
