"""Rows and answers about tasks tell how long, when and what, and nothing that is over."""

from typing import Any

import pytest

from mcp_server.domain.tasks.commands import ControlTasks, FindTasks, ReportTask, WaitForTasks
from mcp_server.domain.tasks.lines import task_line
from mcp_server.kernel.times import SECOND, iso
from tests.world import World
from tools import TOOLS
from tools.finishing import FinishResult

pytestmark = pytest.mark.anyio
SAY = {tool.name: tool.say for tool in TOOLS}


async def control(world: World, action: str, *ids: str, **more: Any) -> Any:
    return await world.desk.tasks.control(
        world.call, ControlTasks.model_validate({"task_ids": ids, "action": action} | more)
    )


async def test_a_list_says_how_long_the_last_attempt_of_what_has_ended_took(world: World):
    agent, task = await world.agent(), await world.task()
    await world.task(title="waits")
    claimed = await world.claim_one(agent)
    world.clock.advance(90)
    await world.finish(claimed)
    rows = (await world.desk.tasks.find(world.call, FindTasks())).items
    assert {row.id: task_line(row).took_seconds for row in rows}[task.id] == 90
    assert [task_line(row).took_seconds for row in rows if row.id != task.id] == [None]


async def test_what_has_ended_has_no_time_at_which_it_would_start(world: World):
    task = await world.task(run_at=iso(world.clock.now + 60 * SECOND))
    assert task.run_at is not None
    (ended,) = (await control(world, "cancel", task.id)).tasks
    assert ended.run_at is None and (await world.desk.tasks.get(world.call, task.id)).run_at is None


@pytest.mark.parametrize(("timeout", "left"), [(30, 30), (900, 300), (None, 300)])
async def test_a_lease_is_told_to_last_no_longer_than_the_task_may(world: World, timeout: float | None, left: int):
    agent = await world.agent()
    await world.task(timeout_seconds=timeout)
    claimed = await world.claim_one(agent)
    until = iso(world.clock.now + left * SECOND)
    assert claimed.lease_expires_at == until and claimed.task.lease and claimed.task.lease.expires_at == until
    report = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
    assert (await world.desk.tasks.report(world.call, report)).lease_expires_at == until


async def test_who_failed_hears_when_the_task_is_tried_again_and_the_time_it_asked_for_holds(world: World):
    agent = await world.agent()
    await world.task(retry={"max_attempts": 4, "delay_seconds": 10})
    done = await world.finish(await world.claim_one(agent), error={"message": "no disk", "retry_after_seconds": 40})
    at = iso(world.clock.now + 40 * SECOND)
    assert f"it will be tried again in 40 seconds, at {at}." in SAY["tasks_finish"](FinishResult(**done.fields()))
    world.clock.advance(40)
    await world.settle()
    error = {"message": "no disk", "retry_after_seconds": 2.5}
    done = await world.finish(await world.claim_one(agent), error=error)
    assert "it will be tried again in 2.5 seconds, at " in SAY["tasks_finish"](FinishResult(**done.fields()))
    world.clock.advance(2.5)
    await world.settle()
    await control(world, "edit", done.task.id, changes={"retry": {"max_attempts": 4, "delay_seconds": 0}})
    done = await world.finish(await world.claim_one(agent), error={"message": "no disk"})
    assert "it will be tried again at once." in SAY["tasks_finish"](FinishResult(**done.fields()))


async def test_run_now_counts_what_it_changed_and_not_what_was_fired(world: World):
    schedule = await world.task(schedule={"cron": "0 0 1 1 *"})
    done = await control(world, "run_now", schedule.id)
    assert SAY["tasks_control"](done).startswith(f"1 changed: {schedule.id} fires next at ")
    assert done.fired == [done.tasks[1].id]


async def test_a_priority_for_which_several_words_stand_is_told_at_creation(world: World):
    urgent, usual = await world.created({"priority": "critical"}, {"priority": "normal"})
    assert (urgent.priority, usual.priority) == ("critical", None)


async def test_who_waits_for_several_hears_what_those_wait_for_that_have_not_ended(world: World):
    agent = await world.agent()
    done, asks, lone = await world.tasks(
        {"title": "done"},
        {"title": "brief", "requires_approval": True},
        {"title": "lone", "required_capabilities": ["x"]},
    )
    await world.finish(await world.claim_one(agent))
    ids = (done.id, asks.id, lone.id)
    waited = await world.desk.tasks.wait(world.call, WaitForTasks(task_ids=ids, wait_seconds=0))
    said = SAY["tasks_wait"](waited)
    assert said.startswith("1 completed, 1 pending, 1 queued") and said.endswith("; not reached yet, call again.")
    assert '"brief" waits: a person\'s approval' in said and '"lone" waits: no agent has' in said
    either = await world.desk.tasks.wait(world.call, WaitForTasks(task_ids=ids, any=True, wait_seconds=0))
    assert SAY["tasks_wait"](either) == "1 completed, 1 pending, 1 queued."
