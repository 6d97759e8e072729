"""A claim that is given nothing says why, whatever kinds it names."""

import pytest

from mcp_server.domain.tasks.commands import ClaimTasks
from tests.world import World
from tools import tasks

pytestmark = pytest.mark.anyio


async def test_who_resumes_and_holds_nothing_is_told_so_also_where_kinds_are_named(world: World):
    agent = await world.agent()
    await world.task(kind="build")
    for kinds in (None, ("build",)):
        told = await tasks.claim(world.desk, world.call, ClaimTasks(agent_id=agent.id, resume=True, kinds=kinds))
        assert not told.claims and "so there is nothing to resume" in (told.no_more_because or "")


async def test_who_claims_a_kind_that_nothing_has_is_told_which_there_are(world: World):
    agent = await world.agent()
    await world.task(kind="build")
    told = await tasks.claim(world.desk, world.call, ClaimTasks(agent_id=agent.id, kinds=("biuld",)))
    assert not told.claims and "Did you mean 'build'?" in (told.no_more_because or "")
