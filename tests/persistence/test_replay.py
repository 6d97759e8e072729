"""Events alone rebuild every table."""

import random
from typing import Any

import pytest

from mcp_server.domain.errors import OpsError
from mcp_server.domain.locks import LockRequest
from mcp_server.domain.state import WriteSpec
from mcp_server.domain.task_spec import FailureSpec, UsageSpec
from mcp_server.persistence.replay import replay
from mcp_server.services.retention import Keep
from tests.persistence.test_upkeep import live_through_much
from tests.services.test_event_retention import thin_out
from tests.world import World, open_world

pytestmark = pytest.mark.anyio


KEEP = Keep(finished_days=2, events_days=1)


class RandomLife:
    """A caller who does anything at all, in any order; what is refused is refused."""

    def __init__(self, world: World, seed: int, *, thins: bool = False) -> None:
        self.thins = thins
        self.world = world
        self.chance = random.Random(seed)
        self.agents: list[Any] = []
        self.tasks: list[str] = []
        self.claims: list[Any] = []

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            action = self.chance.choice((self.register, self.create, self.create, self.claim, self.claim, self.finish))
            other = self.chance.choice(
                (self.report, self.control, self.control_agent, self.write, self.lock, self.wait)
            )
            for step in (action, other):
                try:
                    await step()
                except OpsError:
                    continue

    async def register(self) -> None:
        name = f"agent{self.chance.randrange(4)}"
        budget = {"tokens_per_month": 50} if self.chance.random() < 0.3 else None
        agent, _ = await self.world.instance(name, f"session{self.chance.randrange(3)}")
        self.agents.append(agent.id)
        await self.world.agent(name, skills=("python",), capacity=5, budget=budget)

    async def create(self) -> None:
        chance = self.chance
        spec: dict[str, Any] = {
            "title": "t",
            "input": chance.choice([None, 5, "text", [1, {"a": None}], {"deep": {"é": 1.5}}]),
            "depends_on": [task for task in self.tasks[-4:] if chance.random() < 0.3],
            "on_parent_failure": chance.choice(["wait", "cancel", "run_anyway"]),
            "requires_approval": chance.random() < 0.1,
            "retry": chance.choice([None, {"max_attempts": 2, "delay_seconds": 1}]),
            "timeout_seconds": chance.choice([None, 30.5]),
            "required_capabilities": chance.choice([[], ["python"]]),
        }
        if chance.random() < 0.1:
            spec = {"title": "s", "schedule": {"cron": "*/5 * * * *", "overlap": "allow"}}
        self.tasks.append((await self.world.task(**spec)).id)

    async def claim(self) -> None:
        if self.agents:
            agent_id = self.chance.choice(self.agents)
            claims, _ = await self.world.desk.tasks.claim(self.world.call, agent_id, max_tasks=2, lease_seconds=60)
            self.claims += claims

    async def finish(self) -> None:
        if self.claims:
            claimed = self.claims.pop(self.chance.randrange(len(self.claims)))
            failure = FailureSpec(message="no", retryable=True) if self.chance.random() < 0.4 else None
            usage = UsageSpec(input_tokens=9, output_tokens=3, cost_usd=0.1) if self.chance.random() < 0.5 else None
            result = None if failure else self.chance.choice([None, 1, "x", {"a": []}])
            await self.world.desk.tasks.finish(
                self.world.call, claimed.task.id, claimed.lease_token, result=result, failure=failure, usage=usage
            )

    async def report(self) -> None:
        if self.claims:
            claimed = self.chance.choice(self.claims)
            await self.world.desk.tasks.report(self.world.call, claimed.task.id, claimed.lease_token)

    async def control(self) -> None:
        if self.tasks:
            action = self.chance.choice(["cancel", "pause", "resume", "retry", "discard"])
            await self.world.desk.tasks.control(self.world.call, [self.chance.choice(self.tasks)], action)

    async def control_agent(self) -> None:
        if self.agents and self.chance.random() < 0.3:
            action = self.chance.choice(["pause", "resume", "terminate", "delete", "resume"])
            await self.world.desk.agents.control(self.world.call, self.chance.choice(self.agents), action, None)

    async def write(self) -> None:
        state, call, key = self.world.desk.state, self.world.call, f"k{self.chance.randrange(3)}"
        match self.chance.randrange(4):
            case 0:
                await state.delete(call, "n", key, WriteSpec())
            case 1:
                await state.restore(call, "n", key, 1, WriteSpec())
            case _:
                spec = WriteSpec(ttl_seconds=self.chance.choice([None, 100.0]), note="n", tags=("a",))
                await state.set(call, "n", key, {"v": self.chance.random()}, spec)

    async def lock(self) -> None:
        owner, name = f"o{self.chance.randrange(3)}", f"l{self.chance.randrange(2)}"
        mode = self.chance.choice(["shared", "exclusive"])
        hold, _ = await self.world.desk.locks.acquire(
            self.world.call, LockRequest(name=name, owner=owner, mode=mode, ttl_seconds=90), 0
        )
        if hold is not None and self.chance.random() < 0.5:
            await self.world.desk.locks.release(self.world.call, name, owner, hold.fencing_token)

    async def wait(self) -> None:
        self.world.clock.advance(self.chance.choice([0, 1, 20, 100, 400]))
        await self.world.settle()
        if self.chance.random() < 0.1:
            self.world.clock.advance(self.chance.choice([2, 40]) * 86_400)
            await self.world.desk.retention.archive_some(KEEP)
            if self.thins:
                await thin_out(self.world, KEEP)


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_is_rebuilt_from_its_events(url: str, seed: int):
    async with open_world(url) as world:
        await RandomLife(world, seed).live(120)
    done = replay(url)
    assert done.differences == ()
    assert done.events > 50 and done.rows > 20


@pytest.mark.parametrize("seed", [10, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(11, 18))])
async def test_a_history_thinned_out_at_any_time_is_rebuilt_from_what_is_left(url: str, seed: int):
    async with open_world(url) as world:
        life, dropped = RandomLife(world, seed, thins=True), 0
        for _ in range(4):
            await life.live(50)
            world.clock.advance(3 * 86_400)
            await life.live(5)
            dropped += await thin_out(world, KEEP)
            assert replay(url).differences == ()
        await life.live(50)
        assert dropped > 50
    assert replay(url).differences == ()


async def test_a_life_with_everything_in_it_is_rebuilt(url: str):
    async with open_world(url) as world:
        await live_through_much(world)
    assert replay(url).differences == ()


async def test_what_the_events_do_not_account_for_is_named(url: str):
    async with open_world(url) as world:
        await live_through_much(world)
        task = await world.task(title="mine")
        mark = "?" if world.database.engine == "sqlite" else "%s"

        def tamper(tx: Any) -> None:
            tx._connection.execute(f"UPDATE tasks SET title = 'yours' WHERE id = {mark}", (task.id,))
            tx._connection.execute("DELETE FROM document_versions WHERE version = 2")
            tx._connection.execute("INSERT INTO locks (name, last_token) VALUES ('ghost', 7)")

        await world.database.write(tamper)
    assert replay(url).differences == (
        f"tasks {task.id} differs in title",
        "document_versions notes/a/b c/2 is not stored, but the events say it exists",
        "locks ghost is in no event",
    )
