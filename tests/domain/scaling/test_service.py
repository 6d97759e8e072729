"""Instances are asked for, wanted of the supervisor, and follow their agent, on both engines."""

from typing import Any

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import ControlAgent, FindAgents, LauncherUse, Register, ScalingSpec
from mcp_server.domain.agents.launchers import ArgumentRule, Launcher, Launchers
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.desk import Desk
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.processes import transactions
from mcp_server.domain.processes.model import Process, Started
from mcp_server.domain.processes.running import Exit, Identity, Stop
from mcp_server.domain.processes.transactions import Supervisor
from mcp_server.domain.scaling.model import ScaleAgent
from mcp_server.domain.scaling.service import ScaledAgent, ScalingService
from mcp_server.domain.tasks.commands import ClaimTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import SYSTEM_CALL
from mcp_server.kernel.errors import (
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.runtime.autoscaler import Autoscaler
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import DAY, KEEP, thin_out
from tests.world import Ids, World, caller, speaking

pytestmark = pytest.mark.anyio
LAUNCHERS = Launchers(
    {"it": Launcher(("run", "{size}"), arguments={"size": ArgumentRule("choice", choices=("s", "l"), default="s")})}
)
HOST = Supervisor("here", "server_a")


class Plant:
    """A desk with a launcher, and what its supervisor would write."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk: Desk = desk_on(world.database, LAUNCHERS, clock=world.clock, ids=Ids(), chance=lambda: 0.5)
        self.scaling = self.desk.get(ScalingService)

    async def agent(self, **more: Any) -> AgentView:
        given: dict[str, Any] = {"launcher": {"name": "it"}} | more
        command = Register.model_validate({"name": "fleet", "max_concurrent_tasks": 5} | given)
        return (await self.desk.agents.register(self.world.call, command)).agent

    async def scale(self, instances: int | None = None, **rules: Any) -> ScaledAgent:
        given = {"desired_instances": instances} if instances is not None else {"scaling": rules}
        return await self.scaling.scale(self.world.call, ScaleAgent.model_validate({"agent_id": "fleet"} | given))

    async def control(self, action: Any) -> None:
        await self.desk.agents.control(self.world.call, ControlAgent(agent_id="fleet", action=action))

    async def write(self, function: Any, *args: Any) -> Any:
        return await self.world.database.write(function, self.desk.context.origin(SYSTEM_CALL), *args)

    async def places(self) -> list[Process]:
        rows = await self.world.database.fetch_all("processes_to_supervise", host="here")
        return [Process.adopt(dict(row)) for row in rows]

    async def run(self, process: Process, pid: int = 70) -> Process:
        """Have the supervisor start one."""
        fence = (await self.write(transactions.hold, HOST, [process.scope]))[process.scope]
        place = Started("here", Identity(pid, "1", "boot"), Stop(), f"/logs/{process.id}.log")
        return await self.write(transactions.begun, fence, process.id, place)

    async def end(self, process: Process, how: Exit) -> None:
        fence = (await self.write(transactions.hold, HOST, [process.scope]))[process.scope]
        await self.write(transactions.ended, fence, process.id, process.identity, how, None)


@pytest.fixture
def plant(world: World) -> Plant:
    return Plant(world)


def wanted(places: list[Process]) -> list[tuple[int, str, int]]:
    return [(place.slot, place.status, place.wanted) for place in places]


async def test_as_many_processes_are_wanted_as_there_are_to_be_instances(plant: Plant):
    await plant.agent()
    done = await plant.scale(3)
    assert (done.decision["from"], done.decision["to"], done.decision["starts_instances"]) == (0, 3, True)
    assert done.agent.desired_instances == 3
    assert wanted(await plant.places()) == [(0, "starting", 1), (1, "starting", 1), (2, "starting", 1)]
    await plant.scale(1)
    assert wanted(await plant.places()) == [(0, "starting", 1)]
    events = await plant.world.events(type="agent.scaled")
    assert events == ["agent.scaled", "agent.scaled"]


async def test_an_agent_without_a_launcher_can_be_asked_for_and_the_decision_says_that_nothing_is_started(plant: Plant):
    await plant.agent(launcher=None)
    done = await plant.scale(2)
    assert not done.decision["starts_instances"] and "not started" in done.decision["note"]
    assert await plant.places() == [] and done.agent.desired_instances == 2
    await plant.agent()
    assert len(await plant.places()) == 2, "with a launcher they are started"


async def test_only_who_controls_agents_says_what_runs(plant: Plant):
    for given in ({"launcher": LauncherUse(name="it")}, {"scaling": ScalingSpec(max=1)}):
        with pytest.raises(PermissionDenied, match="agents:control"):
            await plant.desk.agents.register(caller(Role.AGENT), Register(name="fleet", **given))
    await plant.agent()
    with pytest.raises(PermissionDenied, match="agents:control"):
        await plant.scaling.scale(caller(Role.AGENT), ScaleAgent(agent_id="fleet", desired_instances=1))


async def test_a_launcher_that_is_not_declared_or_takes_other_arguments_is_refused_with_what_is(plant: Plant):
    for use, says in (
        ({"name": "its"}, "There is no launcher its. Declared: it. Did you mean 'it'?"),
        ({"name": "it", "arguments": {"sise": "s"}}, "has no argument sise. Its arguments: size: one of s, l."),
        ({"name": "it", "arguments": {"size": "xl"}}, 'takes as size one of s, l, not "xl"'),
    ):
        with pytest.raises(ValidationFailed) as refused:
            await plant.agent(launcher=use)
        assert says in refused.value.message


async def test_more_instances_than_the_operator_allows_are_refused_however_they_are_asked_for(plant: Plant):
    await plant.agent()
    for asked in (plant.scale(17), plant.scale(min=0, max=17), plant.agent(scaling={"max": 17})):
        with pytest.raises(LimitExceeded, match="allows an agent 16 instances, not 17"):
            await asked
    await plant.scale(16)
    with pytest.raises(NotFound):
        await plant.scaling.scale(plant.world.call, ScaleAgent(agent_id="nobody", desired_instances=1))


async def test_a_terminated_agent_keeps_no_instance_and_a_resumed_one_has_them_again(plant: Plant):
    await plant.agent()
    await plant.scale(2)
    running = await plant.run((await plant.places())[0])
    await plant.control("terminate")
    (left,) = await plant.places()
    assert (left.id, left.wanted, left.status) == (running.id, 0, "running")
    with pytest.raises(InvalidTransition):
        await plant.scale(1)
    await plant.end(left, Exit(code=0, text="exit code 0"))
    await plant.control("resume")
    assert wanted(await plant.places()) == [(0, "starting", 1), (1, "starting", 1)]


async def test_a_deleted_agent_leaves_no_place_behind_once_its_processes_have_ended(plant: Plant):
    await plant.agent()
    await plant.scale(2)
    running = await plant.run((await plant.places())[0])
    await plant.control("terminate")
    await plant.control("delete")
    await plant.end(running, Exit(code=0, text="exit code 0"))
    assert await plant.places() == []
    assert await plant.world.database.fetch_one("process_by_id", id=running.id) is None
    assert replay(plant.world.url).differences == ()


async def test_an_instance_is_its_process_it_is_there_while_that_runs_and_gone_when_it_ends(plant: Plant):
    agent = await plant.agent()
    await plant.scale(1)
    process = await plant.run((await plant.places())[0], pid=77)
    (instance,) = (await plant.desk.agents.get(plant.world.call, agent.id)).instances or []
    assert (instance.id, instance.label, instance.pid, instance.alive) == (process.id, "supervised-0", 77, True)
    plant.world.clock.advance(50)
    await plant.write(transactions.seen, [process.id])
    plant.world.clock.advance(50)
    await plant.world.settle()
    assert (await plant.desk.agents.get(plant.world.call, agent.id)).instances_alive == 1
    await plant.end(process, Exit(code=1, text="exit code 1"))
    (instance,) = (await plant.desk.agents.get(plant.world.call, agent.id)).instances or []
    assert not instance.alive and instance.process is not None
    assert instance.process["last_exit"] == "exit code 1"


@pytest.mark.parametrize("in_order", [True, False])
async def test_what_an_instance_held_is_free_as_soon_as_its_process_ends(plant: Plant, in_order: bool):
    agent = await plant.agent()
    await plant.scale(1)
    process = await plant.run((await plant.places())[0])
    (task,) = await plant.world.tasks({"retry": {"max_attempts": 3, "delay_seconds": 0}})
    claim = ClaimTasks(agent_id=agent.id, instance_id=process.id, lease_seconds=3600)
    await plant.desk.tasks.claim(plant.world.call, claim)
    await plant.desk.locks.acquire(speaking(agent), AcquireLock(name="l", owner=process.id, ttl_seconds=600))
    if in_order:
        await plant.scale(0)
    await plant.end((await plant.places())[0], Exit(signal=15, text="signal 15 (SIGTERM)"))
    back = await plant.world.desk.tasks.get(plant.world.call, task.id)
    assert back.status in ("queued", "pending")
    what = "task.handed_back" if in_order else "task.lease_expired"
    assert what in await plant.world.events(aggregate_id=task.id)
    assert (await plant.desk.locks.overview(plant.world.call)).locks == []
    assert replay(plant.world.url).differences == ()


async def test_the_autoscaler_follows_the_work_and_tells_what_it_saw(plant: Plant):
    await plant.agent()
    await plant.scale(min=0, max=3, target_ready_per_instance=2, up_delay_seconds=0, down_delay_seconds=10)
    scaler = Autoscaler(plant.desk, lambda: True)
    await scaler.look()
    assert await plant.places() == []
    tasks = await plant.world.tasks(*[{}] * 5, {"required_capabilities": ["other"]})
    await scaler.look()
    assert len(await plant.places()) == 3
    agent = await plant.desk.agents.get(plant.world.call, "fleet")
    assert agent.desired_instances == 3
    for _ in tasks[:5]:
        await plant.world.finish(await plant.world.claim_one(agent))
    await scaler.look()
    plant.world.clock.advance(9)
    await scaler.look()
    assert len(await plant.places()) == 3
    plant.world.clock.advance(1)
    await scaler.look()
    assert await plant.places() == []
    decisions = await plant.world.events(type="agent.scaled")
    assert len(decisions) == 3


async def test_a_decision_about_an_agent_that_is_another_by_now_changes_nothing(plant: Plant):
    await plant.agent()
    await plant.scale(min=0, max=3, up_delay_seconds=0)
    await plant.world.tasks({}, {})
    one, other = Autoscaler(plant.desk, lambda: True), Autoscaler(plant.desk, lambda: True)
    (seen,) = await plant.scaling.look()
    await one.look()
    await other.look()
    assert len(await plant.world.events(type="agent.scaled")) == 2
    await plant.control("pause")
    assert await plant.scaling.look() == ()
    assert seen.desired == 0


async def test_rules_given_at_registration_hold_at_once(plant: Plant):
    agent = await plant.agent(scaling={"min": 2, "max": 4})
    assert agent.desired_instances == 2 and len(await plant.places()) == 2
    again = await plant.agent(scaling={"min": 3, "max": 4})
    assert again.id == agent.id and len(await plant.places()) == 3
    await plant.scale(7)
    assert (await plant.desk.agents.get(plant.world.call, agent.id)).scaling is None, (
        "a number that is asked for ends the rules"
    )


async def test_asking_again_tries_at_once_what_rests_after_failures(plant: Plant):
    await plant.agent()
    await plant.scale(1)
    for _ in range(5):
        await plant.end(await plant.run((await plant.places())[0]), Exit(code=1, text="exit code 1"))
    assert (await plant.places())[0].status == "crash_loop"
    await plant.scale(1)
    assert (await plant.places())[0].status == "starting"


async def test_who_was_overtaken_writes_nothing_any_more(plant: Plant):
    await plant.agent()
    await plant.scale(2)
    first, second = await plant.places()
    running = await plant.run(first)
    old = (await plant.write(transactions.hold, HOST, [first.scope]))[first.scope]
    assert await plant.write(transactions.hold, Supervisor("here", "server_b"), [first.scope]) == {}
    plant.world.clock.advance(4)
    new = (await plant.write(transactions.hold, Supervisor("here", "server_b"), [first.scope]))[first.scope]
    assert new.number == old.number + 1
    place = Started("here", Identity(99, "1", "boot"), Stop(), "/logs/x.log")
    for late in (
        (transactions.begun, old, second.id, place),
        (transactions.ended, old, first.id, running.identity, Exit(), None),
        (transactions.asked_to_end, old, first.id, running.identity, "why", False),
        (transactions.adopted, old, first.id, running.identity),
        (transactions.not_started, old, second.id, "why"),
        (transactions.abandon, old, "boot"),
    ):
        with pytest.raises(LeaseLost):
            await plant.write(*late)
    assert await plant.write(transactions.hold, HOST, [first.scope]) == {}


async def test_what_is_told_of_another_process_than_stands_in_the_place_is_refused(plant: Plant):
    await plant.agent()
    await plant.scale(1)
    running = await plant.run((await plant.places())[0])
    fence = (await plant.write(transactions.hold, HOST, [running.scope]))[running.scope]
    for identity in (Identity(70, "2", "boot"), Identity(70, "1", "later boot"), Identity(71, "1", "boot")):
        with pytest.raises(LeaseLost):
            await plant.write(transactions.ended, fence, running.id, identity, Exit(), None)
    with pytest.raises(LeaseLost):
        await plant.run(running)


async def test_another_host_takes_over_what_runs_where_nobody_has_supervised_for_a_minute(plant: Plant):
    await plant.agent()
    await plant.scale(1)
    running = await plant.run((await plant.places())[0])
    elsewhere = Supervisor("there", "server_b")
    fence = (await plant.write(transactions.hold, elsewhere, [running.scope]))[running.scope]
    assert await plant.write(transactions.abandon, fence, "other") == 0
    plant.world.clock.advance(64)
    fence = (await plant.write(transactions.hold, elsewhere, [running.scope]))[running.scope]
    assert await plant.write(transactions.abandon, fence, "other") == 1
    place = Started("there", Identity(5, "1", "boot"), Stop(), "/logs/x.log")
    assert (await plant.write(transactions.begun, fence, running.id, place)).host == "there"
    assert replay(plant.world.url).differences == ()


async def test_a_host_that_is_called_otherwise_now_keeps_what_runs_on_it(plant: Plant):
    await plant.agent()
    await plant.scale(1)
    running = await plant.run((await plant.places())[0])
    plant.world.clock.advance(64)
    renamed = Supervisor("renamed", "server_b")
    fence = (await plant.write(transactions.hold, renamed, [running.scope]))[running.scope]
    assert await plant.write(transactions.abandon, fence, "boot") == 1
    row = await plant.world.database.fetch_one("process_by_id", id=running.id)
    assert row is not None and (row["host"], row["pid"], row["status"]) == ("renamed", running.pid, "running")
    assert replay(plant.world.url).differences == ()


async def test_all_that_happens_to_instances_is_rebuilt_from_events(plant: Plant):
    await plant.agent(scaling={"min": 1, "max": 3})
    await plant.scale(3)
    first, second, third = await plant.places()
    await plant.end(await plant.run(first), Exit(code=1, text="exit code 1"))
    running = await plant.run(second)
    fence = (await plant.write(transactions.hold, HOST, [second.scope]))[second.scope]
    await plant.write(transactions.adopted, fence, running.id, running.identity)
    await plant.write(transactions.asked_to_end, fence, running.id, running.identity, "why", True)
    await plant.write(transactions.not_started, fence, third.id, "no such program")
    await plant.agent(launcher={"name": "it", "arguments": {"size": "l"}})
    await plant.scale(1)
    await plant.write(transactions.let_go, HOST)
    assert replay(plant.world.url).differences == ()
    dropped = 0
    for _ in range(3):
        plant.world.clock.advance(100 * DAY)
        await plant.world.settle()
        dropped += await thin_out(plant.world, KEEP)
        await plant.scale(2)
        assert replay(plant.world.url).differences == ()
    assert dropped > 10


async def test_an_agent_is_scaling_while_other_instances_run_than_there_are_to_be(plant: Plant):
    await plant.agent()

    async def status() -> str:
        agent = await plant.desk.agents.get(plant.world.call, "fleet")
        found, _, _ = await plant.desk.agents.find(plant.world.call, FindAgents(status=agent.status))
        assert [one.name for one in found] == ["fleet"], "the list says the same"
        return agent.status

    assert await status() == "initializing"
    await plant.scale(1)
    assert await status() == "scaling"
    process = await plant.run((await plant.places())[0])
    assert await status() == "idle"
    for _ in range(4):
        await plant.end(process, Exit(code=1, text="exit code 1"))
        process = await plant.run((await plant.places())[0])
    await plant.end(process, Exit(code=1, text="exit code 1"))
    assert await status() == "error", "an instance that is in a crash loop is not about to come"
    await plant.scale(0)
    assert await status() == "idle", "nothing is wanted, and nothing is missing"


async def test_rules_that_let_an_agent_have_more_instances_than_it_may_run_tasks_say_so_at_once(world: World):
    plant = Plant(world)
    await plant.agent(max_concurrent_tasks=2)
    assert "run at most 2 tasks at once" in (await plant.scale(max=3)).decision["note"]
    assert "note" not in (await plant.scale(max=2)).decision
