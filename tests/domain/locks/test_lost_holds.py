"""Who gives back or extends a hold that it has no more hears how that ended: who took it, when and why."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied
from mcp_server.kernel.times import iso
from tests.world import World, speaking

pytestmark = pytest.mark.anyio


async def take(world: World, call: Call, name: str = "door", **more: Any) -> None:
    assert (await world.desk.locks.acquire(call, AcquireLock(name=name, **more))).lock is not None


async def refused(world: World, call: Call, kind: type[OpsError], name: str = "door", **more: Any) -> OpsError:
    """What a release and an extension are refused with: the same words."""
    said: list[OpsError] = []
    for how in ({}, {"renew_seconds": 30.0}):
        with pytest.raises(kind) as error:
            await world.desk.locks.release(call, ReleaseLock(name=name, **how, **more))
        said.append(error.value)
    assert said[0].message == said[1].message
    return said[0]


@pytest.mark.parametrize("taken", [False, True])
async def test_one_that_was_taken_away_by_force_names_who_did_it_when_and_why(world: World, taken: bool):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    await take(world, ann)
    world.clock.advance(5)
    at = iso(world.clock.now)
    await world.desk.locks.release(world.call, ReleaseLock(name="door", force=True, reason="ann is away"))
    if taken:
        await take(world, bob)
    error = await refused(world, ann, PermissionDenied if taken else NotFound)
    assert f'Yours was taken away by force at {at}, by user:tester: "ann is away".' in error.message
    assert error.details["ended"] == {
        "how": "was taken away by force",
        "at": at,
        "by": "user:tester",
        "reason": "ann is away",
    }
    assert ("agent:bob" in error.message) is taken
    if taken:
        never = await refused(world, speaking(await world.agent("carl")), PermissionDenied)
        assert "Yours" not in never.message and "ended" not in never.details, "who never had it hears of no end"


@pytest.mark.parametrize("noticed", [False, True])
async def test_one_that_ran_out_says_when_also_before_anybody_has_noticed(world: World, noticed: bool):
    ann = speaking(await world.agent("ann"))
    await take(world, ann, ttl_seconds=10)
    await world.desk.locks.release(ann, ReleaseLock(name="door", renew_seconds=20))
    ends = iso(world.clock.now + 20_000_000)
    world.clock.advance(25)
    if noticed:
        await world.settle()
    error = await refused(world, ann, NotFound)
    assert f"Yours expired at {ends}. locks_acquire takes it again." in error.message


async def test_one_that_was_handed_over_or_freed_with_its_instance_says_so(world: World):
    ann, _ = await world.agent("ann"), await world.agent("bob")
    await take(world, speaking(ann))
    command = ControlAgent(agent_id="ann", action="terminate", to_agent="bob")
    await world.desk.agents.control(world.call, command)
    error = await refused(world, speaking(ann), PermissionDenied)
    assert "Yours was handed over to agent:bob" in error.message and "by user:tester" in error.message
    carl, instance = await world.instance("carl")
    await take(world, speaking(carl), "window", owner=instance, ttl_seconds=600)
    world.clock.advance(120)
    await world.settle()
    error = await refused(world, speaking(carl), NotFound, "window", owner=instance)
    assert "Yours was freed, since your instance was lost, at " in error.message


async def test_the_newest_hold_counts_and_under_a_label_that_of_the_label(world: World):
    ann = speaking(await world.agent("ann"))
    await take(world, ann)
    await world.desk.locks.release(ann, ReleaseLock(name="door", reason="done"))
    await take(world, ann, owner="left")
    world.clock.advance(1)
    await world.desk.locks.release(world.call, ReleaseLock(name="door", owner="left", force=True, reason="no"))
    assert "taken away by force" in (await refused(world, ann, NotFound, owner="left")).message
    assert "taken away by force" in (await refused(world, ann, NotFound)).message
    await take(world, ann)
    await world.desk.locks.release(ann, ReleaseLock(name="door", reason="done"))
    assert "Yours was released at" in (await refused(world, ann, NotFound)).message
