"""The promises of named locks, on both engines."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.locks.views import AcquiredLock, LockView, ReleasedLock
from mcp_server.kernel.authority import Role, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, InvalidTransition, NotFound
from mcp_server.upkeep.replay import replay
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def take(world: World, owner: str, mode: Any = "exclusive", ttl: float = 60, wait: float = 0) -> AcquiredLock:
    command = AcquireLock(name="door", owner=owner, mode=mode, ttl_seconds=ttl, wait_seconds=wait)
    return await world.desk.locks.acquire(world.call, command)


def speaking(world: World, agent: AgentView, role: Role = Role.ADMIN, id: str = "tester") -> Call:
    """A call on behalf of an agent."""
    return replace(caller(role, id=id), speaker=Speaker(agent.id, agent.name))


async def ask(world: World, call: Call, name: str, **more: Any) -> AcquiredLock:
    return await world.desk.locks.acquire(call, AcquireLock(name=name, **more))


async def settle_with(world: World, call: Call, name: str, **more: Any) -> ReleasedLock:
    return await world.desk.locks.release(call, ReleaseLock(name=name, **more))


async def release(world: World, name: str, owner: str, token: int) -> None:
    command = ReleaseLock(name=name, owner=owner, fencing_token=token)
    assert (await world.desk.locks.release(world.call, command)).released


async def renew(world: World, name: str, owner: str, token: int, seconds: float) -> LockView:
    command = ReleaseLock(name=name, owner=owner, fencing_token=token, renew_seconds=seconds)
    renewed = (await world.desk.locks.release(world.call, command)).lock
    assert renewed is not None
    return renewed


async def waits(world: World, name: str, owner: str) -> Any:
    return await world.database.fetch_one("lock_place", name=name, party="user:tester", owner=owner)


async def line(world: World) -> list[str]:
    """Who waits for a lock, in order."""
    return [place.owner for lock in (await world.desk.locks.overview(world.call)).locks for place in lock.line]


async def held(world: World) -> list[tuple[str, str]]:
    """Which locks are held, by whom."""
    found = await world.desk.locks.overview(world.call)
    return [(lock.name, holder.owner) for lock in found.locks for holder in lock.holders]


async def test_an_exclusive_lock_has_one_holder_and_others_are_told_who(world: World):
    hold = (await take(world, "ann")).lock
    assert hold is not None and hold.fencing_token == 1
    refused = await take(world, "bob")
    assert (refused.lock, [other.owner for other in refused.held_by or []]) == (None, ["ann"])
    await release(world, "door", "ann", 1)
    hold = (await take(world, "bob")).lock
    assert hold is not None and hold.fencing_token == 2


async def test_shared_holders_keep_an_exclusive_one_out_and_the_other_way_round(world: World):
    for owner in ("ann", "bob"):
        assert (await take(world, owner, "shared")).lock is not None
    assert len((await take(world, "cy")).held_by or []) == 2
    for owner, token in (("ann", 1), ("bob", 2)):
        await release(world, "door", owner, token)
    assert (await take(world, "cy")).lock is not None
    assert (await take(world, "ann", "shared")).lock is None


async def test_a_lock_expires_by_itself_and_the_late_holder_is_refused(world: World):
    await take(world, "ann", ttl=10)
    world.clock.advance(11)
    await world.settle()
    assert (await world.events())[-1] == "lock.expired"
    with pytest.raises(NotFound, match="Yours expired at "):
        await release(world, "door", "ann", 1)
    await take(world, "ann")
    with pytest.raises(InvalidTransition, match="token 1"):
        await release(world, "door", "ann", 1)


async def test_asking_again_or_renewing_keeps_the_lock_for_longer(world: World):
    await take(world, "ann", ttl=10)
    world.clock.advance(8)
    again = (await take(world, "ann", ttl=10)).lock
    assert again is not None and again.fencing_token == 1
    world.clock.advance(8)
    await renew(world, "door", "ann", 1, 100)
    world.clock.advance(50)
    assert (await take(world, "bob")).lock is None
    with pytest.raises(ValidationError, match="renew_seconds"):
        await renew(world, "door", "ann", 1, 0)


async def test_a_holder_may_change_the_mode_when_nobody_else_holds_it(world: World):
    await take(world, "ann", "shared")
    upgraded = (await take(world, "ann", "exclusive")).lock
    assert upgraded is not None and (upgraded.mode, upgraded.fencing_token) == ("exclusive", 2)
    assert await world.events() == ["lock.acquired", "lock.released", "lock.acquired"]


async def test_waiters_get_the_lock_in_the_order_in_which_they_came(world: World):
    await take(world, "ann")
    order: list[str] = []

    async def wait_for(owner: str) -> None:
        hold = (await take(world, owner, wait=50)).lock
        assert hold is not None
        order.append(owner)
        await release(world, "door", owner, hold.fencing_token)

    waiting = []
    for owner in ("zoe", "bob", "cy"):
        world.clock.advance(0.001)
        waiting.append(asyncio.create_task(wait_for(owner)))
        while await waits(world, "door", owner) is None:
            await asyncio.sleep(0.005)
    assert (await take(world, "dan", "shared")).lock is None
    await release(world, "door", "ann", 1)
    await asyncio.wait_for(asyncio.gather(*waiting), 40)
    assert order == ["zoe", "bob", "cy"]


async def test_a_waiter_that_gives_up_leaves_the_line(world: World):
    await take(world, "ann")
    assert (await take(world, "bob", wait=0.05)).lock is None
    await release(world, "door", "ann", 1)
    assert (await take(world, "cy")).lock is not None


async def want(world: World, owner: str, name: str, wait: float = 0, mode: Any = "exclusive") -> AcquiredLock:
    command = AcquireLock(name=name, owner=owner, mode=mode, wait_seconds=wait)
    return await world.desk.locks.acquire(world.call, command)


CIRCLE = r"bob \(user:tester\) waits for a, which ann \(user:tester\) holds, and ann \(user:tester\) waits for b"


async def test_waiting_that_would_be_a_deadlock_is_refused_and_the_circle_is_named(world: World):
    await want(world, "ann", "a")
    await want(world, "bob", "b")
    waiting = asyncio.create_task(want(world, "ann", "b", wait=30))
    while not await line(world):
        await asyncio.sleep(0.005)
    with pytest.raises(Conflict, match=CIRCLE) as refused:
        await want(world, "bob", "a", wait=30)
    assert [step["waiter"] for step in refused.value.details["deadlock"]] == ["bob", "ann"]
    assert (await want(world, "bob", "a")).lock is None  # asking without waiting is no deadlock
    await release(world, "b", "bob", 1)
    hold = (await waiting).lock
    assert hold is not None and hold.owner == "ann"


async def test_two_shared_holders_that_both_want_more_are_a_deadlock(world: World):
    for owner in ("ann", "bob"):
        assert (await want(world, owner, "a", mode="shared")).lock is not None
    waiting = asyncio.create_task(want(world, "ann", "a", wait=30))
    while not await line(world):
        await asyncio.sleep(0.005)
    with pytest.raises(Conflict, match="deadlock"):
        await want(world, "bob", "a", wait=30)
    await release(world, "a", "bob", 2)
    hold = (await waiting).lock
    assert hold is not None and (hold.owner, hold.mode) == ("ann", "exclusive")


async def test_the_overview_says_who_holds_and_who_waits_in_order(world: World):
    await want(world, "ann", "a")
    first = asyncio.create_task(want(world, "bob", "a", wait=30))
    while len(await line(world)) < 1:
        await asyncio.sleep(0.005)
    world.clock.advance(1)
    second = asyncio.create_task(want(world, "cy", "a", wait=30))
    while len(await line(world)) < 2:
        await asyncio.sleep(0.005)
    assert await held(world) == [("a", "ann")]
    assert await line(world) == ["bob", "cy"]
    for task in (second, first):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    while await line(world):
        await asyncio.sleep(0.005)


async def test_the_locks_of_an_instance_that_is_lost_are_free(world: World):
    agent, instance_id = await world.instance("worker")
    worker = speaking(world, agent)
    await ask(world, worker, "a", owner=instance_id, ttl_seconds=3600)
    await ask(world, world.call, "b", owner="somebody", ttl_seconds=3600)
    world.clock.advance(61)
    await world.settle()
    assert await held(world) == [("b", "somebody")]
    assert "lock.abandoned" in await world.events()
    hold = (await want(world, "next", "a")).lock
    assert hold is not None and hold.fencing_token == 2


async def test_a_renewal_never_cuts_a_hold_short_nor_does_acquiring_it_again(world: World):
    first = (await take(world, "kim", ttl=600)).lock
    assert first is not None and first.fencing_token is not None
    world.clock.advance(5)
    assert (await renew(world, "door", "kim", first.fencing_token, 60)).expires_at == first.expires_at
    again = (await take(world, "kim", ttl=60)).lock
    assert again is not None and again.expires_at == first.expires_at
    assert (await renew(world, "door", "kim", first.fencing_token, 900)).expires_at > first.expires_at


async def test_a_renewal_does_not_keep_what_a_clock_that_was_ahead_has_said(world: World):
    world.clock.set(86_400)
    first = (await take(world, "kim", ttl=60)).lock
    assert first is not None and first.fencing_token is not None
    world.clock.set(-86_400)
    assert (await renew(world, "door", "kim", first.fencing_token, 60)).seconds_left == 60


async def test_a_release_says_which_hold_has_ended_and_keeps_why(world: World):
    kim, boss = await world.agent("kim"), await world.agent("boss")
    await ask(world, speaking(world, kim), "door")
    done = await settle_with(world, speaking(world, boss), "door", force=True, reason="kim was killed")
    assert done.was == "the exclusive lock door of agent:kim via user:tester"
    events, _ = await world.desk.events.read(world.call, ReadEvents(type="lock.released"))
    assert events[-1].data["reason"] == "kim was killed" and "agent:kim" in events[-1].data["forced_from"]
    assert replay(world.url).differences == ()


async def test_who_hands_a_lock_over_may_say_why(world: World):
    kim, _ = await world.agent("kim"), await world.agent("boss")
    await ask(world, speaking(world, kim), "door")
    await settle_with(world, speaking(world, kim), "door", to_agent="boss", reason="kim leaves")
    events, _ = await world.desk.events.read(world.call, ReadEvents(type="lock.handed_over"))
    assert events[-1].data["reason"] == "kim leaves"
    assert replay(world.url).differences == ()
