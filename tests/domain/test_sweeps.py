"""What time makes due is settled row by row: one that cannot be settled harms itself alone, is named, and is tried
again."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.areas import AREAS
from mcp_server.domain.calls import joins, owning
from mcp_server.domain.calls.commands import EXPIRES_IN_SECONDS_MAX, OpenCall
from mcp_server.domain.locks import transactions as locks
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks import claiming
from mcp_server.kernel.area import Sweep
from mcp_server.kernel.errors import Busy
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.sweeping import settle_rows
from mcp_server.upkeep.dueness import inspect_due
from tests.domain.calls.desks import on_desk
from tests.world import World, caller

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What fails is logged with its traceback, which is not what is looked at here."""
    logging.getLogger("datamcp.loops").disabled = True
    yield
    logging.getLogger("datamcp.loops").disabled = False


def rewrite(tx: Transaction, task_id: str, schedule: str) -> None:
    """Give a schedule another definition than it could be created with."""
    task = tx.one("task_for_update", id=task_id) or {}
    event = Event("task.edited", "task", task_id, task["version"] + 1, {"schedule": schedule})
    tx._write_row("tasks", ("schedule", "version", "id"), [schedule, event.version, task_id], new=False)  # type: ignore[attr-defined]


async def with_zone(world: World, task_id: str, zone: str) -> None:
    schedule = f'{{"cron":"* * * * *","timezone":"{zone}","catch_up":"skip","overlap":"skip"}}'
    await world.database.write(rewrite, task_id, schedule)


async def failing(world: World) -> list[str]:
    return world.desk.loops.failing()


async def test_a_schedule_in_a_zone_that_this_host_lacks_stops_nobody_elses_time(world: World):
    agent = await world.agent()
    poison = await world.task(title="poison", schedule={"cron": "* * * * *"})
    good = await world.task(title="good", schedule={"cron": "* * * * *"})
    later = await world.task(title="later", run_at="2027-01-15T08:00:30Z")
    await world.write("n", "k", 1, ttl_seconds=10)
    await with_zone(world, poison.id, "Nowhere/Land")
    world.clock.advance(120)
    claimed = [one.task.title for one in await world.claim(agent, max_tasks=5)]
    assert sorted(claimed) == ["good", "later"]
    await world.settle()
    assert await world.status(later) == "running"
    assert "document.expired" in await world.events(type="document.*")
    assert await failing(world) == [f"due.tasks {poison.id}"]
    (told,) = world.desk.loops.report()
    assert told["state"] == "restarting" and told["last_error"]
    for _ in range(3):  # one that fails again and again lets the others go on
        world.clock.advance(60)
        await world.settle()
    tally = (await world.desk.tasks.get(world.call, good.id)).result
    assert tally["fired"] + tally["skipped"] >= 3
    await with_zone(world, poison.id, "Europe/Berlin")
    world.clock.advance(600)
    await world.settle()
    assert await failing(world) == [] and world.desk.loops.report() == []
    assert (await world.desk.tasks.get(world.call, poison.id)).result is not None


async def test_doctor_names_what_is_due_and_cannot_be_settled_and_changes_nothing(world: World):
    poison = await world.task(schedule={"cron": "* * * * *"}, run_at="2020-01-01T00:00:00Z")
    await world.task(title="good", schedule={"cron": "* * * * *"}, run_at="2020-01-01T00:00:00Z")
    await with_zone(world, poison.id, "Nowhere/Land")
    await world.database.write(overdue)
    events = await world.events()
    finding, _ = await asyncio.to_thread(inspect_due, world.url)
    assert not finding.ok and f"due.tasks {poison.id}" in finding.detail
    assert await world.events() == events
    await with_zone(world, poison.id, "UTC")
    await world.database.write(overdue)
    assert (await asyncio.to_thread(inspect_due, world.url))[0].ok
    assert await world.events() == events


def overdue(tx: Transaction) -> None:
    """Doctor goes by the machine's clock, these worlds by one of their own."""
    for row in tx.all("due_tasks", now=2**62, limit=10):
        tx._write_row("tasks", ("due_at", "id"), [1, row["id"]], new=False)  # type: ignore[attr-defined]


