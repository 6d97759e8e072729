"""Who cancels a task hears which of its children go on and what waits for it, with the call that ends these as well."""

import ast
import re
from typing import Any

import pytest

from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.domain.tasks.leftovers import NAMED_MAX
from tests.world import World

pytestmark = pytest.mark.anyio


async def cancel(world: World, *ids: str) -> list[str]:
    """What is remarked on."""
    done = await world.desk.tasks.control(world.call, ControlTasks(task_ids=ids, action="cancel"))
    assert not done.refused
    return done.warnings or []


async def test_a_whole_tree_is_cancelled_by_the_calls_that_answers_name(world: World):
    root = await world.task()
    child, waits, follows = await world.tasks(
        {"parent_id": root.id},
        {"depends_on": [root.id]},
        {"depends_on": [root.id], "on_parent_failure": "cancel"},
    )
    grandchild = await world.task(parent_id=child.id)
    left, ended = [root.id], list[str]()
    while left:
        told = await cancel(world, *left)
        ended += left
        (named,) = re.findall(r"task_ids=(\[.*?\])", told[0]) if told else ["[]"]
        left = ast.literal_eval(named)
        assert not set(left) & set(ended)
    assert sorted(ended) == sorted([root.id, child.id, waits.id, grandchild.id])
    for task in (root, child, waits, follows, grandchild):
        assert await world.status(task) == "cancelled"


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ([{"parent_id": 1}], "a child goes on:"),
        ([{"parent_id": 1}] * 2, "2 children go on:"),
        ([{"depends_on": 1}], "one depends on it and waits for its retry:"),
        (
            [{"parent_id": 1}, {"depends_on": 1}, {"depends_on": 1}],
            "a child goes on and 2 depend on it and wait for its retry:",
        ),
        ([{"parent_id": 1, "depends_on": 1}], "a child goes on:"),
        ([{"parent_id": 1}] * (NAMED_MAX + 5), f"at least {NAMED_MAX} children go on:"),
    ],
)
async def test_what_goes_on_is_counted_in_words(world: World, specs: list[dict[str, Any]], words: str):
    root = await world.task()
    real = {"parent_id": root.id, "depends_on": [root.id]}
    await world.created(*({name: real[name] for name in spec} for spec in specs))
    (told,) = await cancel(world, root.id)
    assert told.startswith(f"of what is cancelled {words}")


async def test_where_nothing_is_left_or_all_of_it_is_cancelled_together_nothing_is_remarked_on(world: World):
    agent = await world.agent()
    root = await world.task()
    child, done = await world.tasks({"parent_id": root.id}, {"parent_id": root.id, "kind": "done"})
    await world.finish(await world.claim_one(agent, kinds=("done",)))
    await world.claim_one(agent)
    assert await cancel(world, root.id, child.id) == [] and await world.status(done) == "completed"
