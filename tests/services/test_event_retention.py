"""The promises of thinning out the event log, on both engines."""

import pytest

from mcp_server.domain.errors import CursorExpired, NotFound
from mcp_server.domain.locks import LockRequest
from mcp_server.domain.state import WriteSpec
from mcp_server.domain.task_spec import FailureSpec
from mcp_server.persistence.replay import replay
from mcp_server.runtime.handlers import system_handlers
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.services.retention import THIN_KIND, Keep
from tests.world import World

pytestmark = pytest.mark.anyio
DAY = 86_400
KEEP = Keep(finished_days=1, events_days=90)


async def thin_out(world: World, keep: Keep) -> int:
    """Everything that the system task does; how many events were dropped."""
    while await world.desk.retention.archive_some(keep):
        pass
    horizon, place, dropped = await world.desk.retention.horizon(keep), None, 0
    while horizon is not None:
        place, more = await world.desk.retention.thin_some(place, horizon)
        dropped += more
        if place is None:
            break
    return dropped


async def write(world: World, value: int) -> None:
    await world.desk.state.set(world.call, "n", "k", value, WriteSpec())


async def test_old_events_give_way_to_a_snapshot_of_what_lives(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent)
    await world.desk.tasks.finish(world.call, claimed.task.id, claimed.lease_token)
    for value in range(3):
        await write(world, value)
    lock = LockRequest(name="l", owner="o", mode="exclusive", ttl_seconds=3000)
    await world.desk.locks.acquire(world.call, lock, 0)
    world.clock.advance(91 * DAY)
    assert await thin_out(world, KEEP) == 8
    assert sorted(await world.events()) == ["agent.snapshot", "document.snapshot", "lock.snapshot", "task.snapshot"]
    (snapshot,), _ = await world.desk.events.read(world.call, limit=9, type_="task.*")
    assert (snapshot.aggregate_id, snapshot.version) == (claimed.task.id, 3)
    assert (snapshot.data["status"], snapshot.data["tags"]) == ("completed", [])
    assert replay(world.url).differences == ()


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
    _, early = await world.desk.events.read(world.call, limit=1)
    await write(world, 2)
    _, horizon = await world.desk.events.read(world.call, limit=9)
    world.clock.advance(91 * DAY)
    await write(world, 3)
    _, late = await world.desk.events.read(world.call, limit=9)
    await thin_out(world, KEEP)
    with pytest.raises(CursorExpired, match="replaced by snapshots at 2027-04-16T08:00:00.000Z") as refused:
        await world.desk.events.read(world.call, after=early, limit=9)
    assert refused.value.details == {"cursor": early, "oldest_cursor": horizon}
    kept, _ = await world.desk.events.read(world.call, after=horizon, limit=9)
    assert [event.type for event in kept] == ["document.set", "document.snapshot"]
    assert (await world.desk.events.read(world.call, after=late, limit=9))[0] == kept[1:]
    assert await world.events() == ["document.set", "document.snapshot"]
    newest, back = await world.desk.events.read(world.call, limit=1, newest_first=True)
    older, _ = await world.desk.events.read(world.call, limit=9, newest_first=True, after=back)
    assert [event.type for event in newest + older] == ["document.snapshot", "document.set"]


async def test_a_second_snapshot_replaces_the_first_and_an_unchanged_one_stays(world: World):
    await write(world, 1)
    await world.desk.state.set(world.call, "n", "quiet", 1, WriteSpec())
    for value in (2, 3):
        world.clock.advance(91 * DAY)
        await thin_out(world, KEEP)
        await write(world, value)
    world.clock.advance(91 * DAY)
    await thin_out(world, KEEP)
    events, _ = await world.desk.events.read(world.call, limit=9)
    assert [(event.type, event.aggregate_id, event.version) for event in events] == [
        ("document.snapshot", "n/quiet", 1),
        ("document.snapshot", "n/k", 3),
    ]


async def test_nobody_is_woken_by_a_snapshot(world: World):
    await write(world, 1)
    world.clock.advance(91 * DAY)
    async with world.database.feed.listen() as listener:
        await thin_out(world, KEEP)
        await world.task(title="heard")
        heard = [event["type"] for event in await listener.wait(5)]
    assert heard == ["task.created"]


async def test_the_system_task_thins_out_once_a_day_and_only_where_something_is_old(world: World):
    await world.desk.retention.begin(KEEP)
    for value in range(5):
        await write(world, value)
    await world.desk.retention.begin(KEEP)
    assert await world.events(type_="task.*") == []
    world.clock.advance(91 * DAY)
    for _ in range(2):
        await world.desk.retention.begin(KEEP)
    worker = SystemWorker(world.desk, system_handlers(world.desk, KEEP))
    assert await worker.look() == 1
    await worker.idle()
    row = await world.database.fetch_one("task_by_idempotency_key", key=f"{THIN_KIND}:2027-04-16")
    assert row is not None and (row["status"], row["result"]) == ("completed", '{"dropped":5}')


async def test_nothing_old_means_no_horizon(world: World):
    await write(world, 1)
    assert await world.desk.retention.horizon(KEEP) is None
    assert await world.database.fetch_one("event_horizon") is None


# What led to this?


async def test_the_chain_that_led_to_an_event_crosses_from_one_task_to_the_next(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({}, {"depends_on": ["#0"]})
    claimed = await world.claim_one(agent)
    await world.desk.tasks.finish(world.call, parent.id, claimed.lease_token)
    second = await world.claim_one(agent)
    await world.desk.tasks.finish(world.call, child.id, second.lease_token)
    (last,), _ = await world.desk.events.read(world.call, limit=1, newest_first=True)
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
    await world.desk.tasks.control(world.call, [parent.id], "cancel")
    await world.task(schedule={"cron": "* * * * *"})
    _, instance_id = await world.instance("lives")
    lock = LockRequest(name="l", owner=instance_id, mode="exclusive", ttl_seconds=3000)
    await world.desk.locks.acquire(world.call, lock, 0)
    world.clock.advance(200)
    await world.settle()
    doomed = await world.agent("doomed")
    await world.claim_one(doomed)
    await world.desk.agents.control(world.call, doomed.id, "terminate", None)
    events, _ = await world.desk.events.read(world.call, limit=100)
    types = {event.seq: event.type for event in events}
    assert [(event.type, types[event.causation_seq]) for event in events if event.causation_seq is not None] == [
        ("task.cancelled", "task.cancelled"),
        ("task.cancelled", "task.cancelled"),
        ("task.created", "task.schedule_fired"),
        ("lock.abandoned", "instance.lost"),
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
    await world.desk.tasks.finish(world.call, parent.id, claimed.lease_token, failure=FailureSpec(message="broke"))
    events, _ = await world.desk.events.read(world.call, type_="task.*", limit=1000)
    ended = {event.seq: event for event in events if event.type in ("task.failed", "task.cancelled")}
    assert len(ended) == 1 + 100 + 34
    for event in ended.values():
        if event.aggregate_id != parent.id:
            (waited_for,) = (await world.desk.tasks.get(world.call, event.aggregate_id)).depends_on or ()
            assert event.causation_seq is not None and ended[event.causation_seq].aggregate_id == waited_for
