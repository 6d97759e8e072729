"""The promises of thinning out the event log, on both engines."""

from dataclasses import replace as with_changes
from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.events import thinning
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.events.handlers import THIN_KIND
from mcp_server.domain.events.retention import EventRetention, KeepEvents
from mcp_server.domain.events.views import EventView
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.tasks.archive import KeepTasks, TaskRetention
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.spec import FailureSpec
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import CursorExpired, NotFound
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.upkeep.replay import replay
from tests.world import World

pytestmark = pytest.mark.anyio
DAY = 86_400
Keep = tuple[KeepTasks, KeepEvents]
KEEP: Keep = (KeepTasks(days=1), KeepEvents(days=90))


def desk_with(world: World, *options: object) -> Desk:
    """Another desk in the same world, with what an operator set."""
    context = world.desk.context
    return desk_on(world.database, *options, clock=world.clock, ids=context.new_id, chance=context.random)


async def thin_out(world: World, keep: Keep) -> int:
    """Everything that the system tasks do; how many events were dropped."""
    desk = desk_with(world, *keep)
    while await desk.get(TaskRetention).archive_some():
        pass
    retention = desk.get(EventRetention)
    horizon, place, dropped = await retention.horizon(), None, 0
    while horizon is not None:
        place, more = await retention.thin_some(place, horizon)
        dropped += more
        if place is None:
            break
    return dropped


async def write(world: World, value: int) -> None:
    await world.write("n", "k", value)


async def events(world: World, **narrowed: Any) -> tuple[list[EventView], str]:
    return await world.desk.events.read(world.call, ReadEvents.model_validate({"limit": 9} | narrowed))


async def test_old_events_give_way_to_a_snapshot_of_what_lives(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent)
    await world.finish(claimed)
    for value in range(3):
        await write(world, value)
    await world.desk.locks.acquire(world.call, AcquireLock(name="l", owner="o", ttl_seconds=3000))
    world.clock.advance(91 * DAY)
    assert await thin_out(world, KEEP) == 8
    assert sorted(await world.events()) == ["agent.snapshot", "document.snapshot", "lock.snapshot", "task.snapshot"]
    (snapshot,), _ = await events(world, type="task.*")
    assert (snapshot.aggregate_id, snapshot.version) == (claimed.task.id, 3)
    assert (snapshot.data["status"], snapshot.data["tags"]) == ("completed", [])
    assert replay(world.url).differences == ()


async def test_a_long_history_is_dropped_in_several_transactions_and_is_whole_after_each(world: World, monkeypatch):
    monkeypatch.setattr(thinning, "DROPPED_MAX", 3)
    first, _ = await world.tasks({}, {"depends_on": ["#0"]})
    agent = await world.agent()
    for _ in range(2):
        await world.finish(await world.claim_one(agent))
    for value in range(7):
        await write(world, value)
    happened = await world.events()
    world.clock.advance(91 * DAY)
    desk = desk_with(world, *KEEP)
    while await desk.get(TaskRetention).archive_some():
        pass
    retention = desk.get(EventRetention)
    horizon, place, steps = await retention.horizon(), None, []
    assert horizon is not None
    while True:
        place, dropped = await retention.thin_some(place, horizon)
        steps.append(dropped)
        assert replay(world.url).differences == ()
        if place is None:
            break
    assert max(steps) == 3 and sum(steps) == len(happened)
    assert sorted(await world.events()).count("document.snapshot") == 1
    assert (await world.desk.tasks.get(world.call, first.id)).status == "completed"


async def test_work_that_is_not_archived_keeps_its_history(world: World):
    agent = await world.agent()
    task = await world.task()
    await world.task(run_at="2030-01-01T00:00:00Z")
    await world.claim_one(agent, lease_seconds=86_400)
    world.clock.advance(91 * DAY)
    assert await thin_out(world, KEEP) == 1  # the agent's
    assert await world.events(aggregate_id=task.id) == ["task.created", "task.claimed"]


async def test_a_cursor_from_before_the_horizon_is_refused_and_the_oldest_good_one_named(world: World):
    await write(world, 1)
    _, early = await events(world, limit=1)
    await write(world, 2)
    _, horizon = await events(world)
    world.clock.advance(91 * DAY)
    await write(world, 3)
    _, late = await events(world)
    await thin_out(world, KEEP)
    with pytest.raises(CursorExpired, match="replaced by snapshots at 2027-04-16T08:00:00.000Z") as refused:
        await events(world, after=early)
    assert refused.value.details == {"cursor": early, "oldest_cursor": horizon}
    kept, _ = await events(world, after=horizon)
    assert [event.type for event in kept] == ["document.set", "document.snapshot"]
    assert (await events(world, after=late))[0] == kept[1:]
    assert await world.events() == ["document.set", "document.snapshot"]
    newest, back = await events(world, limit=1, newest_first=True)
    older, _ = await events(world, newest_first=True, after=back)
    assert [event.type for event in newest + older] == ["document.snapshot", "document.set"]


