"""Events alone rebuild every table."""

import json
import random
from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.events.retention import KeepEvents
from mcp_server.domain.locks.model import AcquireLock, Hold, ReleaseLock
from mcp_server.domain.locks.transactions import acquire
from mcp_server.domain.messages.model import Delivery, Message, ReadMessages, SendMessage
from mcp_server.domain.people.commands import AddUser, ChangeUser, CreateKey
from mcp_server.domain.people.managing import PeopleService
from mcp_server.domain.scaling.model import ScaleAgent
from mcp_server.domain.scaling.service import ScalingService
from mcp_server.domain.state.commands import RestoreDocument, SetDocument
from mcp_server.domain.tasks.archive import KeepTasks, TaskRetention
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, ReportTask
from mcp_server.domain.tasks.spec import FailureSpec, UsageSpec
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.records import blank_of
from mcp_server.kernel.store import Transaction
from mcp_server.persistence.sqlite.backend import SqliteBackend
from mcp_server.upkeep import replay as module
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import desk_with, thin_out
from tests.turns import in_turns
from tests.upkeep.test_upkeep import live_through_much
from tests.world import World, caller, open_world, speaking

pytestmark = pytest.mark.anyio


EDITS: list[dict[str, Any]] = [
    {"changes": {"title": "other", "input": {"new": [None]}}},
    {"changes": {"kind": "build", "required_capabilities": []}, "priority": "high"},
    {"schedule": {"cron": "*/7 * * * *"}, "changes": {"tags": ["x"]}},
    {"run_at": "2027-01-15T09:00:00Z"},
]
KEEP = (KeepTasks(days=2), KeepEvents(days=1))