async def test_a_claim_passes_over_due_rows_that_fail_in_the_midst(world: World, monkeypatch):
    agent = await world.agent()
    poisoned = [(await world.task(run_at="2027-01-15T08:00:30Z")).id for _ in range(3)]
    good = await world.task(run_at="2027-01-15T08:00:31Z")
    world.clock.advance(60)

    def half_done(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
        claiming_due.settle(tx, origin, row)
        if row["id"] in poisoned:
            raise ValueError("cannot be settled")

    claiming_due = claiming.DUE
    monkeypatch.setattr(claiming, "DUE", replace(claiming_due, settle=half_done))
    claims = await asyncio.gather(*(world.claim(agent, max_tasks=5) for _ in range(4)))
    assert [one.task.id for some in claims for one in some] == [good.id]
    assert await failing(world) == []
    await world.settle()  # by the timer they are tried again, and by now they are sound
    assert sorted(one.task.id for one in await world.claim(agent, max_tasks=5)) == sorted(poisoned)


async def test_a_row_that_fails_rests_longer_each_time(world: World):
    poison = await world.task(schedule={"cron": "* * * * *"})
    await with_zone(world, poison.id, "Nowhere/Land")
    world.clock.advance(60)
    tried: list[int] = []
    housekeeping = world.desk.housekeeping

    def count(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
        tried.append(origin.at)
        raise ValueError("cannot be settled")

    housekeeping._areas = only(lambda sweep: replace(sweep, settle=count) if sweep.due == "due.tasks" else sweep)
    for _ in range(40):
        world.clock.advance(1)
        await housekeeping.settle()
    gaps = [round((b - a) / 1e6) for a, b in itertools.pairwise(tried)]
    assert gaps == [1, 2, 4, 8, 16]


class _Some:
    """Areas of which only the sweeps are asked."""

    def __init__(self, sweeps: tuple[Sweep, ...]) -> None:
        self.sweeps = sweeps

    def unloaded(self, statement: str) -> None:
        del statement


def only(change: Any) -> Any:
    return _Some(tuple(change(sweep) for sweep in AREAS.sweeps))


async def due_everywhere(world: World) -> None:
    """Two rows that are due, for every sweep that there is."""
    for number in (1, 2):
        agent, _ = await world.instance(f"worker{number}")
        await world.task(title="t", run_at="2027-01-15T08:00:30Z")
        await world.write("n", f"k{number}", 1, ttl_seconds=10)
        await world.desk.locks.acquire(world.call, acquire(f"lock{number}", 10))
        await world.desk.messages.send(world.call, message(agent.name))
        await world.desk.approvals.request(world.call, question())
        waits = world.desk.context.origin(caller(id="other"))
        await world.database.write(stand_in_line, waits, f"lock{number}")
        await calls_due(world)
    world.clock.advance(86_400)


async def calls_due(world: World) -> None:
    """A call that nobody joins, and one whose server dies while something is asked of it."""
    desk = on_desk(world)
    await desk.calls.open(world.call, OpenCall(purpose="Why", expires_in_seconds=60))
    held = (await desk.calls.open(world.call, OpenCall(purpose="Why", expires_in_seconds=EXPIRES_IN_SECONDS_MAX))).call
    await world.database.write(hold_and_die, world.desk.context.origin(world.call), held.id)


def hold_and_die(tx: Transaction, origin: Origin, call_id: str) -> None:
    taken = owning.take(tx, origin, call_id, "a server")
    assert taken.fence is not None
    owning.stay(tx, origin, taken.fence)
    joins.take_part(tx, origin, call_id, joins.Offer("{}", "ann"), 9)


def acquire(name: str, ttl: float) -> Any:
    return AcquireLock(name=name, ttl_seconds=ttl)


def message(to: str) -> Any:
    return SendMessage(to=(to,), body="b", ack_within_seconds=60)


def question() -> Any:
    return RequestApproval(title="t", action="a", approvers=("local",), expires_in_seconds=60)


def stand_in_line(tx: Transaction, origin: Origin, name: str) -> None:
    locks.acquire(tx, origin, acquire(name, 10), origin.at)


@pytest.mark.parametrize(
    "half_done",
    [pytest.param(False, marks=pytest.mark.slow, id="before it wrote"), pytest.param(True, id="after it wrote")],
)
@pytest.mark.parametrize("due", [sweep.due for sweep in AREAS.sweeps])
async def test_one_row_of_any_kind_that_raises_leaves_the_others_settled(world: World, due: str, half_done: bool):
    await due_everywhere(world)
    poisoned: list[str] = []
    settled: list[str] = []

    def poison(sweep: Sweep) -> Sweep:
        def settle(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
            if not poisoned:
                poisoned.append(sweep.key(row))
            if sweep.key(row) == poisoned[0]:
                if half_done:
                    sweep.settle(tx, origin, row)
                raise ValueError("cannot be settled")
            sweep.settle(tx, origin, row)
            settled.append(sweep.key(row))

        return replace(sweep, settle=settle) if sweep.due == due else sweep

    housekeeping = world.desk.housekeeping
    housekeeping._areas = only(poison)
    assert await housekeeping.settle()
    assert settled and poisoned[0] not in settled
    assert await failing(world) == [f"{due} {poisoned[0]}"]
    housekeeping._areas = AREAS
    world.clock.advance(600)
    assert not await housekeeping.settle()
    assert await failing(world) == []


async def test_what_stands_behind_a_lock_of_somebody_who_is_frozen_holds_up_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Locks come before tasks, and wait ten seconds for a session that stands still."""
    await world.desk.locks.acquire(world.call, acquire("held", 10))
    schedule = await world.task(schedule={"cron": "* * * * *"})
    world.clock.advance(60)
    order: list[str] = []
    busy, write = Busy("somebody stands still", next="Call again."), world.database.write

    async def held_up(function: Any, *arguments: Any) -> Any:
        if function is settle_rows:
            order.append(arguments[1].due)
        if function is settle_rows and arguments[1].due == "due.lock_holds":
            raise busy
        return await write(function, *arguments)

    monkeypatch.setattr(world.database, "write", held_up)
    with pytest.raises(Busy):
        await world.settle()
    assert (await world.desk.tasks.get(world.call, schedule.id)).result["fired"] == 1
    assert order == ["due.lock_holds", "due.tasks"], "the longest due is first, and what is not due costs nothing"
    world.clock.advance(60)
    with pytest.raises(Busy):
        await world.settle()
    assert order[2:] == ["due.tasks", "due.lock_holds"], "who was held up is last"
    monkeypatch.undo()
    await world.settle()
    assert "lock.expired" in await world.events(type="lock.*")
