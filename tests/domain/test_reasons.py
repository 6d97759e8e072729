"""Why somebody did something from outside is told by the event that came of it, whatever it was; and is no part of what
is rebuilt."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock, ReleaseLock
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.upkeep.replay import replay
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
WHY = "the customer called"
HOURLY = {"schedule": {"cron": "0 * * * *"}}


async def told(world: World, id: str) -> tuple[str, dict[str, Any]]:
    """The newest event of something, and its data."""
    events, _ = await world.desk.events.read(world.call, ReadEvents(aggregate_id=id, newest_first=True, limit=1))
    return events[0].type, events[0].data


@pytest.mark.parametrize(
    ("spec", "before", "action", "more"),
    [
        ({}, [], "cancel", {}),
        ({}, [], "pause", {}),
        ({}, ["pause"], "resume", {}),
        (HOURLY, ["pause"], "resume", {}),
        ({}, ["cancel"], "retry", {}),
        ({}, [], "set_priority", {"priority": "high"}),
        ({}, [], "reschedule", {"run_at": "2099-01-01T00:00:00Z"}),
        ({}, [], "edit", {"changes": {"title": "another"}}),
        ({}, [], "assign", {"agent_id": None}),
        (HOURLY, [], "run_now", {}),
    ],
)
async def test_whatever_is_done_to_a_task_its_event_says_why(
    url: str, spec: dict[str, Any], before: list[str], action: str, more: dict[str, Any]
):
    async with open_world(url) as world:
        task = await world.task(**spec)
        for one in (*before, action):
            said = {"reason": WHY} | more if one == action else {}
            command = ControlTasks.model_validate({"task_ids": [task.id], "action": one} | said)
            assert not (await world.desk.tasks.control(world.call, command)).refused
        type_, data = await told(world, task.id)
        assert WHY in data.values(), (type_, data)
    assert replay(url).differences == (), "what is told beside is no column"


async def test_a_task_that_ran_is_given_up_for_a_reason(url: str):
    async with open_world(url) as world:
        task = await world.task(retry={"max_attempts": 1})
        await world.finish(await world.claim_one(await world.agent()), error={"message": "no"})
        command = ControlTasks(task_ids=(task.id,), action="discard", reason=WHY)
        await world.desk.tasks.control(world.call, command)
        type_, data = await told(world, task.id)
        assert (type_, data["cancel_reason"]) == ("task.discarded", WHY)
        assert "reason" not in data, "once is enough"


async def test_whatever_is_done_to_an_agent_its_event_says_why(url: str):
    async with open_world(url) as world:
        agent = await world.agent("ann")
        for action in ("pause", "resume", "drain", "terminate", "delete"):
            await world.desk.agents.control(world.call, ControlAgent(agent_id="ann", action=action, reason=WHY))
            type_, data = await told(world, agent.id)
            assert WHY in data.values(), type_
    assert replay(url).differences == ()


async def test_whatever_is_done_to_a_lock_its_event_says_why(url: str):
    async with open_world(url) as world:
        await world.agent("heir")
        await world.desk.locks.acquire(world.call, AcquireLock(name="door"))
        for more in ({"renew_seconds": 90.0}, {"to_agent": "heir"}, {"force": True}):
            await world.desk.locks.release(world.call, ReleaseLock(name="door", reason=WHY, **more))
            type_, data = await told(world, "door")
            assert data.get("reason") == WHY, type_
    assert replay(url).differences == ()
