"""Answers about tasks and schedules tell what their reader would ask next."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.tasks.commands import ControlTasks, CreateTasks, FinishTask
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.runs import RUNS_SHOWN
from mcp_server.domain.tasks.timers import archive
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.times import SECOND, iso
from tests.world import World

pytestmark = pytest.mark.anyio
HOUR = 3600 * SECOND


async def control(world: World, task_id: str, action: str, **more: Any) -> ControlledTasks:
    command = ControlTasks.model_validate({"task_ids": [task_id], "action": action} | more)
    return await world.desk.tasks.control(world.call, command)


async def hourly(world: World, **more: Any) -> TaskView:
    return await world.task(title="sweep", schedule={"cron": "0 * * * *"}, **more)


def next_hour(world: World) -> int:
    return (world.clock.now // HOUR + 1) * HOUR


async def test_a_schedule_fires_next_at_the_time_it_is_moved_to_where_that_is_one_of_its_own(world: World):
    first = next_hour(world)
    made = await hourly(world, run_at=iso(first + 2 * HOUR))
    assert made.run_at == iso(first + 2 * HOUR), "so it begins, too"
    (moved,) = (await control(world, made.id, "reschedule", run_at=iso(first + 5 * HOUR))).tasks
    assert moved.run_at == iso(first + 5 * HOUR)
    (moved,) = (await control(world, made.id, "reschedule", run_at=iso(first + 5 * HOUR + SECOND))).tasks
    assert moved.run_at == iso(first + 6 * HOUR), "after one of its times comes the next"


async def test_how_many_firings_are_left_out_is_told_with_the_first_and_the_last_of_them(world: World):
    first, schedule = next_hour(world), await hourly(world)
    (told,) = (await control(world, schedule.id, "reschedule", run_at=iso(first + HOUR))).warnings or []
    assert f"1 firing, {iso(first)}, is left out" in told
    (told,) = (await control(world, schedule.id, "reschedule", run_at=iso(first + 5 * HOUR))).warnings or []
    assert f"4 firings, {iso(first + HOUR)} to {iso(first + 4 * HOUR)}, are left out" in told
    (told,) = (await control(world, schedule.id, "reschedule", run_at=iso(first + 500 * HOUR))).warnings or []
    assert f"at least 100 firings, {iso(first + 5 * HOUR)} to {iso(first + 499 * HOUR)}, are left out" in told
    assert (await control(world, schedule.id, "reschedule", run_at=iso(first + 499 * HOUR + 1))).warnings is None


@pytest.mark.parametrize("given", [["the first one"], ["#0"], "task_aaaaaaaaaaaa", None, 3])
async def test_what_is_fixed_is_refused_for_that_and_not_for_its_form(given: Any):
    with pytest.raises(ValueError, match="`depends_on` cannot be changed once a task is there") as refused:
        ControlTasks.model_validate({"task_ids": ["t"], "action": "edit", "changes": {"depends_on": given}})
    assert "create another" in str(refused.value) and "#n" not in str(refused.value)


async def test_a_schedule_tells_what_came_of_its_last_runs_also_of_those_in_the_archive(world: World):
    agent, schedule = await world.agent(), await hourly(world)
    assert (await world.desk.tasks.get(world.call, schedule.id)).last_runs is None
    await world.task(title="no run of it", parent_id=schedule.id, kind="other")
    ids: list[str] = []
    for number in range(RUNS_SHOWN + 2):
        world.clock.advance(60)
        ids.append((await control(world, schedule.id, "run_now")).tasks[1].id)
        claimed = await world.claim_one(agent, kinds=["task"])
        how: dict[str, Any] = {"result": "x" * (600 if number == RUNS_SHOWN else 6)}
        if number == RUNS_SHOWN + 1:
            how = {"outcome": "failed", "error": {"message": "no disk", "retryable": False}}
        await world.desk.tasks.finish(
            world.call,
            FinishTask.model_validate(
                {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"} | how
            ),
        )
    before = world.clock.now - 90 * SECOND
    assert await world.database.write(archive, world.desk.context.origin(world.call), before, 100)
    runs = (await world.desk.tasks.get(world.call, schedule.id)).last_runs or []
    assert [run.id for run in runs] == ids[:1:-1]
    assert [run.status for run in runs] == ["failed", *["completed"] * (RUNS_SHOWN - 1)]
    assert (runs[0].error or {})["message"] == "no disk" and runs[0].at == iso(world.clock.now)
    assert runs[1].result is None and ids[-2] in (runs[1].result_left_out or "")
    assert [run.result for run in runs[2:]] == ["xxxxxx"] * (RUNS_SHOWN - 2)


async def test_a_schedule_that_is_cancelled_shows_no_next_time(world: World):
    schedule = await hourly(world)
    (cancelled,) = (await control(world, schedule.id, "cancel")).tasks
    assert (cancelled.run_at, cancelled.next_firings) == (None, None)
    assert (await world.desk.tasks.get(world.call, schedule.id)).run_at is None


async def test_an_edit_tells_which_parts_it_changed(world: World):
    task, schedule = await world.task(title="one", retry={"max_attempts": 2}), await hourly(world)
    changes = {"title": "two", "kind": "task", "retry": {"max_attempts": 5}, "input": {"a": 1}, "tags": ["x"]}
    (edited,) = (await control(world, task.id, "edit", changes=changes, priority="high")).tasks
    assert edited.edited == ["input", "priority", "retry", "tags", "title"], "its kind was so before"
    assert (await control(world, task.id, "edit", changes=changes)).tasks[0].edited == []
    (moved,) = (await control(world, schedule.id, "edit", schedule={"cron": "30 * * * *"})).tasks
    assert moved.edited == ["run_at", "schedule"]
    (set_to,) = (await control(world, task.id, "set_priority", priority="low")).tasks
    assert set_to.edited is None


@pytest.mark.parametrize("action", ["pause", "drain"])
async def test_who_leaves_work_to_an_agent_that_is_away_is_told_so_in_the_words_that_find_has(
    world: World, action: Any
):
    bea, cas = await world.agent("bea"), await world.agent("cas", ("rare",))
    for agent in (bea, cas):
        await world.desk.agents.control(world.call, ControlAgent(agent_id=agent.id, action=action))
    specs: list[dict[str, Any]] = [
        {"title": "a", "agent_id": "bea"},
        {"title": "b", "agent_id": "bea", "run_at": iso(world.clock.now + HOUR)},
        {"title": "c", "required_capabilities": ["rare"]},
        {"title": "d"},
    ]
    made = await world.desk.tasks.create(world.call, CreateTasks.model_validate({"tasks": specs}))
    assert [one.split(":")[0] for one in made.warnings or ()] == [task.id for task in made.tasks[:3]]
    for task, warning in zip(made.tasks, made.warnings or (), strict=False):
        said = (await world.desk.tasks.get(world.call, task.id)).waits_for or []
        assert warning == f"{task.id}: {said[-1]}." and "maintenance" in warning
    assigned = await control(world, made.tasks[3].id, "assign", agent_id="bea")
    assert [one for one in assigned.warnings or () if "bea is" in one]
    await world.desk.agents.control(world.call, ControlAgent(agent_id=bea.id, action="resume"))
    assert (await control(world, made.tasks[3].id, "assign", agent_id="bea")).warnings is None


async def test_a_task_that_has_ended_is_not_said_to_wait_where_its_creation_is_repeated(world: World):
    agent = await world.agent("bea")
    spec = {"title": "t", "agent_id": "bea", "idempotency_key": "k"}
    command = CreateTasks.model_validate({"tasks": [spec]})
    assert (await world.desk.tasks.create(world.call, command)).warnings is None
    await world.finish(await world.claim_one(agent))
    assert (await world.desk.tasks.create(world.call, command)).warnings is None
