"""The promises of named locks, on both engines."""

import asyncio

import pytest

from mcp_server.domain.errors import InvalidTransition, NotFound, ValidationFailed
from mcp_server.domain.state import LockRequest
from tests.world import World

pytestmark = pytest.mark.anyio


async def take(world: World, owner: str, mode: str = "exclusive", ttl: float = 60, wait: float = 0):
    request = LockRequest(name="door", owner=owner, mode=mode, ttl_seconds=ttl)
    return await world.desk.locks.acquire(world.call, request, wait)


async def test_an_exclusive_lock_has_one_holder_and_others_are_told_who(world: World):
    hold, _ = await take(world, "ann")
    assert hold is not None and hold.fencing_token == 1
    refused, others = await take(world, "bob")
    assert (refused, [other.owner for other in others]) == (None, ["ann"])
    await world.desk.locks.release(world.call, "door", "ann", 1)
    hold, _ = await take(world, "bob")
    assert hold is not None and hold.fencing_token == 2


async def test_shared_holders_keep_an_exclusive_one_out_and_the_other_way_round(world: World):
    for owner in ("ann", "bob"):
        assert (await take(world, owner, "shared"))[0] is not None
    assert len((await take(world, "cy"))[1]) == 2
    for owner, token in (("ann", 1), ("bob", 2)):
        await world.desk.locks.release(world.call, "door", owner, token)
    assert (await take(world, "cy"))[0] is not None
    assert (await take(world, "ann", "shared"))[0] is None


async def test_a_lock_expires_by_itself_and_the_late_holder_is_refused(world: World):
    await take(world, "ann", ttl=10)
    world.clock.advance(11)
    await world.settle()
    assert (await world.events())[-1] == "lock.expired"
    with pytest.raises(NotFound, match="was released or has expired"):
        await world.desk.locks.release(world.call, "door", "ann", 1)
    await take(world, "ann")
    with pytest.raises(InvalidTransition, match="token 1"):
        await world.desk.locks.release(world.call, "door", "ann", 1)


async def test_asking_again_or_renewing_keeps_the_lock_for_longer(world: World):
    await take(world, "ann", ttl=10)
    world.clock.advance(8)
    again, _ = await take(world, "ann", ttl=10)
    assert again is not None and again.fencing_token == 1
    world.clock.advance(8)
    await world.desk.locks.renew(world.call, "door", "ann", 1, 100)
    world.clock.advance(50)
    assert (await take(world, "bob"))[0] is None
    with pytest.raises(ValidationFailed):
        await world.desk.locks.renew(world.call, "door", "ann", 1, 0)


async def test_a_holder_may_change_the_mode_when_nobody_else_holds_it(world: World):
    await take(world, "ann", "shared")
    upgraded, _ = await take(world, "ann", "exclusive")
    assert upgraded is not None and (upgraded.mode, upgraded.fencing_token) == ("exclusive", 2)
    assert await world.events() == ["lock.acquired", "lock.released", "lock.acquired"]


async def test_waiters_get_the_lock_in_the_order_in_which_they_came(world: World):
    await take(world, "ann")
    order: list[str] = []

    async def wait_for(owner: str) -> None:
        hold, _ = await take(world, owner, wait=30)
        assert hold is not None
        order.append(owner)
        await world.desk.locks.release(world.call, "door", owner, hold.fencing_token)

    waiting = []
    for owner in ("zoe", "bob", "cy"):
        world.clock.advance(0.001)
        waiting.append(asyncio.create_task(wait_for(owner)))
        while await world.database.fetch_one("lock_waiter", name="door", owner=owner, now=world.clock()) is None:
            await asyncio.sleep(0.005)
    assert (await take(world, "dan", "shared"))[0] is None
    await world.desk.locks.release(world.call, "door", "ann", 1)
    await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert order == ["zoe", "bob", "cy"]


async def test_a_waiter_that_gives_up_leaves_the_line(world: World):
    await take(world, "ann")
    assert (await take(world, "bob", wait=0.05))[0] is None
    await world.desk.locks.release(world.call, "door", "ann", 1)
    assert (await take(world, "cy"))[0] is not None
