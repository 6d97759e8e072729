"""What one call does in the writer is bounded, since everybody else waits for it: things that are many are read and
looked through together, however many they are."""

from collections import Counter

import pytest

from mcp_server.domain.agents.transactions import LOOKED_FOR_MAX
from mcp_server.domain.messages.model import RECIPIENTS_MAX, SendMessage
from mcp_server.kernel.errors import NotFound
from tests.steps import counting_statements
from tests.world import World

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
