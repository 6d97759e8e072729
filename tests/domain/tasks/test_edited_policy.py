"""A task whose `on_parent_failure` is changed waits for what it would wait for, had it been created so."""

from typing import Any, Literal

import pytest

from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.results import ControlledTasks
from mcp_server.domain.tasks.spec import FailureSpec
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.errors import Conflict
from mcp_server.upkeep.replay import replay
from tests.world import World, caller

pytestmark = pytest.mark.anyio

Policy = Literal["wait", "cancel", "run_anyway"]
POLICIES: tuple[Policy, ...] = ("wait", "cancel", "run_anyway")
ENDS = ("completed", "failed", "timed_out", "cancelled", "refused", "open")


async def control(world: World, action: Any, *tasks: TaskView, **more: Any) -> ControlledTasks:
    command = ControlTasks.model_validate({"task_ids": [task.id for task in tasks], "action": action} | more)
    return await world.desk.tasks.control(world.call, command)


async def edit(world: World, task: TaskView, policy: Policy) -> ControlledTasks:
    return await control(world, "edit", task, changes={"on_parent_failure": policy})


async def parent(world: World, end: str) -> TaskView:
    """A task that has ended in a way; `open` has not ended."""
    if end == "refused":
        task = await world.task(requires_approval=True)
        await world.decide(caller(id="ann"), task.id, granted=False)
        return task
    if end in ("open", "cancelled"):
        task = await world.task(run_at="2040-01-01T00:00:00Z")
        if end == "cancelled":
            await control(world, "cancel", task)
        return task
    task = await world.task(timeout_seconds=5, retry={"max_attempts": 1})
    claimed = await world.claim_one(await world.agent())
    if end == "timed_out":
        world.clock.advance(6)
        await world.settle()
    else:
        error = {"error": FailureSpec(message="no", retryable=False)} if end == "failed" else {}
        await world.finish(claimed, **error)
    return task


async def waits(world: World, task: TaskView) -> tuple[str, set[str]]:
    """How a task stands, and for what it waits."""
    seen = await world.desk.tasks.get(world.call, task.id)
    return seen.status, {one.id for one in seen.waits_for_tasks or ()}


async def born(world: World, parents: list[TaskView], policy: Policy) -> tuple[str, set[str]] | str:
    """How a task stands that is created with a policy; or why there is none."""
    try:
        return await waits(world, await world.task(depends_on=[one.id for one in parents], on_parent_failure=policy))
    except Conflict as error:
        return error.message


@pytest.mark.parametrize("before", POLICIES)
async def test_an_edit_leaves_a_task_waiting_as_one_that_was_created_so(world: World, before: Policy):
    """Every policy after every other, with a parent that ended in every way, beside one that has not ended."""
    for end in ENDS:
        for after in POLICIES:
            parents = [await parent(world, end), await parent(world, "open")]
            depends_on = [one.id for one in parents]
            if isinstance(await born(world, parents, before), str):
                continue
            task = await world.task(depends_on=depends_on, on_parent_failure=before)
            done, expected = await edit(world, task, after), await born(world, parents, after)
            if isinstance(expected, str):
                assert done.refused is not None and done.refused[0].message.startswith(expected), (end, after)
                assert await waits(world, task) == await born(world, parents, before), (end, after)
            else:
                assert done.refused is None and await waits(world, task) == expected, (end, after)
    assert replay(world.url).differences == ()


async def test_a_task_that_waited_for_what_has_failed_runs_once_it_is_to_run_anyway(world: World):
    failed = await parent(world, "failed")
    task = await world.task(depends_on=[failed.id], priority="high")
    after = await world.task(depends_on=[task.id])
    assert (await edit(world, task, "run_anyway")).tasks[0].status == "queued"
    claimed = await world.claim_one(await world.agent())
    assert claimed.task.id == task.id
    await world.finish(claimed)
    assert await world.status(after) == "queued"
    assert replay(world.url).differences == ()


async def test_a_task_that_is_to_wait_again_does_and_is_released_by_the_retry(world: World):
    agent, failed = await world.agent(), await parent(world, "failed")
    task = await world.task(depends_on=[failed.id], on_parent_failure="run_anyway")
    assert await world.status(task) == "queued"
    assert (await edit(world, task, "wait")).tasks[0].status == "pending"
    assert await world.claim(agent) == []
    await control(world, "retry", failed)
    await world.finish(await world.claim_one(agent))
    assert await world.status(task) == "queued"
    assert replay(world.url).differences == ()


async def test_what_is_paused_stays_so_and_its_queue_is_right_when_it_goes_on(world: World):
    failed = await parent(world, "failed")
    task = await world.task(depends_on=[failed.id])
    await control(world, "pause", task)
    done = await control(world, "edit", task, changes={"on_parent_failure": "run_anyway", "kind": "other"})
    assert done.tasks[0].status == "paused"
    assert (await control(world, "resume", task)).tasks[0].status == "queued"
    assert (await world.claim_one(await world.agent(), kinds=("other",))).task.id == task.id
    assert replay(world.url).differences == ()


async def test_a_dead_letter_is_counted_at_its_retry_and_not_before(world: World):
    failed = await parent(world, "failed")
    task = await world.task(depends_on=[failed.id])
    await control(world, "cancel", task)
    assert (await edit(world, task, "run_anyway")).tasks[0].status == "cancelled"
    assert (await control(world, "retry", task)).tasks[0].status == "queued"
    assert replay(world.url).differences == ()


async def test_an_edit_with_the_policy_that_it_has_leaves_its_place_in_line(world: World):
    agent = await world.agent()
    task = await world.task(depends_on=[(await parent(world, "completed")).id])
    world.clock.advance(5)
    await world.task()
    await edit(world, task, "wait")
    assert (await world.claim_one(agent)).task.id == task.id
