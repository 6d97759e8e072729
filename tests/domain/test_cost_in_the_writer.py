"""What one call does in the writer is bounded, since everybody else waits for it: things that are many are read and
looked through together, however many they are."""

from collections import Counter

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.agents.rows import LOOKED_FOR_MAX
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval
from mcp_server.domain.areas import AREAS
from mcp_server.domain.locks.model import AcquireLock, FindLocks
from mcp_server.domain.messages.model import RECIPIENTS_MAX, SendMessage
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.errors import NotFound
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.upkeep.replay import replay
from tests.steps import counting_statements
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each was run."""
    return counting_statements(monkeypatch)


async def test_agents_are_looked_through_once_for_all_capabilities_that_a_message_names(
    world: World, statements: Counter[str]
):
    ann = await world.agent("ann", skills=("cook", "bake_it"))
    bob = await world.agent("bob", skills=("bake_it", "Cook"))
    statements.clear()
    done = await world.desk.messages.send(
        world.call, SendMessage(to=("capability:cook", "capability:bake_it"), body="x")
    )
    assert sorted(done.recipients) == sorted([ann.id, bob.id])
    assert statements["agents_with_skills"] == 1 and not statements["agents_with_skill"]
    none = tuple(f"capability:none{number}" for number in range(RECIPIENTS_MAX))
    with pytest.raises(NotFound, match="And 45 more"):
        await world.desk.messages.send(world.call, SendMessage(to=none, body="x"))
    assert statements["agents_with_skills"] == 2 and not statements["agents_with_skill"]


async def test_one_capability_is_taken_by_its_letters(world: World):
    ann = await world.agent("ann", skills=("bake_it",))
    await world.agent("bob", skills=("BAKE_IT", "bakerit"))
    done = await world.desk.messages.send(world.call, SendMessage(to=("capability:bake_it",), body="x"))
    assert done.recipients == [ann.id]


async def test_of_many_strangers_a_few_are_looked_for_among_capabilities_and_names(
    world: World, statements: Counter[str]
):
    await world.agent("ann", skills=("cook",))
    strangers = tuple(f"zzz{number:02d}" for number in range(RECIPIENTS_MAX))
    with pytest.raises(NotFound, match="And 45 more"):
        await world.desk.messages.send(world.call, SendMessage(to=strangers, body="x"))
    assert statements["agents_with_skill"] == LOOKED_FOR_MAX
    assert statements["agent_names"] <= 2 * LOOKED_FOR_MAX


async def cascade(world: World, how: str, children: int) -> tuple[TaskView, list[TaskView]]:
    """A task that is to end so, and those that hang on it."""
    root = await world.task(requires_approval=True) if how == "refused" else await world.task()
    policy = "cancel" if how == "cancelled" else "run_anyway"
    return root, await world.tasks(*[{"depends_on": [root.id], "on_parent_failure": policy}] * children)


async def end(world: World, how: str, root: TaskView) -> None:
    if how == "completed":
        await world.finish(await world.claim_one(await world.agent()))
    elif how == "refused":
        asked = (await world.desk.approvals.find(world.call, FindApprovals(status="pending"))).items
        await world.decide(caller(), asked[0].id, False)
    else:
        await world.desk.tasks.control(world.call, ControlTasks(task_ids=(root.id,), action="cancel"))


HEIR = "agent:heir via user:tester"
HOWS = {"completed": "queued", "cancelled": "cancelled", "run anyway": "queued", "refused": "cancelled"}
"""How a task may end, and what becomes of what hangs on it."""


@pytest.mark.parametrize("how", HOWS)
async def test_the_end_of_a_task_changes_so_many_at_once_and_the_others_a_moment_later(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
):
    monkeypatch.setattr("mcp_server.domain.tasks.rows.ENDINGS_MAX", 3)
    root, children = await cascade(world, how, 8)
    await end(world, how, root)
    assert [await world.status(task) for task in children].count(HOWS[how]) == 3
    worker = SystemWorker(world.desk, AREAS.kinds)
    while await worker.look():
        await worker.idle()
    assert {await world.status(task) for task in children} == {HOWS[how]}
    assert replay(world.url).differences == ()


@pytest.mark.parametrize("how", HOWS)
async def test_what_hangs_on_a_task_is_read_at_once_however_much_it_is(
    world: World, statements: Counter[str], how: str
):
    counted: list[Counter[str]] = []
    for children in (4, 8):
        root, _ = await cascade(world, how, children)
        statements.clear()
        await end(world, how, root)
        counted.append(Counter(statements))
        for claimed in await world.claim(await world.agent(), max_tasks=10):
            await world.finish(claimed)
    assert counted[0] == counted[1]


async def test_dependencies_of_a_new_task_are_read_and_written_at_once_however_many_they_are(
    world: World, statements: Counter[str]
):
    parents = [task.id for task in await world.created(*[{"title": "t"}] * 12)]
    counted: list[Counter[str]] = []
    for many in (4, 8, 12):
        statements.clear()
        await world.created({"depends_on": parents[:many]}, {"depends_on": parents[:many]})
        counted.append(Counter(statements))
    assert counted[0] == counted[1] == counted[2]


async def test_missing_dependencies_are_looked_for_at_once(world: World, statements: Counter[str]):
    counted: list[Counter[str]] = []
    for many in (4, 8):
        statements.clear()
        with pytest.raises(NotFound):
            await world.created(*[{"depends_on": [f"task_{number:012d}" for number in range(many)]}] * many)
        counted.append(Counter(statements))
    assert counted[0] == counted[1]


async def test_locks_of_an_agent_that_leaves_are_handed_over_together(world: World, statements: Counter[str]):
    counted: list[Counter[str]] = []
    heir = await world.agent("heir")
    for many in (4, 8):
        leaving = await world.agent(f"leaving-{many}")
        for number in range(many):
            await world.desk.locks.acquire(speaking(leaving), AcquireLock(name=f"{many}/{number}", ttl_seconds=900))
        statements.clear()
        command = ControlAgent(agent_id=leaving.id, action="terminate", to_agent="heir")
        moved = await world.desk.agents.control(world.call, command)
        counted.append(Counter(statements))
        assert moved.handed_over is not None and moved.handed_over["locks"]["total"] == many
    assert counted[0] == counted[1]
    held = (await world.desk.locks.find(world.call, FindLocks(agent_id=heir.id, limit=50))).locks
    assert len(held) == 12 and {lock.holders[0].fencing_token for lock in held} == {2}
    assert replay(world.url).differences == ()


async def test_a_lock_that_both_hold_becomes_one_hold_of_the_heirs_beside_those_handed_over_together(world: World):
    heir, leaving = await world.agent("heir"), await world.agent("leaving")
    for agent, name, owner in ((heir, "a", None), (leaving, "a", None), (leaving, "b", "x"), (leaving, "b", "y")):
        shared = AcquireLock(name=name, owner=owner, mode="shared", ttl_seconds=900)
        await world.desk.locks.acquire(speaking(agent), shared)
    await world.desk.locks.acquire(speaking(leaving), AcquireLock(name="c", ttl_seconds=900))
    command = ControlAgent(agent_id="leaving", action="terminate", to_agent="heir")
    moved = await world.desk.agents.control(world.call, command)
    assert moved.handed_over is not None and moved.handed_over["locks"]["which"] == ["a", "b", "c"]
    held = (await world.desk.locks.find(world.call, FindLocks())).locks
    assert [(lock.name, [one.owner for one in lock.holders]) for lock in held] == [(name, [HEIR]) for name in "abc"]
    assert replay(world.url).differences == ()


async def test_a_glob_is_compared_with_names_that_are_none_by_one_expression(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    ann, bob = await world.agent("ann"), await world.agent("bob")
    for number in range(20):
        await world.desk.locks.acquire(speaking(ann), AcquireLock(name=f"l/ll{number}", ttl_seconds=900))

    def walked(*_: object) -> bool:
        raise AssertionError("a name was walked through piece by piece")

    monkeypatch.setattr("mcp_server.domain.locks.expressions.WORTHWHILE_FROM", 0)
    monkeypatch.setattr("mcp_server.domain.locks.paths._meet", walked)
    for name, free in (("**/*l*l*l*l*", True), ("**/*l*l*", False)):
        got = await world.desk.locks.acquire(speaking(bob), AcquireLock(name=name, ttl_seconds=900))
        assert (got.lock is not None) is free


async def test_messages_tasks_and_questions_of_an_agent_that_leaves_are_read_at_once(
    world: World, statements: Counter[str]
):
    reads: list[int] = []
    await world.agent("heir")
    for many in (3, 6):
        leaving = await world.agent(f"leaving-{many}")
        for number in range(many):
            to = (f"leaving-{many}", "heir") if number else (f"leaving-{many}",)
            await world.desk.messages.send(world.call, SendMessage(to=to, body="x"))
            await world.desk.approvals.request(speaking(leaving), RequestApproval(title=f"q{number}", action="x"))
        await world.created(*[{"title": "t", "agent_id": leaving.id}] * many)
        statements.clear()
        command = ControlAgent(agent_id=leaving.id, action="terminate", to_agent="heir")
        moved = (await world.desk.agents.control(world.call, command)).handed_over or {}
        reads.append(sum(number for name, number in statements.items() if not name.startswith("delivery_")))
        assert {kind: one["total"] for kind, one in moved.items()} == dict.fromkeys(
            ("pinned_tasks", "unread_messages", "questions"), many
        )
    assert reads[0] == reads[1]
    assert replay(world.url).differences == ()
