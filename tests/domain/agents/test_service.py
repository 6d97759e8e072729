"""The agent registry's promises, on both engines."""

from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.domain.agents.commands import BudgetSpec, Capability, ControlAgent, FindAgents, InstanceSpec, Register
from mcp_server.domain.agents.views import AgentView, ControlledAgent
from mcp_server.domain.tasks.commands import ControlTasks, ReportTask
from mcp_server.domain.tasks.spec import FailureSpec
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import InvalidTransition, NotFound, PermissionDenied, ValidationFailed
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def names(world: World, **narrowed) -> list[str]:
    found, _, _ = await world.desk.agents.find(world.call, FindAgents(limit=50, **narrowed))
    return [agent.name for agent in found]


async def control(world: World, agent: AgentView, action: Any, reason: str | None = None) -> ControlledAgent:
    command = ControlAgent(agent_id=agent.id, action=action, reason=reason)
    return await world.desk.agents.control(world.call, command)


async def candidates(world: World, task_id: str) -> list[AgentView]:
    needs = await world.desk.tasks.needs(world.call, task_id)
    return await world.desk.agents.candidates(world.call, needs.agent_id, needs.capabilities)


async def test_registering_again_under_a_name_changes_what_is_given_and_nothing_else(world: World):
    first = await world.agent("a", skills=("paint",), budget=BudgetSpec(tokens_per_month=5))
    register = world.desk.agents.register
    said = Register(name="a", description="now says more")
    registered = await register(world.call, said)
    again, created = await world.desk.agents.get(world.call, registered.agent.id), registered.created
    assert (again.id, created, again.description) == (first.id, False, "now says more")
    assert (again.capabilities, again.capacity, again.budget) == (first.capabilities, 10, first.budget)
    await register(world.call, said)
    assert await world.events(aggregate_id=first.id) == ["agent.registered", "agent.described"]


async def test_a_returning_instance_keeps_its_identity(world: World):
    agent, first = await world.instance("a", "laptop")
    _, again = await world.instance("a", "laptop")
    _, other = await world.instance("a", "server")
    assert first == again != other
    assert len((await world.desk.agents.get(world.call, agent.id)).instances or []) == 2


async def test_any_call_made_as_an_instance_counts_as_its_heartbeat(world: World):
    agent, instance_id = await world.instance("a")
    world.clock.advance(59)
    await world.task()
    claimed = await world.claim_one(agent, instance_id=instance_id)
    world.clock.advance(50)
    report = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
    await world.desk.tasks.report(world.call, report)
    world.clock.advance(59)
    (instance,) = (await world.desk.agents.get(world.call, agent.id)).instances or []
    assert instance.alive
    world.clock.advance(60)
    (instance,) = (await world.desk.agents.get(world.call, agent.id)).instances or []
    assert not instance.alive


async def test_an_instance_of_another_agent_is_refused(world: World):
    agent, _ = await world.instance("a")
    _, foreign = await world.instance("b")
    with pytest.raises(NotFound, match="has no instance"):
        await world.claim(agent, instance_id=foreign)


async def test_the_status_follows_from_lifecycle_leases_and_instances(world: World):
    agent = await world.agent("a", capacity=2)
    get = world.desk.agents.get

    async def status() -> str:
        return (await get(world.call, agent.id)).status

    assert await status() == "initializing"
    introduced = Register(name="a", max_concurrent_tasks=2, instance=InstanceSpec(label="x"))
    await world.desk.agents.register(world.call, introduced)
    assert await status() == "idle"
    await world.tasks({}, {})
    await world.claim(agent)
    assert await status() == "active"
    await world.claim(agent)
    assert await status() == "busy"
    await control(world, agent, "drain")
    assert await status() == "maintenance"
    await control(world, agent, "terminate")
    assert await status() == "terminated"
    await control(world, agent, "resume")
    world.clock.advance(100)
    assert await status() == "error"


async def test_terminating_hands_every_task_back_without_costing_an_attempt(world: World):
    agent, other = await world.agent("a"), await world.agent("b")
    task = await world.task(retry={"max_attempts": 1})
    cancelled = await world.task()
    await world.claim(agent, max_tasks=2)
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(cancelled.id,), action="cancel"))
    requeued = (await control(world, agent, "terminate", "retired")).requeued
    assert sorted(requeued) == sorted([task.id, cancelled.id])
    assert await world.status(cancelled) == "cancelled"
    claimed = await world.claim_one(other)
    assert (claimed.task.id, claimed.attempt) == (task.id, 2)


async def test_illegal_lifecycle_moves_name_the_legal_ones(world: World):
    agent = await world.agent()
    with pytest.raises(InvalidTransition, match="Legal now: pause, drain, terminate"):
        await control(world, agent, "delete")


async def test_a_terminated_agent_can_be_deleted(world: World):
    agent = await world.agent()
    for action in ("terminate", "delete"):
        await control(world, agent, action)
    with pytest.raises(NotFound):
        await world.desk.agents.get(world.call, agent.id)
    assert (await world.events())[-1] == "agent.deleted"


