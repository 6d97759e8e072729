"""A change changes what is given, and nothing else, also within an object."""

import json
from typing import Any, NamedTuple

import pytest

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Register
from mcp_server.domain.agents.launchers import ArgumentRule, Launcher, Launchers
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.scaling.model import ScaleAgent
from mcp_server.domain.scaling.service import ScalingService
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.store import Row
from mcp_server.upkeep.replay import replay
from tests.world import Ids, World
from tools.scaling import TOOLS as SCALING

pytestmark = pytest.mark.anyio
RULES = {"min": 1, "max": 4, "target_ready_per_instance": 3.0, "up_delay_seconds": 7.0, "down_delay_seconds": 90.0}
BUDGET = {"tokens_per_month": 1000, "cost_usd_per_month": 5.0, "warn_at": 0.5}
SIZE = ArgumentRule("choice", choices=("s", "l"), default="s")
LAUNCHERS = Launchers({name: Launcher(("run", "{size}"), arguments={"size": SIZE}) for name in ("it", "other")})


class Plant(NamedTuple):
    """A desk with launchers."""

    world: World

    @property
    def desk(self) -> Any:
        world = self.world
        return desk_on(world.database, LAUNCHERS, clock=world.clock, ids=Ids(), chance=lambda: 0.5)

    async def register(self, **said: Any) -> dict[str, Any]:
        """What is known of the agent then: its objects."""
        desk = self.desk
        made = await desk.agents.register(self.world.call, Register.model_validate({"name": "fleet"} | said))
        agent: AgentView = await desk.agents.get(self.world.call, made.agent.id)
        row = await row_of(self.world, "agent_by_name", name="fleet")
        assert agent.id == row["id"]
        return {name: row[name] and json.loads(row[name]) for name in ("budget", "scaling", "launcher")}

    async def scale(self, **rules: Any) -> dict[str, Any]:
        command = ScaleAgent.model_validate({"agent_id": "fleet", "scaling": rules})
        await self.desk.get(ScalingService).scale(self.world.call, command)
        return (await self.register())["scaling"]


async def row_of(world: World, statement: str, **by: str) -> Row:
    """A row as it is stored."""
    row = await world.database.write(lambda tx: tx.one(statement, **by))
    assert row is not None
    return row


@pytest.fixture
def plant(world: World) -> Plant:
    return Plant(world)


@pytest.mark.parametrize("said", [{name: value} for name, value in BUDGET.items()] + [BUDGET, {}])
async def test_what_is_not_said_of_a_budget_stays(plant: Plant, said: dict[str, Any]):
    await plant.register(budget=BUDGET)
    other = {name: value / 2 if name != "tokens_per_month" else value // 2 for name, value in said.items()}
    assert (await plant.register(budget=other))["budget"] == BUDGET | other
    assert (await plant.register(budget=other))["budget"] == BUDGET | other
    described = await plant.world.events(type="agent.described")
    assert len(described) == (1 if said else 0), "the same again is no change"
    assert replay(plant.world.url).differences == ()


async def test_null_takes_a_limit_of_a_budget_away(plant: Plant):
    await plant.register(budget=BUDGET)
    left = {name: BUDGET[name] for name in ("tokens_per_month", "warn_at")}
    assert (await plant.register(budget={"cost_usd_per_month": None}))["budget"] == left


@pytest.mark.parametrize("said", [{"max": 6}, {"max": 6, "min": 0}, {"max": 4, "down_delay_seconds": 0}, RULES])
async def test_what_is_not_said_of_rules_of_scaling_stays(plant: Plant, said: dict[str, Any]):
    await plant.register(scaling=RULES)
    assert (await plant.register(scaling=said))["scaling"] == RULES | said
    await plant.register(scaling=RULES)
    assert await plant.scale(**said) == await plant.scale(**said) == RULES | said
    assert replay(plant.world.url).differences == ()


async def test_what_is_said_goes_with_what_stays_or_is_refused_with_that(plant: Plant):
    await plant.register(scaling=RULES | {"min": 3})
    for change in (plant.register(scaling={"max": 2}), plant.scale(max=2)):
        with pytest.raises(ValidationFailed, match=r"`min` \(3\) must not be over `max` \(2\)") as refused:
            await change
        assert '"min":3' in refused.value.message.replace(" ", "") + str(refused.value.__dict__).replace(" ", "")
    assert (await plant.register())["scaling"] == RULES | {"min": 3}


async def test_a_launcher_keeps_its_arguments_and_another_has_its_own(plant: Plant):
    await plant.register(launcher={"name": "it", "arguments": {"size": "l"}})
    assert (await plant.register(launcher={"name": "it"}))["launcher"] == {"name": "it", "arguments": {"size": "l"}}
    assert (await plant.register(launcher={"name": "other"}))["launcher"] == {"name": "other", "arguments": {}}


@pytest.mark.parametrize("said", [{"max_attempts": 5}, {"delay_seconds": 9.0}, {"max_delay_seconds": 11.0}, {}])
async def test_what_is_not_said_of_retries_stays(world: World, said: dict[str, Any]):
    policy = {"max_attempts": 2, "delay_seconds": 30.0, "max_delay_seconds": 600.0}
    task = await world.task(retry=policy)
    for _ in range(2):
        assert await edited(world, task.id, said) == policy | said


async def test_a_policy_of_retries_begins_with_what_is_usual_and_null_takes_it_away(world: World):
    task = await world.task()
    begun = await edited(world, task.id, {"delay_seconds": 9.0})
    assert begun == {"max_attempts": 3, "delay_seconds": 9.0, "max_delay_seconds": 3600.0}
    assert (await edited(world, task.id, None))["max_attempts"] is None


async def edited(world: World, task_id: str, retry: Any) -> dict[str, Any]:
    """A task's policy of retries after it was edited."""
    said = {"task_ids": [task_id], "action": "edit", "changes": {"retry": retry}}
    answer = await world.desk.tasks.control(world.call, ControlTasks.model_validate(said))
    assert answer.refused is None
    row = await row_of(world, "task_for_update", id=task_id)
    columns = {"delay_seconds": "retry_delay_seconds", "max_delay_seconds": "retry_max_delay_seconds"}
    return {"max_attempts": row["max_attempts"]} | {name: row[column] for name, column in columns.items()}


@pytest.mark.parametrize(("scaling", "says"), [({"max": 6}, "at most 6"), ({"min": 0, "max": 6}, "between 0 and 6")])
def test_people_read_only_the_bounds_that_are_said(scaling: dict[str, int], says: str):
    (tool,) = SCALING
    assert tool.part is not None
    command = ScaleAgent.model_validate({"agent_id": "fleet", "scaling": scaling})
    assert tool.part.says(command) == f"Have {says} instances of agent fleet."
