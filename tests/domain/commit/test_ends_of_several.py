"""Ends of several attempts as one call among others: all of them land, or none."""

from typing import Any

import pytest

from mcp_server.domain.tasks.commands import FinishTask
from mcp_server.domain.tasks.results import ClaimedTask
from mcp_server.kernel.errors import LeaseLost, NotFound, ValidationFailed
from tests.domain.commit.test_commit import commit, note
from tests.world import World

pytestmark = pytest.mark.anyio


def ended(claimed: ClaimedTask, **said: Any) -> dict[str, Any]:
    return {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"} | said


async def claimed(world: World, count: int) -> list[ClaimedTask]:
    worker = await world.agent()
    await world.created(*({} for _ in range(count)))
    return await world.claim(worker, max_tasks=count)


async def test_several_ends_are_one_call_and_later_calls_count_it_as_one(world: World):
    one, two = await claimed(world, 2)
    last = await world.task(depends_on=[one.task.id, two.task.id])
    done = await commit(
        world,
        ("tasks_finish", {"tasks": [ended(one, result={"n": 1}), ended(two)]}),
        ("tasks_create", {"tasks": [{"title": "next"}]}),
        ("tasks_create", {"tasks": [{"title": "after", "depends_on": ["@1.0"]}]}),
    )
    ends, following, after = done.results
    assert [task["status"] for task in ends["tasks"]] == ["completed", "completed"]
    assert ends["released"] == [last.id]
    task = await world.desk.tasks.get(world.call, after["tasks"][0]["id"])
    assert task.depends_on == [following["tasks"][0]["id"]]
    assert (await world.desk.tasks.get(world.call, one.task.id)).result == {"n": 1}


async def test_where_one_of_several_ends_is_refused_none_of_them_and_no_other_call_lands(world: World):
    one, two = await claimed(world, 2)
    stale = ended(two, lease_token="lease_of_another")
    with pytest.raises(LeaseLost, match=rf"calls\[1\] tasks_finish: .*{two.task.id}.*Nothing has landed"):
        await commit(world, note(), ("tasks_finish", {"tasks": [ended(one), stale]}))
    assert (await world.desk.tasks.get(world.call, one.task.id)).status == "running"
    with pytest.raises(NotFound):
        await world.read("n", "plan")
    assert (await world.finish(one)).repeated is False


async def test_several_ends_land_with_the_end_of_another_attempt(world: World):
    one, two, three = await claimed(world, 3)
    also = {"tool": "tasks_finish", "arguments": {"tasks": [ended(one), ended(two)]}}
    done = await world.desk.tasks.finish_with(world.call, FinishTask.model_validate(ended(three, also=[also])))
    assert done.also is not None
    assert [task["status"] for task in done.also[0]["tasks"]] == ["completed", "completed"]


async def test_a_refusal_to_be_one_of_several_gives_one_advice(world: World):
    (one,) = await claimed(world, 1)
    also = [{"tool": "state_set", "arguments": note()[1]}]
    with pytest.raises(ValidationFailed, match="Put the calls of its `also` here") as refused:
        await commit(world, ("tasks_finish", ended(one, also=also)))
    assert "on its own" not in refused.value.message