class RandomLife:
    """A caller who does anything at all, in any order; what is refused is refused."""

    def __init__(self, world: World, seed: int, *, thins: bool = False) -> None:
        self.thins = thins
        self.world = world
        self.chance = random.Random(seed)
        self.agents: list[Any] = []
        self.tasks: list[str] = []
        self.claims: list[Any] = []
        self.threads: list[str] = []

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            action = self.chance.choice((self.register, self.create, self.create, self.claim, self.claim, self.finish))
            other = self.chance.choice(
                (
                    *(self.report, self.control, self.control_agent, self.write, self.lock, self.talk, self.wait),
                    *(self.scale, self.let_in),
                )
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
            command = ClaimTasks(agent_id=agent_id, max_tasks=2, lease_seconds=60)
            self.claims += (await self.world.desk.tasks.claim(self.world.call, command)).claims

    async def finish(self) -> None:
        if self.claims:
            claimed = self.claims.pop(self.chance.randrange(len(self.claims)))
            failed = self.chance.random() < 0.4
            usage = UsageSpec(input_tokens=9, output_tokens=3, cost_usd=0.1) if self.chance.random() < 0.5 else None
            if failed:
                await self.world.finish(claimed, error=FailureSpec(message="no", retryable=True), usage=usage)
            else:
                result = self.chance.choice([None, 1, "x", {"a": []}])
                await self.world.finish(claimed, result=result, usage=usage)

    async def report(self) -> None:
        if self.claims:
            claimed = self.chance.choice(self.claims)
            command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
            await self.world.desk.tasks.report(self.world.call, command)

    async def control(self) -> None:
        if self.tasks:
            action = self.chance.choice(["cancel", "pause", "resume", "retry", "discard", "assign", "edit"])
            more: dict[str, Any] = {"agent_id": self.chance.choice([None, *self.agents])} if action == "assign" else {}
            if action == "edit":
                more = self.chance.choice(EDITS)
            if action == "pause":
                more = {"reason": "later"}
            command = ControlTasks.model_validate(
                {"task_ids": (self.chance.choice(self.tasks),), "action": action} | more
            )
            await self.world.desk.tasks.control(self.world.call, command)

    async def scale(self) -> None:
        if self.agents:
            how = self.chance.choice(
                [{"desired_instances": 2}, {"scaling": {"min": 1, "max": 3}}, {"scaling": {"max": 1}}]
            )
            command = ScaleAgent.model_validate({"agent_id": self.chance.choice(self.agents)} | how)
            await self.world.desk.get(ScalingService).scale(self.world.call, command)

    async def control_agent(self) -> None:
        if self.agents and self.chance.random() < 0.3:
            action = self.chance.choice(["pause", "resume", "terminate", "delete", "resume"])
            heir = self.chance.choice([None, *self.agents]) if action == "terminate" else None
            command = ControlAgent(agent_id=self.chance.choice(self.agents), action=action, to_agent=heir)
            await self.world.desk.agents.control(self.world.call, command)

    async def write(self) -> None:
        state, call, key = self.world.desk.state, self.world.call, f"k{self.chance.randrange(3)}"
        match self.chance.randrange(4):
            case 0:
                await state.set(call, SetDocument(namespace="n", key=key, delete=True, note="gone"))
            case 1:
                await state.restore(call, RestoreDocument(namespace="n", key=key, version=1))
            case _:
                ttl = self.chance.choice([None, 100.0])
                await self.world.write("n", key, {"v": self.chance.random()}, ttl_seconds=ttl, note="n", tags=("a",))

    async def lock(self) -> None:
        owner, name = f"o{self.chance.randrange(3)}", f"l{self.chance.randrange(2)}"
        mode = self.chance.choice(["shared", "exclusive"])
        command = AcquireLock(name=name, owner=owner, mode=mode, ttl_seconds=90)
        lock = (await self.world.desk.locks.acquire(self.world.call, command)).lock
        if lock is not None and self.chance.random() < 0.5:
            release = ReleaseLock(name=name, owner=owner, fencing_token=lock.fencing_token)
            await self.world.desk.locks.release(self.world.call, release)

    async def talk(self) -> None:
        if self.agents:
            thread = self.chance.choice([None, *self.threads[-3:]])
            to = tuple({self.chance.choice(self.agents) for _ in range(2)})
            sent = await self.world.desk.messages.send(self.world.call, SendMessage(to=to, body="b", thread_id=thread))
            self.threads.append(sent.message.thread_id)
            if self.chance.random() < 0.5:
                await self.world.desk.messages.read(self.world.call, ReadMessages(agent_id=to[0], limit=1))

    async def let_in(self) -> None:
        people, call, name = self.world.desk.get(PeopleService), self.world.call, f"user{self.chance.randrange(2)}"
        known = [key.id for key in await people.keys(call)]
        match self.chance.randrange(6):
            case 0:
                await people.add_user(call, AddUser(name=name, address=self.chance.choice([None, "u@example.org"])))
            case 1:
                role = self.chance.choice([Role.VIEWER, Role.OPERATOR])
                await people.change_user(call, ChangeUser(name=name, role=role, display_name="U"))
            case 2:
                await people.turn_user(call, name, self.chance.choice(["enabled", "disabled"]))
            case 3 if known:
                await people.revoke_key(call, self.chance.choice(known))
            case 4 if known:
                text = f"{self.chance.random()}"
                await people.rotate_key(call, self.chance.choice(known), text, self.chance.choice([0, 60]))
            case _:
                narrowed: Any = {"toolsets": ("state",), "expires_in_seconds": self.chance.choice([None, 500])}
                await people.create_key(
                    call, CreateKey(kind="user", holder=name, **narrowed), f"{self.chance.random()}"
                )

    async def wait(self) -> None:
        self.world.clock.advance(self.chance.choice([0, 1, 20, 100, 400]))
        await self.world.settle()
        if self.chance.random() < 0.1:
            self.world.clock.advance(self.chance.choice([2, 40]) * 86_400)
            await desk_with(self.world, *KEEP).get(TaskRetention).archive_some()
            if self.thins:
                await thin_out(self.world, KEEP)


def require_counts_to_agree(tx: Transaction) -> None:
    """What waits, waits for as many as are noted down for it; the count stands beside them to make a release cheap."""
    connection: Any = tx._connection  # type: ignore[attr-defined]
    wrong = connection.execute(
        "SELECT id, status, waits_on FROM tasks WHERE status IN ('pending', 'paused', 'queued', 'running')"
        " AND waits_on <> (SELECT count(*) FROM dependencies WHERE task_id = tasks.id)"
    ).fetchall()
    assert list(map(tuple, wrong)) == []


async def test_a_replay_migrates_a_file_of_its_own_outside_of_tests(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SqliteBackend", SqliteBackend)
    async with open_world(sqlite_url) as world:
        await live_through_much(world)
    replayed = replay(sqlite_url)
    assert replayed.events > 10 and replayed.differences == ()


@pytest.mark.parametrize(("url", "seed"), in_turns([0], (1, 2)), indirect=["url"])
async def test_any_history_is_rebuilt_from_its_events(url: str, seed: int):
    async with open_world(url) as world:
        await RandomLife(world, seed).live(120)
        await world.database.write(require_counts_to_agree)
    done = replay(url)
    assert done.differences == ()
    assert done.events > 50 and done.rows > 20


@pytest.mark.parametrize(("url", "seed"), [("sqlite", 10), *in_turns([], range(11, 19))], indirect=["url"])
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


HANDED = {"task.assigned", "approval.handed_over", "message.handed_over", "lock.handed_over"}


async def live_and_leave(world: World) -> None:
    """Everything that becomes of an agent's things when it hands them over, and all that has a key."""
    desk, scribe, heir, third = world.desk, *[await world.agent(name) for name in ("scribe", "heir", "third")]
    me, other = speaking(scribe, Role.ADMIN), speaking(third, Role.ADMIN)
    await world.tasks(*[{"agent_id": "scribe", "kind": kind, "idempotency_key": kind} for kind in ("one", "two")])
    await desk.tasks.claim(me, ClaimTasks(max_tasks=1))
    await desk.tasks.claim(me, ClaimTasks(resume=True))
    task = await world.task()
    assign = ControlTasks(task_ids=(task.id,), action="assign", agent_id="third")
    await desk.tasks.control(world.call, assign)
    refused = await world.task(requires_approval=True)
    await world.task(depends_on=[refused.id], on_parent_failure="cancel")
    await world.answer(caller(id="ann"), refused.id, granted=False)
    await desk.approvals.request(me, RequestApproval(title="t", action="a", approvers=("ann",), idempotency_key="k"))
    for number, to in enumerate((("scribe",), ("scribe", "heir"), ("scribe", "user:tester"))):
        first = await desk.messages.send(other, SendMessage(to=to, body="b", idempotency_key=f"k{number}"))
        await desk.messages.send(other, SendMessage(thread_id=first.message.thread_id, body="again"))
    for name in ("src/a.py", "src/b.py", "docs/**"):
        await desk.locks.acquire(me, AcquireLock(name=name, owner="label"))
    await desk.locks.acquire(speaking(heir, Role.ADMIN), AcquireLock(name="docs"))
    origin = desk.context.origin(other)
    await world.database.write(acquire, origin, AcquireLock(name="src/**"), origin.at)
    world.clock.advance(3)  # it is not heard of again
    await world.settle()
    await desk.agents.control(world.call, ControlAgent(agent_id="scribe", action="terminate", to_agent="heir"))
    await desk.agents.control(world.call, ControlAgent(agent_id="scribe", action="delete"))


@pytest.mark.parametrize("thinned", [False, True])
async def test_what_one_that_leaves_hands_over_is_rebuilt_with_whose_it_is(url: str, thinned: bool):
    async with open_world(url) as world:
        await live_and_leave(world)
        assert set(await world.events()) >= HANDED | {"task.reclaimed", "lock.withdrawn"}
        if thinned:
            world.clock.advance(2 * 86_400)
            assert await thin_out(world, KEEP) > 20
            await world.settle()
    assert replay(url).differences == ()


async def test_what_is_cancelled_for_one_of_two_parents_that_end_together_is_rebuilt(url: str):
    async with open_world(url) as world:
        first = await world.task()
        child = {"on_parent_failure": "cancel", "depends_on": [first.id]}
        await world.tasks(child, child | {"depends_on": [first.id, "#0"]})
        await world.desk.tasks.control(world.call, ControlTasks(task_ids=(first.id,), action="cancel"))
        assert (await world.events()).count("task.cancelled") == 3
    assert replay(url).differences == ()


async def test_a_task_that_was_assigned_and_has_nothing_but_its_snapshot_left_is_rebuilt(url: str):
    async with open_world(url) as world:
        await world.agent("first")
        heir = await world.agent("heir")
        task = await world.task(agent_id="first")
        assign = ControlTasks(task_ids=(task.id,), action="assign", agent_id="heir")
        await world.desk.tasks.control(world.call, assign)
        await world.finish(await world.claim_one(heir))
        for _ in range(2):
            world.clock.advance(30 * 86_400)
            await thin_out(world, KEEP)
        assert await world.events(type="task.*") == ["task.snapshot"]
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
        f"texts task/{task.id} differs in folded",
    )


async def test_a_text_that_is_not_that_of_its_row_is_named(url: str):
    """Of any kind; one that is missing, and one of nothing."""
    async with open_world(url) as world:
        task = await world.task(title="mine")
        for key in ("lost", "wrong"):
            await world.write("n", key, {"said": key})

        def tamper(tx: Any) -> None:
            tx._connection.execute("DELETE FROM texts WHERE about = 'n/lost'")
            tx._connection.execute("UPDATE texts SET folded = 'other' WHERE about = 'n/wrong'")
            tx._connection.execute("UPDATE texts SET kind = 'document' WHERE kind = 'task'")

        await world.database.write(tamper)
    assert replay(url).differences == (
        "texts document/n/lost is not stored, but the events say it exists",
        "texts document/n/wrong differs in folded",
        f"texts document/{task.id} is in no event",
        f"texts task/{task.id} is not stored, but the events say it exists",
    )


BESIDE_COLUMNS = {
    "lock": {*blank_of(Hold), "of", "holds"},
    "message": {*blank_of(Message), *blank_of(Delivery), "places", "to", "deliveries"},
}
"""What the data of events names where no row is their fold."""


@pytest.mark.parametrize("live", [live_through_much, live_and_leave])
async def test_the_data_of_events_names_nothing_but_what_is_known(sqlite_url: str, live: Any):
    """A misspelt name would be lost without a word: a row that folds an event refuses it, where there is one."""
    async with open_world(sqlite_url) as world:
        await live(world)
        rows = await world.database.fetch_all("events_after", xid=0, seq=0, limit=10_000)
    told: dict[str, set[str]] = {}
    for row in rows:
        told.setdefault(row["aggregate_type"], set()).update(json.loads(row["data"]))
    assert "lock" in told
    assert {kind: told[kind] - known for kind, known in BESIDE_COLUMNS.items() if kind in told} == {
        kind: set[str]() for kind in BESIDE_COLUMNS if kind in told
    }
