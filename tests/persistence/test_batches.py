"""Functions that share a transaction share what they read, and never at the price of being wrong."""

import asyncio
import copy
import threading
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks import claiming
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, FindTasks, FinishTask
from mcp_server.domain.tasks.results import ClaimedTask, FinishedTask
from mcp_server.kernel.errors import LeaseLost
from mcp_server.persistence.database import Database
from tests.world import Clock, Ids, World, caller

pytestmark = pytest.mark.anyio


async def in_one_batch(world: World, *calls: Awaitable[Any]) -> list[Any]:
    """Run calls that all wait for the writers when these become free."""
    go = threading.Event()
    lanes = [asyncio.create_task(world.database.write(function, go)) for function in (_hold, _hold_claims)]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*lanes)
    return await asyncio.gather(*waiting, return_exceptions=True)


def _hold(tx: Any, go: threading.Event) -> None:
    del tx
    go.wait(60)


def _hold_claims(tx: Any, go: threading.Event) -> None:
    _hold(tx, go)


HELD = copy.copy(AREAS)
HELD.lanes = AREAS.lanes | {_hold_claims: AREAS.lanes[claiming.claim]}


@pytest.fixture
async def world(url: str) -> AsyncGenerator[World]:
    """A desk on each engine in turn, both of whose writers can be held up."""
    database = await Database.open(url, HELD)
    try:
        clock = Clock()
        yield World(database, desk_on(database, clock=clock, ids=Ids(), chance=lambda: 0.5), clock, caller(), url)
    finally:
        await database.close()


def finish(world: World, claimed: ClaimedTask, result: Any = None) -> Awaitable[FinishedTask]:
    token = claimed.lease_token
    command = FinishTask(task_id=claimed.task.id, lease_token=token, outcome="completed", result=result)
    return world.desk.tasks.finish(world.call, command)


async def test_claims_of_one_batch_take_different_tasks_and_the_best_first(world: World):
    agent = await world.agent(capacity=100)
    low = [await world.task(priority="low") for _ in range(40)]
    high = [await world.task(priority="high") for _ in range(40)]
    claims = await in_one_batch(world, *(world.claim(agent) for _ in range(60)))
    ids = [claimed.task.id for (claimed,) in claims]
    assert len(set(ids)) == 60
    assert set(ids[:40]) == {task.id for task in high}
    assert set(ids[40:]) < {task.id for task in low}


async def test_claims_of_one_batch_keep_within_capacity(world: World):
    agent = await world.agent(capacity=3)
    await world.tasks(*[{}] * 10)
    outcomes = await in_one_batch(world, *(world.claim(agent) for _ in range(5)))
    assert sum(isinstance(outcome, list) for outcome in outcomes) == 3
    assert all(outcome.code == "at_capacity" for outcome in outcomes[3:])


async def test_claims_of_one_batch_honour_a_concurrency_key(world: World):
    agent = await world.agent(capacity=100)
    await world.tasks(*[{"concurrency_key": "k", "concurrency_limit": 2, "priority": "high"}] * 5, *[{}] * 5)
    claims = await in_one_batch(world, *(world.claim(agent) for _ in range(10)))
    taken = [claimed.task.concurrency_key for outcome in claims for claimed in outcome]
    assert taken.count("k") == 2
    assert taken.count(None) == 5


async def test_a_task_cancelled_between_two_claims_of_one_batch_is_not_handed_out(world: World):
    agent = await world.agent(capacity=100)
    first, second, third = await world.tasks({}, {}, {})
    cancel = world.desk.tasks.control(world.call, ControlTasks(task_ids=(second.id,), action="cancel"))
    claims = await in_one_batch(world, world.claim(agent), world.claim(agent), cancel, world.claim(agent))
    handed_out = {claimed.task.id for outcome in claims if isinstance(outcome, list) for claimed in outcome}
    assert {first.id, third.id} <= handed_out or await world.status(second) in ("running", "cancelled")
    if await world.status(second) == "cancelled":
        assert second.id not in handed_out
    assert len(handed_out) == sum(len(outcome) for outcome in claims if isinstance(outcome, list))


async def test_finishes_of_one_batch_release_what_waited_for_each(world: World):
    agent = await world.agent(capacity=100)
    parents = [await world.task() for _ in range(12)]
    children = [await world.task(depends_on=[parent.id]) for parent in parents]
    both = await world.task(depends_on=[parents[0].id, parents[1].id])
    claims = await world.claim(agent, max_tasks=12)
    outcomes = await in_one_batch(world, *(finish(world, claimed, result=1) for claimed in claims))
    released = [id_ for outcome in outcomes for id_ in outcome.released]
    assert sorted(released) == sorted([*(child.id for child in children), both.id])


async def test_a_repeated_finish_in_one_batch_is_accepted_once(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent)
    outcomes = await in_one_batch(world, *(finish(world, claimed, result=1) for _ in range(3)))
    assert [outcome.repeated for outcome in outcomes] == [False, True, True]
    assert (await world.events(aggregate_id=claimed.task.id)).count("task.completed") == 1


async def test_a_dependency_created_in_the_batch_that_ends_its_parent_is_released(world: World):
    agent = await world.agent(capacity=100)
    parents = [await world.task() for _ in range(4)]
    claims = await world.claim(agent, max_tasks=4)
    creates = [world.task(depends_on=[parent.id]) for parent in parents]
    finishes = [finish(world, claimed) for claimed in claims]
    await in_one_batch(world, *(call for pair in zip(creates, finishes, strict=True) for call in pair))
    tasks = (await world.desk.tasks.find(world.call, FindTasks(limit=10))).items
    assert sorted(task.status for task in tasks) == ["completed"] * 4 + ["queued"] * 4


async def test_a_lease_that_was_rolled_back_is_not_remembered(world: World):
    agent = await world.agent()
    task = await world.task()
    context = world.desk.context

    tokens: list[str] = []

    def claim_and_fail(tx: Any) -> None:
        command = ClaimTasks(agent_id=agent.id, lease_seconds=60)
        ((row, token),) = claiming.claim(tx, context.origin(world.call), command)
        assert row["attempt"] == 1
        tokens.append(token)
        raise RuntimeError("after writing")

    with pytest.raises(RuntimeError, match="after writing"):
        await world.database.write(claim_and_fail)
    with pytest.raises(LeaseLost):
        await world.desk.tasks.finish(
            world.call, FinishTask(task_id=task.id, lease_token=tokens[-1], outcome="completed")
        )
    other = await world.agent("other")
    claimed = await world.claim_one(other)
    done = await finish(world, claimed, result="mine")
    assert done.task.id == task.id and done.task.status == "completed" and claimed.attempt == 1
    assert (await world.events(aggregate_id=task.id)) == ["task.completed", "task.claimed", "task.created"][::-1]
