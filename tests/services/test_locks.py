"""The promises of named locks, on both engines."""

import asyncio

import pytest

from mcp_server.domain.errors import Conflict, InvalidTransition, NotFound, ValidationFailed
from mcp_server.domain.locks import LockRequest
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


async def want(world: World, owner: str, name: str, wait: float = 0, mode: str = "exclusive"):
    return await world.desk.locks.acquire(world.call, LockRequest(name=name, owner=owner, mode=mode), wait)


async def test_waiting_that_would_be_a_deadlock_is_refused_and_the_circle_is_named(world: World):
    await want(world, "ann", "a")
    await want(world, "bob", "b")
    waiting = asyncio.create_task(want(world, "ann", "b", wait=30))
    while not (await world.desk.locks.overview(world.call))["waiting"]:
        await asyncio.sleep(0.005)
    with pytest.raises(Conflict, match="'bob' waits for 'a', which 'ann' holds, and 'ann' waits for 'b'") as refused:
        await want(world, "bob", "a", wait=30)
    assert [step["waiter"] for step in refused.value.details["deadlock"]] == ["bob", "ann"]
    assert (await want(world, "bob", "a"))[0] is None  # asking without waiting is no deadlock
    await world.desk.locks.release(world.call, "b", "bob", 1)
    hold, _ = await waiting
    assert hold is not None and hold.owner == "ann"


async def test_two_shared_holders_that_both_want_more_are_a_deadlock(world: World):
    for owner in ("ann", "bob"):
        assert (await want(world, owner, "a", mode="shared"))[0] is not None
    waiting = asyncio.create_task(want(world, "ann", "a", wait=30))
    while not (await world.desk.locks.overview(world.call))["waiting"]:
        await asyncio.sleep(0.005)
    with pytest.raises(Conflict, match="deadlock"):
        await want(world, "bob", "a", wait=30)
    await world.desk.locks.release(world.call, "a", "bob", 2)
    hold, _ = await waiting
    assert hold is not None and (hold.owner, hold.mode) == ("ann", "exclusive")


async def test_the_overview_says_who_holds_and_who_waits_in_order(world: World):
    await want(world, "ann", "a")
    first = asyncio.create_task(want(world, "bob", "a", wait=30))
    while len((await world.desk.locks.overview(world.call))["waiting"]) < 1:
        await asyncio.sleep(0.005)
    world.clock.advance(1)
    second = asyncio.create_task(want(world, "cy", "a", wait=30))
    while len((await world.desk.locks.overview(world.call))["waiting"]) < 2:
        await asyncio.sleep(0.005)
    seen = await world.desk.locks.overview(world.call)
    assert [(held["name"], held["owner"]) for held in seen["held"]] == [("a", "ann")]
    assert [waiter["owner"] for waiter in seen["waiting"]] == ["bob", "cy"]
    for task in (second, first):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert (await world.desk.locks.overview(world.call))["waiting"] == []


async def test_the_locks_of_an_instance_that_is_lost_are_free(world: World):
    _, instance_id = await world.instance("worker")
    await want(world, instance_id, "a")
    await want(world, "somebody", "b")
    world.clock.advance(59)
    await world.desk.locks.renew(world.call, "a", instance_id, 1, 3600)
    await world.desk.locks.renew(world.call, "b", "somebody", 1, 3600)
    world.clock.advance(10)
    await world.settle()
    seen = await world.desk.locks.overview(world.call)
    assert [held["name"] for held in seen["held"]] == ["b"]
    assert "lock.abandoned" in await world.events()
    hold, _ = await want(world, "next", "a")
    assert hold is not None and hold.fencing_token == 2