async def test_metrics_come_from_the_tasks(world: World):
    agent = await world.agent()
    await world.tasks({}, {}, {})
    assert (await world.desk.agents.get(world.call, agent.id)).metrics is None
    for number, claimed in enumerate(await world.claim(agent, max_tasks=3)):
        world.clock.advance(2)
        how = {"error": FailureSpec(message="no")} if number == 0 else {}
        await world.finish(claimed, **how)
    metrics = (await world.desk.agents.get(world.call, agent.id)).metrics
    assert metrics == {
        "completed": 2,
        "failed": 1,
        "success_rate": 0.6667,
        "mean_duration_seconds": 5.0,
        "p95_duration_seconds": 6.0,
        "mean_queue_wait_seconds": 0.0,
    }


async def test_agents_are_found_by_what_they_are_and_page_by_page(world: World):
    await world.agent("ann", skills=("paint",), tags=("red",))
    bob = await world.agent("bob", skills=("paint",))
    await world.agent("cy", skills=("write",))
    await control(world, bob, "pause")
    assert await names(world) == ["ann", "bob", "cy"]
    assert await names(world, capability="paint") == ["ann", "bob"]
    assert await names(world, capability="pain") == []
    assert await names(world, tag="red") == await names(world, name="ann") == ["ann"]
    assert await names(world, status="maintenance") == ["bob"]
    assert await names(world, status="initializing") == ["ann", "cy"]
    assert await names(world, status="terminated") == await names(world, status="busy") == []
    first, cursor, omitted = await world.desk.agents.find(world.call, FindAgents(limit=2))
    rest, end, _ = await world.desk.agents.find(world.call, FindAgents(limit=2, cursor=cursor))
    assert ([a.name for a in first + rest], omitted, end) == (["ann", "bob", "cy"], 1, None)
    with pytest.raises(ValidationFailed):
        await world.desk.agents.find(world.call, FindAgents(limit=2, cursor="WzFd"))


async def test_candidates_for_a_task_are_ranked_by_how_soon_they_could_start(world: World):
    await world.agent("unable")
    busy = await world.agent("busy", skills=("paint",), capacity=1)
    register = world.desk.agents.register
    able = (Capability(name="paint", version="2"),)
    await register(world.call, Register(name="idle", capabilities=able, instance=InstanceSpec(label="x")))
    await world.task(required_capabilities=["paint"])
    await world.claim(busy)
    task = await world.task(required_capabilities=["paint"])
    ranked = await candidates(world, task.id)
    assert [a.name for a in ranked] == ["idle", "busy"]
    assert ranked[1].reason == "can do it; busy, 1 of 1 running"
    versioned = await world.task(required_capabilities=["paint@2"])
    assert [a.name for a in await candidates(world, versioned.id)] == ["idle"]
    with pytest.raises(NotFound):
        await candidates(world, "task_x")


async def test_an_agent_may_describe_itself_and_nobody_else(world: World):
    mine = await world.agent("mine")
    await world.agent("other")
    me = caller(Role.AGENT, "agent", mine.id)
    await world.desk.agents.register(me, Register(name="mine", description="me"))
    for name in ("other", "new"):
        with pytest.raises(PermissionDenied):
            await world.desk.agents.register(me, Register(name=name))


async def test_unknown_agents_are_refused(world: World):
    with pytest.raises(NotFound, match="agents_register"):
        await world.desk.agents.get(world.call, "agent_nobody")


async def test_every_status_can_be_listed_page_by_page(world: World):
    for number in range(3):
        await world.instance(f"{number}-error")
    world.clock.advance(1000)
    for number in range(3):
        await world.agent(f"{number}-initializing")
        if number == 1:  # one that never introduced an instance is idle once it has worked
            agent = await world.agent(f"{number}-idle")
            await world.task(agent_id=agent.id)
            await world.finish(await world.claim_one(agent))
        else:
            await world.instance(f"{number}-idle")
        for status, capacity in (("active", 2), ("busy", 1)):
            agent = await world.agent(f"{number}-{status}", capacity=capacity)
            await world.task(agent_id=agent.id)
            await world.claim_one(agent)
        for status, action in (("maintenance", "drain"), ("terminated", "terminate")):
            agent = await world.agent(f"{number}-{status}")
            await control(world, agent, action)
    everyone, _, _ = await world.desk.agents.find(world.call, FindAgents(limit=50))
    assert {agent.name[2:] for agent in everyone} == {agent.status for agent in everyone}
    for status in sorted({agent.status for agent in everyone}):
        narrowed = FindAgents(status=status, limit=2)  # type: ignore[arg-type]
        first, cursor, omitted = await world.desk.agents.find(world.call, narrowed)
        further = narrowed.model_copy(update={"cursor": cursor})
        rest, end, _ = await world.desk.agents.find(world.call, further)
        assert [agent.name for agent in first + rest] == [f"{number}-{status}" for number in range(3)]
        assert (omitted, end) == (1, None)
    with pytest.raises(ValidationError, match="status"):
        await names(world, status="deleted")
