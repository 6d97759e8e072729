"""Who works on a task whose lease is lost hears who holds it now, or what became of it, and what to do then."""

from typing import Any

import pytest

from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.tasks.commands import ControlTasks, FinishTask, ReportTask
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import LeaseLost
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio


async def refused(world: World, claimed: ClaimedTask, call: Call | None = None) -> str:
    """What a report and a finish under a lease are refused with: the same words."""
    held = {"task_id": claimed.task.id, "lease_token": claimed.lease_token}
    words = set[str]()
    for write, command in (
        (world.desk.tasks.report, ReportTask(**held)),
        (world.desk.tasks.finish, FinishTask(**held, outcome="completed", result="late")),
    ):
        with pytest.raises(LeaseLost) as error:
            await write(call or world.call, command)  # pyright: ignore[reportArgumentType]
        words.add(error.value.message)
    (said,) = words
    assert "Nothing was changed" in said
    return said


async def late(world: World, agent: AgentView) -> ClaimedTask:
    """A task whose lease has run out."""
    await world.task()
    claimed = await world.claim_one(agent, lease_seconds=30)
    world.clock.advance(31)
    return claimed


async def test_before_and_after_it_is_noticed_that_a_lease_ran_out_it_may_be_claimed_again(world: World):
    claimed = await late(world, await world.agent())
    said = await refused(world, claimed)
    assert f"its lease ran out at {claimed.lease_expires_at}" in said and "tasks_claim may take it up again" in said
    await world.settle()
    said = await refused(world, claimed)
    assert "is pending after attempt 1, and nobody holds it" in said and "tasks_claim may take it up again" in said


@pytest.mark.parametrize("with_key", [False, True])
async def test_who_is_late_hears_who_holds_it_and_how_to_reach_them_whatever_key_it_has(world: World, with_key: bool):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    claimed = await late(world, ann)
    await world.settle()
    world.clock.advance(60)
    await world.settle()
    held = await world.claim_one(bob)
    call = caller(Role.AGENT, "agent", ann.id) if with_key else speaking(ann)
    said = await refused(world, claimed, call)
    assert f"{bob.id} holds it until {held.lease_expires_at}, at attempt 2" in said
    assert f"messages_send(to=['{bob.id}'], body=...)" in said and "tasks_claim(resume=true)" in said


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), (None, "completed")])
async def test_of_what_has_ended_is_told_where_it_is_read(world: World, action: Any, status: str):
    ann = await world.agent("ann")
    claimed = await late(world, ann)
    await world.settle()
    world.clock.advance(60)
    await world.settle()
    if action is None:
        await world.finish(await world.claim_one(ann))
    else:
        await world.desk.tasks.control(world.call, ControlTasks(task_ids=(claimed.task.id,), action=action))
    said = await refused(world, claimed)
    by = f" by {ann.id}" if action is None else ""
    assert f"it is {status}{by}, at attempt" in said and f"tasks_find(task_id='{claimed.task.id}')" in said