async def test_a_second_snapshot_replaces_the_first_and_an_unchanged_one_stays(world: World):
    await write(world, 1)
    await world.write("n", "quiet", 1)
    for value in (2, 3):
        world.clock.advance(91 * DAY)
        await thin_out(world, KEEP)
        await write(world, value)
    world.clock.advance(91 * DAY)
    await thin_out(world, KEEP)
    kept, _ = await events(world)
    assert [(event.type, event.aggregate_id, event.version) for event in kept] == [
        ("document.snapshot", "n/quiet", 1),
        ("document.snapshot", "n/k", 3),
    ]


async def test_nobody_is_woken_by_a_snapshot(world: World):
    await write(world, 1)
    world.clock.advance(91 * DAY)
    async with world.database.feed.listen() as listener:
        await thin_out(world, KEEP)
        await world.task(title="heard")
        heard = [event["type"] for event in await listener.wait(60)]
    assert heard == ["task.created"]


async def test_the_system_task_thins_out_once_a_day_and_only_where_something_is_old(world: World):
    desk = desk_with(world, *KEEP)
    await desk.housekeeping.begin_chores()
    for value in range(5):
        await write(world, value)
    await desk.housekeeping.begin_chores()
    assert await world.events(type="task.*") == []
    world.clock.advance(91 * DAY)
    for _ in range(2):
        await desk.housekeeping.begin_chores()
    worker = SystemWorker(desk, AREAS.kinds)
    assert await worker.look() == 1
    await worker.idle()
    row = await world.database.fetch_one(
        "task_by_idempotency_key", key=f"{THIN_KIND}:2027-04-16", owner="system:server"
    )
    assert row is not None and (row["status"], row["result"]) == ("completed", '{"dropped":5}')


async def test_nothing_old_means_no_horizon(world: World):
    await write(world, 1)
    assert await desk_with(world, *KEEP).get(EventRetention).horizon() is None
    assert await world.database.fetch_one("event_horizon") is None


# What led to this?


async def test_the_chain_that_led_to_an_event_crosses_from_one_task_to_the_next(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"]})
    claimed = await world.claim_one(agent)
    await world.finish(claimed)
    second = await world.claim_one(agent)
    await world.finish(second)
    (last,), _ = await events(world, limit=1, newest_first=True)
    chain = await world.desk.events.led_to(world.call, last.seq, 100)
    assert [(event.type, event.aggregate_id) for event in chain] == [
        ("task.created", parent.id),
        ("task.claimed", parent.id),
        ("task.completed", parent.id),
        ("task.queued", child.id),
        ("task.claimed", child.id),
        ("task.completed", child.id),
    ]
    assert chain[3].causation_seq == chain[2].seq
    assert await world.desk.events.led_to(world.call, last.seq, 2) == chain[-2:]
    with pytest.raises(NotFound, match="no event 999999"):
        await world.desk.events.led_to(world.call, 999_999, 5)


async def test_causes_are_named_for_cascades_schedules_terminations_and_lost_instances(world: World):
    parent, _, _ = await world.tasks(
        {}, {"depends_on": ["#0"], "on_parent_failure": "cancel"}, {"depends_on": ["#1"], "on_parent_failure": "cancel"}
    )
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(parent.id,), action="cancel"))
    await world.task(schedule={"cron": "* * * * *"})
    agent, instance_id = await world.instance("lives")
    alive = with_changes(world.call, speaker=Speaker(agent.id, agent.name))
    await world.desk.locks.acquire(alive, AcquireLock(name="l", owner=instance_id, ttl_seconds=3000))
    world.clock.advance(200)
    await world.settle()
    doomed = await world.agent("doomed")
    await world.claim_one(doomed)
    await world.desk.agents.control(world.call, ControlAgent(agent_id=doomed.id, action="terminate"))
    happened, _ = await events(world, limit=100)
    types = {event.seq: event.type for event in happened}
    assert [(event.type, types[event.causation_seq]) for event in happened if event.causation_seq is not None] == [
        ("task.cancelled", "task.cancelled"),
        ("task.cancelled", "task.cancelled"),
        ("lock.abandoned", "instance.lost"),
        ("task.created", "task.schedule_fired"),
        ("task.handed_back", "agent.terminated"),
    ]


async def test_causes_are_named_however_many_effects_a_call_has(world: World):
    """On PostgreSQL so many events go out in several parts, and an effect may stand in a later one than its cause."""
    agent = await world.agent()
    parent = await world.task(retry={"max_attempts": 1})
    child = {"depends_on": [parent.id], "on_parent_failure": "cancel"}
    children = [task.id for _ in range(2) for task in await world.tasks(*[child] * 50)]
    for id_ in children[::3]:
        await world.task(depends_on=[id_], on_parent_failure="cancel")
    claimed = await world.claim_one(agent)
    await world.finish(claimed, error=FailureSpec(message="broke"))
    ended: dict[int, EventView] = {}
    for kind in ("task.failed", "task.cancelled"):
        page, cursor = await events(world, type=kind, limit=100)
        while page:
            ended |= {event.seq: event for event in page}
            page, cursor = await events(world, type=kind, limit=100, after=cursor)
    assert len(ended) == 1 + 100 + 34
    for event in ended.values():
        if event.aggregate_id != parent.id:
            (waited_for,) = (await world.desk.tasks.get(world.call, event.aggregate_id)).depends_on or ()
            assert event.causation_seq is not None and ended[event.causation_seq].aggregate_id == waited_for
