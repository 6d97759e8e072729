"""Schedules: each occurrence becomes one ordinary task, once, whoever's timer looks."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from mcp_server.domain.approvals.model import approval_id_of
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.errors import NotFound, ValidationFailed
from mcp_server.kernel.times import iso, micros
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


def to(world: World, text: str) -> None:
    world.clock.now = micros(datetime.fromisoformat(text))


async def firings(world: World, schedule: TaskView) -> list[TaskView]:
    found, _, _ = await world.desk.tasks.find(world.call, FindTasks(parent_id=schedule.id, limit=100))
    return found[::-1]


async def scheduled(world: World, cron: str = "0 * * * *", **more) -> TaskView:
    to(world, "2027-01-15T08:10Z")
    schedule = {"cron": cron} | {name: more.pop(name) for name in ("timezone", "catch_up", "overlap") if name in more}
    return await world.task(title="sweep", schedule=schedule, **more)


async def test_creation_shows_the_next_five_firings(world: World):
    schedule = await scheduled(world, "30 9 * * *", timezone="Europe/Berlin")
    assert schedule.status == "pending"
    assert schedule.next_firings == [f"2027-01-{day}T08:30:00.000Z" for day in (15, 16, 17, 18, 19)]
    assert schedule.waits_for == ["its next time, 2027-01-15T08:30:00.000Z (2027-01-15T09:30+01:00 in Europe/Berlin)"]
    assert schedule.schedule == {
        "cron": "30 9 * * *",
        "timezone": "Europe/Berlin",
        "catch_up": "skip",
        "overlap": "skip",
    }


async def test_each_occurrence_is_an_ordinary_task_with_everything_the_schedule_said(world: World):
    agent = await world.agent(skills=("clean",))
    schedule = await scheduled(
        world, input={"deep": [1]}, required_capabilities=["clean"], priority="high", tags=["x"], kind="chore"
    )
    to(world, "2027-01-15T09:00:01Z")
    claimed = await world.claim_one(agent)
    task = claimed.task
    assert (task.title, task.kind, task.input, task.priority, task.tags) == (
        "sweep",
        "chore",
        {"deep": [1]},
        "high",
        ["x"],
    )
    assert (task.parent_id, task.run_at) == (schedule.id, "2027-01-15T09:00:00.000Z")
    await world.finish(claimed, result="ok")
    to(world, "2027-01-15T10:00:01Z")
    assert (await world.claim_one(agent)).task.run_at == "2027-01-15T10:00:00.000Z"
    now = await world.desk.tasks.get(world.call, schedule.id)
    assert now.status == "pending" and now.result["fired"] == 2
    assert now.run_at == "2027-01-15T11:00:00.000Z"


async def test_two_servers_never_fire_the_same_occurrence_twice(world: World):
    schedule = await scheduled(world, overlap="allow")
    async with open_world(world.url) as other:
        for hour in range(9, 14):
            to(world, f"2027-01-15T{hour:02}:00:01Z")
            other.clock.now = world.clock.now
            await asyncio.gather(*(one.settle() for one in (world, other, world, other)))
    times = [task.run_at for task in await firings(world, schedule)]
    assert times == [f"2027-01-15T{hour:02}:00:00.000Z" for hour in range(9, 14)]


@pytest.mark.parametrize(("catch_up", "fired"), [("skip", 0), ("once", 1)])
async def test_what_was_missed_while_nobody_was_alive_follows_the_catch_up_policy(
    world: World, catch_up: str, fired: int
):
    schedule = await scheduled(world, catch_up=catch_up)
    to(world, "2027-01-16T05:20Z")
    await world.settle()
    tasks = await firings(world, schedule)
    assert [task.run_at for task in tasks] == ["2027-01-16T05:00:00.000Z"] * fired
    assert (await world.desk.tasks.get(world.call, schedule.id)).run_at == "2027-01-16T06:00:00.000Z"
    to(world, "2027-01-16T06:00:02Z")
    await world.settle()
    assert (await firings(world, schedule))[0].run_at == ("2027-01-16T05" if fired else "2027-01-16T06") + ":00:00.000Z"


@pytest.mark.parametrize(("overlap", "fired"), [("skip", 1), ("allow", 2)])
async def test_an_occurrence_during_an_unfinished_firing_follows_the_overlap_policy(
    world: World, overlap: str, fired: int
):
    schedule = await scheduled(world, overlap=overlap)
    for hour in ("09", "10"):
        to(world, f"2027-01-15T{hour}:00:01Z")
        await world.settle()
    assert len(await firings(world, schedule)) == fired
    events = await world.events(aggregate_id=schedule.id)
    assert events[-1] == ("task.schedule_skipped" if overlap == "skip" else "task.schedule_fired")


async def test_a_schedule_is_paused_resumed_and_ended_like_a_task_but_never_claimed(world: World):
    agent = await world.agent()
    schedule = await scheduled(world)

    async def control(action: Any, **more: Any) -> ControlledTasks:
        command = ControlTasks(task_ids=(schedule.id,), action=action, **more)
        return await world.desk.tasks.control(world.call, command)

    done = await control("retry")
    assert done.tasks == [] and done.refused is not None
    assert "Legal now: cancel, pause, set_priority" in done.refused[0].message
    await control("pause", reason="holidays")
    to(world, "2027-01-15T12:30Z")
    await world.settle()
    assert await firings(world, schedule) == []
    (listed,) = (await world.desk.tasks.find(world.call, FindTasks(schedules=True))).items
    for shown in (listed, await world.desk.tasks.get(world.call, schedule.id)):
        assert (shown.status, shown.run_at, shown.next_firings, shown.pause_reason) == (
            "paused",
            None,
            None,
            "holidays",
        )
    await control("resume")
    await world.settle()
    assert await world.claim(agent) == []
    to(world, "2027-01-15T13:00:01Z")
    assert len(await world.claim(agent)) == 1
    await control("cancel")
    to(world, "2027-01-15T15:00Z")
    await world.settle()
    assert len(await firings(world, schedule)) == 1
    assert await world.status(schedule) == "cancelled"


async def test_an_approval_is_asked_for_each_firing(world: World):
    schedule = await scheduled(world, requires_approval=True)
    to(world, "2027-01-15T09:00:01Z")
    await world.settle()
    (task,) = await firings(world, schedule)
    asked = f"a person's approval ({approval_id_of(task.id)})"
    assert (task.status, task.waits_for) == ("pending", [asked, "its time, 2027-01-15T09:00:00.000Z"])
    with pytest.raises(NotFound):
        await world.decide(world.call, schedule.id, granted=True)
    assert (await world.decide(world.call, task.id, granted=True)).status == "queued"


async def test_a_run_at_keeps_the_first_firing_back(world: World):
    schedule = await scheduled(world, run_at="2027-02-01T00:10:00Z")
    assert schedule.run_at == iso(micros(datetime.fromisoformat("2027-02-01T01:00Z")))


async def test_a_replayed_creation_does_not_make_a_second_schedule(world: World):
    first = await scheduled(world, idempotency_key="nightly")
    again = await scheduled(world, idempotency_key="nightly")
    assert again.id == first.id


@pytest.mark.parametrize(
    ("cron", "run_at"), [("0 0 29 2 *", "9997-01-01T00:00:00Z"), ("* * * * *", "9999-12-31T23:59:30Z")]
)
async def test_a_schedule_that_would_fire_after_the_calendar_ends_is_refused(world: World, cron: str, run_at: str):
    with pytest.raises(ValidationFailed, match="the year 9999"):
        await world.task(schedule={"cron": cron}, run_at=run_at)


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
async def test_the_last_firings_of_the_calendar_are_those_that_there_are(world: World, timezone: str):
    schedule = {"cron": "0 0 * * *", "timezone": timezone}
    last = await world.task(schedule=schedule, run_at="9999-12-29T20:00:00Z")
    assert last.next_firings and len(last.next_firings) < 5
    assert (await world.desk.tasks.get(world.call, last.id)).next_firings == last.next_firings
