"""A schedule fires at once where somebody asks for it, and goes on at its own times as if nobody had."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.times import SECOND, iso
from mcp_server.upkeep.replay import replay
from tests.world import World

pytestmark = pytest.mark.anyio


async def run_now(world: World, *schedules: TaskView) -> ControlledTasks:
    command = ControlTasks(task_ids=tuple(one.id for one in schedules), action="run_now")
    return await world.desk.tasks.control(world.call, command)


async def scheduled(world: World, overlap: str = "skip", **more: Any) -> TaskView:
    return await world.task(title="sweep", schedule={"cron": "0 0 1 1 *", "overlap": overlap}, **more)


async def test_it_makes_an_ordinary_task_that_can_be_claimed_and_the_schedule_stays_as_it_was(world: World):
    agent = await world.agent()
    schedule = await scheduled(world, input={"deep": 1}, priority="high", tags=["x"])
    done = await run_now(world, schedule)
    moved, made = done.tasks
    assert (moved.id, moved.next_firings, made.status) == (schedule.id, schedule.next_firings, "queued")
    work = (await world.claim_one(agent)).task
    assert (work.id, work.parent_id, work.input, work.priority, work.tags) == (
        made.id,
        schedule.id,
        {"deep": 1},
        "high",
        ["x"],
    )
    after = await world.desk.tasks.get(world.call, schedule.id)
    assert (after.run_at, after.schedule, after.result["fired"]) == (schedule.run_at, schedule.schedule, 1)
    assert "task.schedule_fired" in await world.events(aggregate_id=schedule.id)
    assert replay(world.url).differences == ()


async def test_where_firings_do_not_overlap_it_is_refused_until_the_last_one_has_ended(world: World):
    agent, schedule = await world.agent(), await scheduled(world)
    _, first = (await run_now(world, schedule)).tasks
    (refused,) = (await run_now(world, schedule)).refused or []
    assert refused.code == "invalid_transition" and first.id in refused.message and "overlap" in refused.message
    await world.finish(await world.claim_one(agent))
    assert (await run_now(world, schedule)).refused is None


async def test_where_they_overlap_each_call_makes_one_also_within_one_moment(world: World):
    schedule = await scheduled(world, overlap="allow")
    made = [(await run_now(world, schedule)).tasks[1].id for _ in range(2)]
    found = (await world.desk.tasks.find(world.call, FindTasks(parent_id=schedule.id))).items
    assert {one.id for one in found} == set(made) and len(found) == 2


async def test_a_paused_one_fires_and_stays_paused(world: World):
    schedule = await scheduled(world)
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(schedule.id,), action="pause"))
    moved, made = (await run_now(world, schedule)).tasks
    assert (moved.status, made.status) == ("paused", "queued")


async def test_one_whose_firings_people_approve_asks_about_this_one_as_well(world: World):
    schedule = await scheduled(world, requires_approval=True)
    _, made = (await run_now(world, schedule)).tasks
    assert (made.status, made.approval) == ("pending", "required")
    assert len((await world.desk.approvals.find(world.call, FindApprovals(task_id=made.id))).items) == 1


async def test_a_task_that_waits_for_its_time_runs_now_and_one_that_waits_for_more_says_so(world: World):
    agent = await world.agent()
    later = iso(world.clock.now + 3600 * SECOND)
    early, child = await world.tasks({"run_at": later}, {"run_at": later, "depends_on": ["#0"]})
    now, waits = (await run_now(world, early, child)).tasks
    assert (now.status, now.run_at, waits.status) == ("queued", None, "pending") and "dependency" in waits.waits_for[0]
    assert (await world.claim_one(agent)).task.id == early.id
    assert (await run_now(world, early)).refused, "it runs"
    assert replay(world.url).differences == ()


async def test_what_is_no_schedule_or_has_ended_is_refused_with_what_can_be_done(world: World):
    task, schedule = await world.task(), await scheduled(world)
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(schedule.id,), action="cancel"))
    done = await run_now(world, task, schedule)
    assert done.tasks == [] and [one.code for one in done.refused or ()] == ["invalid_transition"] * 2
    assert "Legal now" in (done.refused or ())[0].message


async def test_who_sets_a_schedule_to_now_is_told_of_it(world: World):
    schedule = await scheduled(world)
    command = ControlTasks.model_validate(
        {"task_ids": [schedule.id], "action": "reschedule", "run_at": iso(world.clock.now)}
    )
    (warning,) = (await world.desk.tasks.control(world.call, command)).warnings or []
    assert "action='run_now' makes one run" in warning
