"""A desk on a real store, with a clock that the test moves and ids that count up."""

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp_server.app import desk_on
from mcp_server.domain.agents import AgentSpec, Capability, InstanceSpec
from mcp_server.domain.task_spec import TaskSpec
from mcp_server.domain.users import Actor, Role
from mcp_server.domain.values import SECOND
from mcp_server.persistence.database import Database
from mcp_server.services.context import Call
from mcp_server.services.desk import Desk
from mcp_server.services.tasks import ClaimedTask
from mcp_server.services.views import AgentView, TaskView

START = 1_800_000_000 * SECOND
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


_WORLDS = itertools.count()


class Ids:
    """`task_aaaaaaaaaaaa`, `task_aaaaaaaaaaab`, ..."""

    def __init__(self) -> None:
        self._numbers = itertools.count(next(_WORLDS) * 2**40)

    def __call__(self, kind: str) -> str:
        number = next(self._numbers)
        return f"{kind}_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(55, -5, -5))


def caller(role: Role = Role.ADMIN, kind: Any = "user", id: str = "tester") -> Call:
    return Call(Actor(kind=kind, id=id, permissions=role.permissions), "correlation-1")


@dataclass
class World:
    database: Database
    desk: Desk
    clock: Clock
    call: Call
    url: str

    async def agent(
        self, name: str = "worker", skills: tuple[str, ...] = (), capacity: int = 10, **more: Any
    ) -> AgentView:
        capabilities = tuple(Capability(name=skill) for skill in skills)
        spec = AgentSpec(name=name, capabilities=capabilities, max_concurrent_tasks=capacity, **more)
        agent, _, _ = await self.desk.agents.register(self.call, spec, None)
        return agent

    async def instance(self, name: str, label: str = "one") -> tuple[AgentView, str]:
        agent, instance_id, _ = await self.desk.agents.register(
            self.call, AgentSpec(name=name, max_concurrent_tasks=10), InstanceSpec(label=label)
        )
        assert instance_id is not None
        return agent, instance_id

    async def tasks(self, *specs: dict[str, Any]) -> list[TaskView]:
        return await self.desk.tasks.create(
            self.call, [TaskSpec.model_validate({"title": "t"} | spec) for spec in specs]
        )

    async def task(self, **spec: Any) -> TaskView:
        return (await self.tasks(spec))[0]

    async def claim(self, agent: AgentView, **options: Any) -> list[ClaimedTask]:
        return (await self.desk.tasks.claim(self.call, agent.id, **options))[0]

    async def claim_one(self, agent: AgentView, **options: Any) -> ClaimedTask:
        (claimed,) = await self.claim(agent, **options)
        return claimed

    async def decide(self, call: Call, id: str, granted: bool, reason: str | None = None) -> TaskView:
        _, task = await self.desk.approvals.decide(call, id, granted=granted, via="command line", reason=reason)
        return task

    async def status(self, task: TaskView) -> str:
        return (await self.desk.tasks.get(self.call, task.id)).status

    async def events(self, **narrowed: Any) -> list[str]:
        events, _ = await self.desk.events.read(self.call, limit=100, **narrowed)
        return [event.type for event in events]

    async def settle(self) -> None:
        await self.desk.housekeeping.settle()


@asynccontextmanager
async def open_world(url: str) -> AsyncGenerator[World]:
    database = await Database.open(url)
    try:
        clock = Clock()
        desk = desk_on(database, clock=clock, ids=Ids(), chance=lambda: 0.5)
        yield World(database, desk, clock, caller(), url)
    finally:
        await database.close()
