"""To look for names that are like another takes ten milliseconds where there are a thousand; everybody else waits."""

from collections.abc import Sequence

import pytest

from mcp_server.domain.agents import rows
from mcp_server.domain.agents.rows import LOOKED_FOR_MAX
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.tasks.commands import ControlTasks, CreateTasks
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.errors import NotFound
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def looked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []

    def counting(name: str, known: Sequence[str]) -> list[str]:
        found.append(name)
        return [one for one in known if one[0] == name[0]]

    monkeypatch.setattr(rows, "near", counting)
    return found


async def test_of_many_agents_that_there_are_not_the_first_are_looked_for_and_all_are_told(
    world: World, looked_for: list[str]
):
    await world.agent("scribe")
    strangers = [f"scrib{number:02d}" for number in range(30)]
    with pytest.raises(NotFound, match="There is no agent scrib04") as refused:
        await world.desk.messages.send(world.call, SendMessage(to=tuple(strangers), body="x"))
    assert "Did you mean 'scribe'?" in refused.value.message and "And 25 more." in refused.value.message
    assert looked_for == strangers[:LOOKED_FOR_MAX]
    looked_for.clear()
    with pytest.raises(NotFound, match=r"There is no agent scrib00.*And 25 more"):
        tasks = tuple(TaskSpec(title="x", agent_id=one) for one in strangers)
        await world.desk.tasks.create(world.call, CreateTasks(tasks=tasks))
    assert looked_for == strangers[:LOOKED_FOR_MAX]


async def test_one_that_is_named_for_many_tasks_is_looked_for_once(world: World, looked_for: list[str]):
    await world.agent("scribe")
    made = await world.desk.tasks.create(world.call, CreateTasks(tasks=(TaskSpec(title="x"),) * 3))
    ids = tuple(one.id for one in made.tasks)
    command = ControlTasks(task_ids=ids, action="assign", agent_id="scrib")
    refused = (await world.desk.tasks.control(world.call, command)).refused
    assert len(refused) == 3 and all("Did you mean 'scribe'?" in one.message for one in refused)
    assert looked_for == ["scrib"]
