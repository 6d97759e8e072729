"""The line for a lock has no ghosts, and names that can mean the same path keep each other out in it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from mcp_server.domain.locks import transactions
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.locks.paths import may_meet
from mcp_server.domain.locks.views import AcquiredLock, LockView
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


async def want(world: World, owner: str, name: str, wait: float = 0, mode: Any = "exclusive") -> AcquiredLock:
    command = AcquireLock(name=name, owner=owner, mode=mode, wait_seconds=wait)
    return await world.desk.locks.acquire(world.call, command)


async def take(world: World, owner: str, name: str, mode: Any = "exclusive") -> LockView:
    lock = (await want(world, owner, name, mode=mode)).lock
    assert lock is not None
    return lock


async def release(world: World, owner: str, name: str) -> None:
    await world.desk.locks.release(world.call, ReleaseLock(name=name, owner=owner))


async def line(world: World) -> list[str]:
    return [place.owner for lock in (await world.desk.locks.overview(world.call)).locks for place in lock.line]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await true():
            await asyncio.sleep(0.01)


async def waiting(world: World, owner: str, name: str, mode: Any = "exclusive") -> asyncio.Task[AcquiredLock]:
    """Somebody who stands in line."""
    world.clock.advance(0.001)
    task = asyncio.create_task(want(world, owner, name, wait=50, mode=mode))

    async def stands() -> bool:
        return owner in await line(world)

    await until(stands)
    return task


async def granted(task: asyncio.Task[AcquiredLock]) -> LockView:
    lock = (await asyncio.wait_for(task, 40)).lock
    assert lock is not None
    return lock


async def test_a_waiter_that_is_cancelled_leaves_at_once_and_those_behind_are_woken_in_another_process_too(url: str):
    async with open_world(url) as one, open_world(url) as other:
        await take(one, "ann", "a", "shared")
        async with anyio.create_task_group() as group:
            group.start_soon(want, one, "bob", "a", 40)
            await until(lambda: _stands(one, "bob"))
            behind = await waiting(other, "cy", "a", "shared")
            group.cancel_scope.cancel()
        assert (await granted(behind)).owner == "cy"
        assert await line(one) == []


async def test_whoever_joins_a_long_line_does_not_look_through_it_for_each_who_stands_there(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []
    line_of = transactions._line

    def counted(tx: Transaction, origin: Origin, name: str) -> Any:
        looked.append(name)
        return line_of(tx, origin, name)

    async def join(owner: str, at: int) -> int:
        looked.clear()
        command = AcquireLock(name="door", owner=owner)
        await world.desk.context.write(world.call, transactions.acquire, command, world.clock() + at)
        return len(looked)

    await take(world, "ann", "door")
    for number in range(20):
        await join(f"waiter {number}", number)
    monkeypatch.setattr(transactions, "_line", counted)
    assert await join("late", 20) == 1, "who wants one thing closes no circle"
    await take(world, "waiter 3", "window")
    assert await join("later", 21) == 2, "now there may be one, and the line is read once to find it"


async def _stands(world: World, owner: str) -> bool:
    return owner in await line(world)


async def test_a_waiter_that_is_not_heard_of_for_two_seconds_is_taken_out_and_those_behind_are_told(world: World):
    await take(world, "ann", "a", "shared")
    await world.database.write(_ghost, world)
    behind = await waiting(world, "cy", "a", "shared")
    world.clock.advance(1.5)
    await asyncio.sleep(0.7)  # longer than a waiter is silent
    world.clock.advance(0.5)
    await world.settle()
    assert (await granted(behind)).owner == "cy"
    assert (await world.events()).count("lock.withdrawn") == 1


def _ghost(tx: Any, world: World) -> None:
    """A waiter whose process is dead."""
    place = {"name": "a", "party": "user:dead", "owner": "", "speaker": "user:dead", "mode": "exclusive", "pattern": 0}
    tx.run("lock_waiter_save", **place, since=world.clock(), expires_at=world.clock() + 2_000_000)


async def test_a_waiter_whose_process_stood_still_stands_in_line_again(world: World):
    await take(world, "ann", "a")
    behind = await waiting(world, "cy", "a")
    world.clock.advance(3)
    await world.settle()
    await until(lambda: _stands(world, "cy"))
    await release(world, "ann", "a")
    assert (await granted(behind)).owner == "cy"


async def test_a_lock_that_nobody_holds_or_waits_for_any_more_is_granted_at_once(world: World):
    await world.database.write(_ghost, world)
    refused = await want(world, "bob", "a")
    assert (refused.held_by, [one.owner for one in refused.line or []]) == ([], ["user:dead"])
    world.clock.advance(2)
    await take(world, "bob", "a")


@pytest.mark.slow
async def test_a_live_waiter_keeps_its_place_although_time_goes_by_and_wakes_nobody(world: World):
    await take(world, "ann", "a")
    first, second = await waiting(world, "bob", "a"), await waiting(world, "cy", "a")
    for _ in range(3):
        world.clock.advance(1.5)
        await asyncio.sleep(0.7)  # longer than a waiter is silent
        await world.settle()
    assert await line(world) == ["bob", "cy"]
    assert await world.events() == ["lock.acquired"]
    await release(world, "ann", "a")
    assert (await granted(first)).owner == "bob"
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


async def test_a_lock_granted_to_a_waiter_that_is_cancelled_just_then_is_given_back(world: World):
    async def holders() -> list[str]:
        locks = (await world.desk.locks.overview(world.call)).locks
        return [holder.owner for lock in locks for holder in lock.holders]

    async def free() -> bool:
        return not await holders()

    for turns in range(30):
        task = asyncio.create_task(want(world, "bob", "a", wait=10))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, asyncio.CancelledError):
            await until(free)
        else:
            await release(world, "bob", "a")
    assert await line(world) == []


async def test_a_glob_and_a_name_that_it_matches_keep_each_other_out(world: World):
    await take(world, "ann", "./src//a.py")
    (held,) = (await want(world, "bob", "src/**")).held_by or []
    assert (held.name, held.owner) == ("src/a.py", "ann")
    await take(world, "bob", "*.py")
    await take(world, "cy", "SRC/**")
    await release(world, "ann", "src/a.py/")
    assert (await want(world, "bob", "src/**")).lock is not None
    assert (await want(world, "ann", "src/b.py")).lock is None
    assert (await want(world, "ann", "*/a.py")).lock is None


async def test_who_waits_for_a_glob_is_woken_by_a_name_and_goes_before_those_that_came_later(world: World):
    await take(world, "ann", "src/a.py")
    glob = await waiting(world, "bob", "src/**")
    refused = await want(world, "cy", "src/b.py")
    assert [(one.owner, one.name) for one in refused.line or []] == [("bob", "src/**")]
    behind = await waiting(world, "cy", "src/b.py")
    await release(world, "ann", "src/a.py")
    assert (await granted(glob)).name == "src/**"
    assert not behind.done()
    await release(world, "bob", "src/**")
    assert (await granted(behind)).owner == "cy"


async def test_who_holds_what_the_first_in_line_waits_for_may_take_more_before_it(world: World):
    await take(world, "ann", "src/a.py")
    glob = await waiting(world, "bob", "src/**")
    await take(world, "ann", "src/b.py")
    for name in ("src/a.py", "src/b.py"):
        await release(world, "ann", name)
    assert (await granted(glob)).owner == "bob"


async def test_a_deadlock_across_names_that_meet_is_refused(world: World):
    await take(world, "ann", "src/a.py")
    await take(world, "bob", "doc/a.md")
    first = await waiting(world, "ann", "doc/**")
    with pytest.raises(Conflict, match="deadlock"):
        await want(world, "bob", "src/**", wait=10)
    await release(world, "bob", "doc/a.md")
    assert (await granted(first)).owner == "ann"


async def test_of_globs_and_names_asked_for_at_the_same_time_by_two_processes_none_meet(url: str):
    names = ["src/**", "src/a", "src/b", "*/a", "doc/a", "src/*"] * 4
    async with open_world(url) as one, open_world(url) as other:
        asked = [want((one, other)[at % 2], f"owner {at}", name) for at, name in enumerate(names)]
        locks = [done.lock.name for done in await asyncio.gather(*asked) if done.lock is not None]
        assert locks
        assert not any(may_meet(a, b) for at, a in enumerate(locks) for b in locks[at + 1 :])
