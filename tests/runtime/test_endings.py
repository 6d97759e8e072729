"""Ends of attempts that come at about the same time, told together."""

import asyncio
from typing import Any

import pytest

from mcp_server.domain.tasks.commands import EndAttempt
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.kernel.errors import Unavailable
from mcp_server.runtime.endings import Endings, Refused
from tests.world import World

pytestmark = pytest.mark.anyio


def ended(claimed: ClaimedTask, **said: Any) -> EndAttempt:
    told = {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"}
    return EndAttempt.model_validate(told | said)


async def test_what_ends_while_a_call_is_under_way_goes_with_the_next_and_each_hears_of_its_own(world: World):
    worker = await world.agent(capacity=10)
    await world.created(*[{}] * 5)
    first, *others, stale = await world.claim(worker, max_tasks=5)
    endings = Endings(world.desk, world.call)
    calls: list[int] = []
    finish_many = world.desk.tasks.finish_many

    async def counted(call: Any, command: Any) -> Any:
        calls.append(len(command.tasks))
        return await finish_many(call, command)

    world.desk.tasks.finish_many = counted  # type: ignore[assignment]
    late = asyncio.create_task(endings.end(ended(first)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    told = [endings.end(ended(one)) for one in others]
    told.append(endings.end(ended(stale, lease_token="lease_of_another")))
    *statuses, refused = await asyncio.gather(*told, return_exceptions=True)
    assert await late == "completed" and statuses == ["completed"] * 3
    assert isinstance(refused, Refused) and refused.code == "lease_lost"
    assert calls == [1, 4]
    await endings.settled()


async def test_where_nothing_can_be_told_all_who_wait_hear_why_and_the_next_are_told_again(world: World):
    worker = await world.agent(capacity=10)
    await world.created({}, {})
    one, two = await world.claim(worker, max_tasks=2)
    endings = Endings(world.desk, world.call)
    finish_many = world.desk.tasks.finish_many

    async def fails(call: Any, command: Any) -> Any:
        raise Unavailable("The store is away.")

    world.desk.tasks.finish_many = fails  # type: ignore[assignment]
    both = (endings.end(ended(one)), endings.end(ended(two)))
    assert [type(error) for error in await asyncio.gather(*both, return_exceptions=True)] == [Unavailable, Unavailable]
    world.desk.tasks.finish_many = finish_many
    assert await endings.end(ended(one)) == "completed"
    await endings.settled()
