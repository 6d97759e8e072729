"""Waiting for several tasks, and what a claim tells of what its task depended on."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.domain.tasks.archive import KeepTasks, TaskRetention
from mcp_server.domain.tasks.commands import ClaimTasks, WaitForTasks
from mcp_server.domain.tasks.outcomes import RESULT_CHARACTERS_MAX, RESULTS_CHARACTERS_MAX, OutcomeView, bounded
from mcp_server.domain.tasks.results import WaitedTasks
from mcp_server.domain.tasks.spec import FailureSpec
from mcp_server.kernel.errors import NotFound
from mcp_server.kernel.json_text import dump_json
from tests.domain.events.test_thinning import desk_with
from tests.world import World

pytestmark = pytest.mark.anyio


async def waited(world: World, *tasks: Any, seconds: float = 0, **how: Any) -> WaitedTasks:
    command = WaitForTasks(task_ids=tuple(task.id for task in tasks), wait_seconds=seconds, **how)
    return await world.desk.tasks.wait(world.call, command)


async def test_a_wait_for_several_ends_with_the_last_of_them_or_with_any(world: World):
    agent = await world.agent()
    one, two = await world.tasks({"title": "one"}, {"title": "two"})
    assert (await waited(world, one, two, any=True)).reached is False
    await world.finish(await world.claim_one(agent), result={"n": 1})
    answer = await waited(world, one, two, any=True)
    assert answer.reached is True and answer.task is None and answer.tasks is not None
    assert [(task.id, task.status, task.result) for task in answer.tasks] == [
        (one.id, "completed", {"n": 1}),
        (two.id, "queued", None),
    ]
    assert (await waited(world, one, two)).reached is False
    claimed = await world.claim_one(agent)
    assert (await waited(world, one, two, until="running")).reached is True
    waiting = asyncio.create_task(waited(world, one, two, seconds=30))
    await asyncio.sleep(0)
    await world.finish(claimed, error=FailureSpec(message="no", retryable=False))
    answer = await waiting
    assert answer.reached is True and answer.tasks is not None
    assert answer.tasks[1].error is not None and answer.tasks[1].error["message"] == "no"


async def test_any_change_of_any_of_them_is_a_change(world: World):
    one, two = await world.tasks({}, {})
    command = WaitForTasks(task_ids=(one.id, two.id), until="any_change", any=True, wait_seconds=30)
    waiting = await world.waiting(lambda call: world.desk.tasks.wait(call, command))
    await world.claim(await world.agent(), max_tasks=1)
    assert (await waiting).reached is True


async def test_one_that_there_is_not_and_none_at_all_are_refused(world: World):
    task = await world.task()
    with pytest.raises(NotFound, match="task_missing"):
        command = WaitForTasks(task_ids=(task.id, "task_missing"))
        await world.desk.tasks.wait(world.call, command)
    with pytest.raises(ValidationError, match="Give task_id, or task_ids"):
        WaitForTasks()


async def test_a_claim_brings_the_results_of_what_its_task_depended_on(world: World):
    agent = await world.agent()
    fine, bad = await world.tasks({"title": "fine"}, {"title": "bad"})
    await world.finish(await world.claim_one(agent), result=[1, {"a": None}])
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no luck", retryable=False))
    await world.task(title="child", depends_on=[fine.id, bad.id], on_parent_failure="run_anyway")
    claimed = await world.claim_one(agent)
    assert claimed.parents is not None
    assert [(p.id, p.title, p.status, p.result) for p in claimed.parents] == [
        (fine.id, "fine", "completed", [1, {"a": None}]),
        (bad.id, "bad", "failed", None),
    ]
    assert claimed.parents[1].error is not None and claimed.parents[1].error["message"] == "no luck"
    resumed = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id, resume=True))
    assert resumed.claims[0].parents == claimed.parents


async def test_what_was_depended_on_is_told_from_the_archive_too_and_nothing_of_none(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent), result="kept")
    world.clock.advance(3 * 86_400)
    child = await world.task(depends_on=[parent.id])
    await desk_with(world, KeepTasks(days=2)).get(TaskRetention).archive_some()
    claimed = await world.claim_one(agent)
    assert claimed.task.id == child.id and claimed.parents is not None and claimed.parents[0].result == "kept"
    await world.task()
    assert (await world.claim_one(agent)).parents is None


async def test_a_long_result_of_a_parent_is_left_out_with_the_call_that_shows_it(world: World):
    agent = await world.agent()
    parent = await world.task()
    await world.finish(await world.claim_one(agent), result="x" * RESULT_CHARACTERS_MAX)
    await world.task(depends_on=[parent.id])
    (told,) = (await world.claim_one(agent)).parents or ()
    assert told.result is None and told.result_left_out is not None
    assert f"tasks_find(task_id='{parent.id}')" in told.result_left_out


@given(st.lists(st.integers(0, 2 * RESULT_CHARACTERS_MAX), max_size=20))
def test_results_together_are_never_too_long_and_each_is_told_or_pointed_to(lengths: list[int]):
    tasks = [
        OutcomeView(id=f"task_{number}", title="t", status="completed", result="x" * length)
        for number, length in enumerate(lengths)
    ]
    told = bounded(tasks)
    assert [task.id for task in told] == [task.id for task in tasks]
    assert sum(len(dump_json(task.result)) for task in told if task.result is not None) <= RESULTS_CHARACTERS_MAX
    assert all((task.result is None) == (task.result_left_out is not None) for task in told)
