"""After a person's no, nothing that hung on it runs."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.errors import Conflict, InvalidTransition
from mcp_server.upkeep.replay import replay
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def chain(world: World, *policies: str) -> list[TaskView]:
    """A task that needs an approval, and tasks that hang on it one behind the other."""
    tasks = [await world.task(requires_approval=True)]
    for policy in policies:
        tasks.append(await world.task(depends_on=[tasks[-1].id], on_parent_failure=policy))
    return tasks


async def refuse(world: World, task: TaskView) -> None:
    await world.decide(caller(id="ann"), task.id, granted=False, reason="too risky")


async def statuses(world: World, tasks: list[TaskView]) -> list[str]:
    return [await world.status(task) for task in tasks]


async def retry(world: World, *tasks: TaskView) -> None:
    command = ControlTasks(task_ids=tuple(task.id for task in tasks), action="retry")
    done = await world.desk.tasks.control(world.call, command)
    assert not done.refused


@pytest.mark.parametrize("how", ["refused", "expired"])
async def test_dependents_that_would_run_anyway_do_not_run_after_a_no_nor_after_silence(world: World, how: str):
    agent = await world.agent()
    tasks = await chain(world, "run_anyway", "run_anyway", "cancel")
    if how == "expired":
        spec: Any = {"title": "t", "action": "a", "approvers": ["ann"], "expires_in_seconds": 10}
        await world.desk.approvals.request(world.call, RequestApproval(**spec, task_id=tasks[0].id))
        world.clock.advance(11)
        await world.settle()
    else:
        await refuse(world, tasks[0])
    assert await statuses(world, tasks) == ["cancelled"] * 4
    assert await world.claim(agent) == []
    said = (await world.desk.tasks.get(world.call, tasks[1].id)).cancel_reason or ""
    why = "expired: nobody decided in time" if how == "expired" else "rejected by ann: too risky"
    assert said == f"{tasks[0].id} was {why}"
    assert replay(world.url).differences == ()


async def test_what_is_to_run_anyway_is_refused_at_creation_once_the_no_is_said(world: World):
    tasks = await chain(world, "run_anyway")
    await refuse(world, tasks[0])
    for parent in tasks:
        for policy in ("run_anyway", "cancel"):
            with pytest.raises(Conflict, match="was refused, so nothing that hangs on it runs"):
                await world.task(depends_on=[parent.id], on_parent_failure=policy)
    waiting = await world.task(depends_on=[tasks[0].id], on_parent_failure="wait")
    assert await world.status(waiting) == "pending"
    assert replay(world.url).differences == ()


@pytest.mark.parametrize("policy", ["run_anyway", "cancel", "wait"])
async def test_a_dependent_that_is_retried_alone_is_said_to_wait_for_a_retry_and_a_yes(world: World, policy: str):
    tasks = await chain(world, policy)
    world.clock.advance(1)
    await refuse(world, tasks[0])
    world.clock.advance(1)
    if policy != "wait":
        await retry(world, tasks[1])
    told = " ".join((await world.desk.tasks.get(world.call, tasks[1].id)).waits_for or ())
    assert f"{tasks[0].id} ended as cancelled, so it waits for a retry, and for people's yes to that" in told


async def test_a_dependent_that_is_retried_alone_after_a_failure_is_said_to_wait_for_a_retry(world: World):
    agent, parent = await world.agent(), await world.task()
    child = await world.task(depends_on=[parent.id], on_parent_failure="cancel")
    await world.finish(await world.claim_one(agent), error={"message": "broken", "retryable": False})
    world.clock.advance(1)
    await retry(world, child)
    told = " ".join((await world.desk.tasks.get(world.call, child.id)).waits_for or ())
    assert f"{parent.id} ended as failed, so it waits for a retry (on_parent_failure cancel)" in told


async def test_dependents_run_after_a_retry_and_a_new_yes_only(world: World):
    agent = await world.agent()
    tasks = await chain(world, "run_anyway")
    await refuse(world, tasks[0])
    await retry(world, *tasks)
    assert await statuses(world, tasks) == ["pending", "pending"]
    assert await world.claim(agent) == []
    await refuse(world, tasks[0])
    assert await statuses(world, tasks) == ["cancelled", "cancelled"]
    await retry(world, *tasks)
    await world.decide(caller(id="ann"), tasks[0].id, granted=True)
    assert await statuses(world, tasks) == ["queued", "pending"]
    await world.finish(await world.claim_one(agent))
    assert await statuses(world, tasks) == ["completed", "queued"]
    assert replay(world.url).differences == ()


async def test_one_that_stays_cancelled_is_left_alone_when_what_it_hung_on_completes(world: World):
    agent = await world.agent()
    tasks = await chain(world, "run_anyway", "wait")
    await refuse(world, tasks[0])
    await retry(world, tasks[0])
    await world.decide(caller(id="ann"), tasks[0].id, granted=True)
    await world.finish(await world.claim_one(agent))
    assert await statuses(world, tasks) == ["completed", "cancelled", "pending"]
    await retry(world, tasks[1])
    assert await world.status(tasks[1]) == "queued"
    assert replay(world.url).differences == ()


async def test_dependents_of_what_failed_otherwise_still_run_anyway(world: World):
    parent = await world.task(requires_approval=True)
    child = await world.task(depends_on=[parent.id], on_parent_failure="run_anyway")
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(parent.id,), action="cancel"))
    assert await world.status(child) == "queued"
    assert replay(world.url).differences == ()


@pytest.mark.parametrize("how", ["refused", "expired"])
async def test_who_asks_about_what_was_not_let_start_hears_the_call_that_asks_anew(world: World, how: str):
    (task,) = await chain(world)
    again: Any = {"title": "t", "action": "a", "approvers": ["ann"], "expires_in_seconds": 10, "task_id": task.id}
    if how == "expired":
        await world.desk.approvals.request(world.call, RequestApproval(**again))
        world.clock.advance(11)
        await world.settle()
    else:
        await refuse(world, task)
    with pytest.raises(
        InvalidTransition, match=rf"task_ids=\['{task.id}'\], action='retry'\) brings it back.*asks anew"
    ):
        await world.desk.approvals.request(world.call, RequestApproval(**again | {"idempotency_key": "again"}))
    await retry(world, task)
    assert (await world.desk.tasks.get(world.call, task.id)).approval == "required"
