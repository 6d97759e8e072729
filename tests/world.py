"""A desk on a real store, with a clock that the test moves and ids that count up."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import Capability, InstanceSpec, Register
from mcp_server.domain.agents.views import AgentView
from mcp_server.domain.approvals.commands import Vote
from mcp_server.domain.approvals.views import ApprovalView
from mcp_server.domain.approvals.voting import Via, Voter
from mcp_server.domain.areas import AREAS
from mcp_server.domain.desk import Desk
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.state.commands import GetDocument, SetDocument
from mcp_server.domain.state.views import DocumentView
from mcp_server.domain.tasks.commands import ClaimTasks, CreateTasks, FinishTask
from mcp_server.domain.tasks.results import ClaimedTask, FinishedTask
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.authority import Actor, Role, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.times import SECOND
from mcp_server.persistence.database import Database
from mcp_server.persistence.sqlite.backend import SqliteBackend

START = 1_800_000_000 * SECOND
T = TypeVar("T")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START
        self.passed = 0

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += round(seconds * SECOND)
        self.passed += round(seconds * SECOND)

    def set(self, seconds: float) -> None:
        """The clock is set ahead, or back."""
        self.now += round(seconds * SECOND)

    def steady(self) -> int:
        return self.passed


_WORLDS = itertools.count(1)  # no id is all a, which tests take for one that nobody has


class Ids:
    """`task_aaaaaaaaaaaa`, `task_aaaaaaaaaaab`, ..."""

    def __init__(self) -> None:
        self._numbers = itertools.count(next(_WORLDS) * 2**40)

    def __call__(self, kind: str) -> str:
        number = next(self._numbers)
        return f"{kind}_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(55, -5, -5))


def caller(role: Role = Role.ADMIN, kind: Any = "user", id: str = "tester") -> Call:
    return Call(Actor(kind=kind, id=id, permissions=role.permissions), "correlation-1")


def speaking(agent: AgentView, role: Role = Role.AGENT, id: str = "tester") -> Call:
    """A call of a user through an agent."""
    return replace(caller(role, id=id), speaker=Speaker(agent.id, agent.name))


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
        command = Register(name=name, capabilities=capabilities, max_concurrent_tasks=capacity, **more)
        made = (await self.desk.agents.register(self.call, command)).agent
        return await self.desk.agents.get(self.call, made.id)

    async def instance(self, name: str, label: str = "one") -> tuple[AgentView, str]:
        command = Register(name=name, max_concurrent_tasks=10, instance=InstanceSpec(label=label))
        registered = await self.desk.agents.register(self.call, command)
        assert registered.instance_id is not None
        return await self.desk.agents.get(self.call, registered.agent.id), registered.instance_id

    async def created(self, *specs: dict[str, Any]) -> list[TaskState]:
        """What its creator is told of tasks."""
        command = CreateTasks.model_validate({"tasks": [{"title": "t"} | spec for spec in specs]})
        return (await self.desk.tasks.create(self.call, command)).tasks

    async def tasks(self, *specs: dict[str, Any]) -> list[TaskView]:
        """Tasks as they are once they have been created."""
        return [await self.desk.tasks.get(self.call, task.id) for task in await self.created(*specs)]

    async def task(self, **spec: Any) -> TaskView:
        return (await self.tasks(spec))[0]

    async def claim(self, agent: AgentView, **options: Any) -> list[ClaimedTask]:
        return (await self.desk.tasks.claim(self.call, ClaimTasks(agent_id=agent.id, **options))).claims

    async def claim_one(self, agent: AgentView, **options: Any) -> ClaimedTask:
        (claimed,) = await self.claim(agent, **options)
        return claimed

    async def finish(self, claimed: ClaimedTask, **how: Any) -> FinishedTask:
        """End a claimed attempt: with `error` it failed, else it is completed."""
        outcome = "failed" if "error" in how else "completed"
        command = FinishTask(task_id=claimed.task.id, lease_token=claimed.lease_token, outcome=outcome, **how)
        return await self.desk.tasks.finish(self.call, command)

    async def write(self, namespace: str, key: str, value: Any, **more: Any) -> DocumentView:
        """Write a document."""
        command = SetDocument(namespace=namespace, key=key, value=value, **more)
        return (await self.desk.state.set(self.call, command)).document

    async def read(self, namespace: str, key: str, version: int | None = None) -> DocumentView:
        """A document with its value."""
        return await self.desk.state.get(self.call, GetDocument(namespace=namespace, key=key, version=version))

    async def decide(self, call: Call, id: str, granted: bool, reason: str | None = None) -> TaskView:
        _, task = await self.answer(call, id, granted, reason)
        return task

    async def answer(
        self, call: Call, id: str, granted: bool = True, reason: str | None = None, via: Via = "command line"
    ) -> tuple[ApprovalView, TaskView]:
        """A person answers what is asked now."""
        shown = await self.desk.approvals.shown(self.call, id)
        vote, voter = Vote(approve=granted, reason=reason), Voter(call.actor.id, via, "session")
        return await self.desk.approvals.decide(call, voter, id, vote, shown.seen)

    async def status(self, task: TaskView) -> str:
        return (await self.desk.tasks.get(self.call, task.id)).status

    async def events(self, **narrowed: Any) -> list[str]:
        events, _ = await self.desk.events.read(self.call, ReadEvents(limit=100, **narrowed))
        return [event.type for event in events]

    async def waiting(self, asked: Callable[[Call], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """A call that has looked once by now, and only waits for something to happen."""
        waits = asyncio.Event()
        task = asyncio.create_task(asked(replace(self.call, waits=waits.set)))
        task.add_done_callback(lambda _: waits.set())
        await waits.wait()
        return task

    async def settle(self) -> None:
        await self.desk.housekeeping.settle()


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "desk.db")
        SqliteBackend(path, AREAS, allow_unsafe=False).prepare()
        return path.read_bytes()


def on_file(path: Path) -> str:
    """The address of a database, with its tables where there was none: to migrate takes longer than most tests."""
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


class Copied(SqliteBackend):
    """A store whose file, where there is none, is a copy of a migrated one."""

    def prepare(self) -> list[int]:
        on_file(self.file.path)
        return super().prepare()


@asynccontextmanager
async def open_world(url: str) -> AsyncGenerator[World]:
    if url.startswith("sqlite:///"):
        on_file(Path(url.removeprefix("sqlite:///")))
    database = await Database.open(url, AREAS)
    try:
        clock = Clock()
        desk = desk_on(database, clock=clock, steady=clock.steady, ids=Ids(), chance=lambda: 0.5)
        yield World(database, desk, clock, caller(), url)
    finally:
        await database.close()
