"""The clock is set ahead and back again: nothing is due later than it would have been but for the time it was wrong."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.events.handlers import THIN_KIND
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.state.commands import PatchDocument
from mcp_server.domain.tasks.archive import ARCHIVE_KIND
from mcp_server.domain.tasks.commands import ControlTasks, ReportTask
from mcp_server.kernel.clocks import JUMP_MIN, ClockWatch
from mcp_server.kernel.errors import LimitExceeded, OpsError
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND, iso, steady_clock
from mcp_server.persistence.database import Database
from mcp_server.upkeep.dueness import inspect_due
from mcp_server.upkeep.replay import replay
from resources.health import RESOURCES as HEALTH
from tests.domain.email.test_service import allow, send
from tests.turns import in_turns
from tests.world import START, Clock, Ids, World

pytestmark = pytest.mark.anyio

DAY = 86_400.0
CHORES = [ARCHIVE_KIND, THIN_KIND]
LOOK: int = SECOND
"""The timer looks at the clock once a second."""


def read(tx: Transaction, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return tx.all(statement, **parameters)


async def rows(world: World, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    return await world.database.write(read, statement, parameters)


async def task_row(world: World, id_: str) -> dict[str, Any]:
    return (await rows(world, "task_for_update", id=id_))[0]


def restarted(world: World) -> World:
    """The same database in a new process."""
    desk = desk_on(world.database, clock=world.clock, steady=world.clock.steady, ids=Ids(), chance=lambda: 0.5)
    return World(world.database, desk, world.clock, world.call, world.url)


async def test_what_a_clock_ahead_put_behind_all_others_is_put_right_in_every_queue_and_priority(world: World):
    await world.desk.housekeeping.keep_time()
    before = await world.task(title="before", priority="low")
    world.clock.set(DAY)
    await world.desk.housekeeping.keep_time()
    kinds, priorities = ("build", "test"), ("low", "normal", "high", "critical")
    wrong = [await world.task(title="t", kind=kind, priority=one) for kind in kinds for one in priorities]
    world.clock.set(-DAY)
    await world.desk.housekeeping.keep_time()
    ready = [(await task_row(world, one.id))["ready_at"] for one in (before, *wrong)]
    assert max(ready) <= world.clock() and len(ready) == 9


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
async def test_four_seconds_of_a_clock_forty_days_ahead_hold_nothing_up(world: World, restarts: bool):
    agent = await world.agent()
    schedule = await world.task(title="s", schedule={"cron": "* * * * *"})
    named = iso(START + round(50 * DAY) * SECOND)
    for_a_time = await world.task(title="named", run_at=named)
    retried = await world.task(title="r", retry={"max_attempts": 5, "delay_seconds": 10}, priority="critical")
    leased = await world.task(title="l", priority="high")
    await world.desk.housekeeping.keep_time()
    world.clock.set(40 * DAY)
    await world.desk.housekeeping.keep_time()
    await world.settle()
    await world.finish(await world.claim_one(agent), error={"message": "no", "retryable": True})
    await world.claim_one(agent, lease_seconds=60)
    queued = await world.task(title="q")
    await world.desk.locks.acquire(world.call, AcquireLock(name="l", ttl_seconds=60))
    world.clock.advance(4)
    world.clock.set(-40 * DAY)
    world = restarted(world) if restarts else world
    await world.desk.housekeeping.keep_time()

    now = world.clock.now
    assert (await task_row(world, schedule.id))["run_at"] <= now + 60 * SECOND
    assert (await task_row(world, retried.id))["run_at"] <= now + 12 * SECOND
    assert (await task_row(world, leased.id))["due_at"] <= now + 60 * SECOND
    assert (await task_row(world, queued.id))["ready_at"] <= now
    assert (await world.desk.tasks.get(world.call, for_a_time.id)).run_at == named
    (hold,) = await rows(world, "lock_holds_named", name="l")
    assert hold["expires_at"] <= now + 60 * SECOND
    world.clock.advance(61)
    await world.settle()
    assert await world.status(retried) == "queued"
    assert await world.status(leased) == "pending", "its lease is over, and it is tried again a little later"
    assert (await world.desk.locks.acquire(world.call, AcquireLock(name="l", owner="other"))).lock is not None
    assert (await asyncio.to_thread(replay, world.url)).differences == ()


async def test_a_jump_ahead_and_back_between_two_looks_is_noticed_by_who_asked_for_the_time(world: World):
    house = world.desk.housekeeping
    await house.keep_time()
    world.clock.set(3600)
    await world.desk.locks.acquire(world.call, AcquireLock(name="l", ttl_seconds=60))
    world.clock.set(-3600)
    await house.keep_time()
    assert house.last_jump is not None and house.last_jump.seconds == -3600
    (hold,) = await rows(world, "lock_holds_named", name="l")
    assert hold["expires_at"] == world.clock.now + 60 * SECOND


async def test_mails_sent_by_a_clock_that_was_ahead_do_not_count_for_the_hour(world: World):
    allow(world, per_hour=2)
    world.clock.set(2 * DAY)
    for _ in range(2):
        await send(world)
    with pytest.raises(LimitExceeded):
        await send(world)
    world.clock.set(-2 * DAY)
    await send(world)


async def test_doctor_names_what_rests_on_a_clock_that_was_ahead_and_changes_nothing(world: World, monkeypatch):
    monkeypatch.setattr(Database, "clock", property(lambda _: world.clock))
    await world.desk.locks.acquire(world.call, AcquireLock(name="right", ttl_seconds=60))
    assert [one.ok for one in await asyncio.to_thread(inspect_due, world.url)] == [True, True]
    world.clock.set(3600)
    await world.desk.locks.acquire(world.call, AcquireLock(name="wrong", ttl_seconds=60))
    world.clock.set(-3600)
    events = await world.events()
    _, clock = await asyncio.to_thread(inspect_due, world.url)
    assert not clock.ok and clock.detail.endswith("these were changed: wrong.")
    assert await world.events() == events
    await world.desk.housekeeping.keep_time()
    assert [one.ok for one in await asyncio.to_thread(inspect_due, world.url)] == [True, True]


async def test_a_jump_is_told_in_the_log_and_in_health_and_slow_drift_is_none(world: World, caplog):
    house = world.desk.housekeeping
    told: list[float] = []
    house.on_jump = lambda jump: told.append(jump.seconds)
    for _ in range(20):
        world.clock.advance(30)
        world.clock.set(2)
        await house.keep_time()
    assert told == [] and house.last_jump is None
    with caplog.at_level(logging.WARNING, logger="datamcp.time"):
        world.clock.set(3600)
        await house.keep_time()
        world.clock.set(-3600)
        await house.keep_time()
    assert told == [3600, -3600]
    assert ["ahead by 3600 s" in caplog.text, "back by 3600 s" in caplog.text] == [True, True]
    (health,) = HEALTH
    assert (await health.read(world.desk, world.call, {}))["clock"]["set_by_seconds"] == -3600


async def test_nothing_old_is_cleared_away_by_a_clock_that_was_just_set_ahead(world: World):
    agent = await world.agent()
    await world.task()
    await world.finish(await world.claim_one(agent))
    house = world.desk.housekeeping
    world.clock.set(400 * DAY)
    await house.keep_time()
    await house.begin_chores()
    assert await world.desk.system.ready(CHORES) == set()
    world.clock.advance(3601)
    await house.begin_chores()
    assert await world.desk.system.ready(CHORES) == set(CHORES)


async def test_locks_are_looked_at_only_where_the_log_tells_of_a_clock_that_was_ahead(world: World):
    """Each that is held would be looked up in the log at every start, in the writer."""
    await world.desk.locks.acquire(world.call, AcquireLock(name="src/a", ttl_seconds=3600))
    looked_at = {"now": world.clock.now, "ahead": world.clock.now + JUMP_MIN}
    assert await rows(world, "lock_holds_live", **looked_at) == []
    world.clock.set(60)
    await world.task()
    assert [row["name"] for row in await rows(world, "lock_holds_live", **looked_at)] == ["src/a"]


def test_time_that_passes_and_a_machine_that_sleeps_are_no_jump():
    clock = Clock()
    watch = ClockWatch(clock, clock.steady)
    clock.advance(30 * DAY)
    assert watch.look() is None
    clock.set(-6)
    jump = watch.look()
    assert jump is not None and (jump.way, jump.seconds) == ("back", -6)
    assert steady_clock() <= steady_clock()


def test_a_clock_that_goes_back_is_noticed_even_if_the_steady_one_goes_back_too():
    clock = Clock()
    watch = ClockWatch(clock, clock.steady)
    clock.advance(-60)
    jump = watch.look()
    assert jump is not None and jump.way == "back"


Due = Callable[[], Awaitable[int | None]]


class Life:
    """Does things that have an end, and knows until when each may last by a clock that is never set."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.ends: dict[str, tuple[Due, int]] = {}
        self.claims: list[Any] = []
        self.count = 0

    def until(self, name: str, due: Due, seconds: float) -> None:
        """What stands under this name is due after so many seconds."""
        self.ends[name] = due, START + self.world.clock.passed + round(seconds * SECOND)

    async def live(self, steps: int) -> None:
        actions = (self.claim, self.fail, self.report, self.lock, self.renew, self.set, self.patch, self.ask)
        for _ in range(steps):
            self.world.clock.advance(self.chance.choice((0, 0.5, 3)))
            try:
                await self.chance.choice((*actions, self.send, self.plan, self.prioritise))()
            except OpsError:
                continue
            if self.chance.random() < 0.3:
                await self.world.settle()

    def seconds(self) -> float:
        return self.chance.choice((10.0, 60.0, 600.0, 3600.0))

    async def _task_due(self, id_: str, status: str) -> int | None:
        """When a task is due, as long as it is at the same point of its life: what follows has an end of its own."""
        row = await task_row(self.world, id_)
        return row["due_at"] if row["status"] == status else None

    async def _next_after(self, id_: str, passed: int) -> int | None:
        """When a schedule fires next, less the time since it was made: there is always a next time."""
        return (await task_row(self.world, id_))["due_at"] - (self.world.clock.passed - passed)

    async def claim(self) -> None:
        lease = self.seconds()
        agent = await self.world.agent(capacity=100)
        await self.world.task(
            retry={"max_attempts": 9, "delay_seconds": 100, "max_delay_seconds": 100}, timeout_seconds=lease / 2
        )
        claimed = await self.world.claim_one(agent, lease_seconds=lease)
        self.claims.append(claimed)
        self.until(
            claimed.task.id, lambda: self._task_due(claimed.task.id, "running"), claimed.task.timeout_seconds or 3600
        )

    async def fail(self) -> None:
        claimed = (
            self.claims.pop(self.chance.randrange(len(self.claims)) if self.claims else 0) if self.claims else None
        )
        if claimed is not None:
            delay = self.seconds()
            error = {"message": "no", "retryable": True, "retry_after_seconds": delay}
            await self.world.finish(claimed, error=error)
            self.until(claimed.task.id, lambda: self._task_due(claimed.task.id, "pending"), max(delay, 120))

    async def report(self) -> None:
        if self.claims:
            claimed, extend = self.chance.choice(self.claims), self.seconds()
            command = ReportTask(
                task_id=claimed.task.id, lease_token=claimed.lease_token, progress=None, extend_seconds=extend
            )
            await self.world.desk.tasks.report(self.world.call, command)

    async def prioritise(self) -> None:
        ids = tuple(name for name in self.ends if name.startswith("task_"))[-3:]
        if ids:
            command = ControlTasks(task_ids=ids, action="set_priority", priority="high")
            await self.world.desk.tasks.control(self.world.call, command)

    async def plan(self) -> None:
        schedule = await self.world.task(schedule={"cron": "*/5 * * * *"})
        passed = self.world.clock.passed
        self.until(schedule.id, lambda: self._next_after(schedule.id, passed), 300)

    async def lock(self) -> None:
        self.count += 1
        name, ttl = f"lock{self.count}", self.seconds()
        await self.world.desk.locks.acquire(self.world.call, AcquireLock(name=name, ttl_seconds=ttl))
        self.until(name, lambda: self._hold_due(name), ttl)

    async def renew(self) -> None:
        name, ttl = f"lock{self.count}", self.seconds()
        await self.world.desk.locks.release(self.world.call, ReleaseLock(name=name, renew_seconds=ttl))
        _, before = self.ends[name]
        self.until(name, lambda: self._hold_due(name), ttl)
        due, after = self.ends[name]
        self.ends[name] = due, max(before, after)  # it is never cut short

    async def _hold_due(self, name: str) -> int | None:
        return next((row["expires_at"] for row in await rows(self.world, "lock_holds_named", name=name)), None)

    async def set(self) -> None:
        key, ttl = f"k{self.chance.randrange(3)}", self.seconds()
        await self.world.write("n", key, {}, ttl_seconds=ttl)
        self.until(key, lambda: self._document_due(key), ttl)

    async def patch(self) -> None:
        command = PatchDocument(namespace="n", key=f"k{self.chance.randrange(3)}", merge_patch={"a": self.count})
        await self.world.desk.state.patch(self.world.call, command)

    async def _document_due(self, key: str) -> int | None:
        (row,) = await rows(self.world, "document_for_update", id=f"n/{key}")
        return None if row["deleted"] else row["expires_at"]

    async def ask(self) -> None:
        self.count += 1
        lasts = self.chance.choice((120.0, 3600.0))
        command = RequestApproval(
            title=f"t{self.count}", action="a", approvers=("ann@example.com",), expires_in_seconds=lasts
        )
        asked = await self.world.desk.approvals.request(self.world.call, command)
        self.until(asked.approval.id, lambda: self._approval_due(asked.approval.id), lasts)

    async def _approval_due(self, id_: str) -> int | None:
        (row,) = await rows(self.world, "approval_for_update", id=id_)
        return row["due_at"] and row["expires_at"]

    async def send(self) -> None:
        agent, within = await self.world.agent(), self.seconds()
        command = SendMessage(to=(agent.name,), body="b", ack_within_seconds=round(within))
        sent = await self.world.desk.messages.send(self.world.call, command)
        self.until(sent.message.id, lambda: self._ack_due(sent.message.id, agent.id), within)

    async def _ack_due(self, id_: str, party: str) -> int | None:
        (row,) = await rows(self.world, "delivery_for_update", message_id=id_, party=party)
        return None if row["ack_missed_at"] else row["ack_due_at"]


@pytest.mark.parametrize(("url", "seed"), in_turns([0, 1], range(2, 30)), indirect=["url"])
async def test_after_any_jump_ahead_and_back_nothing_is_due_later_than_by_the_time_the_clock_was_wrong(
    world: World, seed: int
):
    life = Life(world, seed)
    house = world.desk.housekeeping
    await life.live(15)
    await house.keep_time()
    ahead = life.chance.choice((6.0, 30.0, 600.0, 2 * DAY, 40 * DAY))
    began = world.clock.passed
    world.clock.set(ahead)
    await life.live(20)
    world.clock.set(-ahead)
    await life.live(life.chance.choice((0, 3)))
    await house.keep_time()
    bound = world.clock.passed - began + JUMP_MIN + LOOK
    late: dict[str, float] = {}
    for name, (due, until) in life.ends.items():
        at = await due()
        if at is not None and at > until + bound:
            late[name] = (at - until - bound) / SECOND
    assert late == {}
    assert len(life.ends) > 5
    assert (await asyncio.to_thread(replay, world.url)).differences == ()
