"""People say yes to a change of what is there: a document that was changed meanwhile is not written over."""

from typing import Any

import pytest

from tests.domain.approvals.test_calls import ANN, asked, found, work
from tests.world import World

pytestmark = pytest.mark.anyio

AT = {"namespace": "n", "key": "plan"}
SET = ("state_set", AT | {"value": {"step": 9}})


async def decided(world: World, approval_id: str) -> str:
    await world.decide(ANN, approval_id, True)
    await work(world)
    return (await found(world, approval_id)).status


@pytest.mark.parametrize(
    "call",
    [
        SET,
        ("state_set", AT | {"delete": True}),
        ("state_patch", AT | {"merge_patch": {"step": 9}}),
        ("state_restore", AT | {"version": 1}),
    ],
    ids=lambda call: call[0],
)
async def test_a_document_that_moved_since_asking_makes_the_approval_stale(world: World, call: Any):
    await world.write("n", "plan", {"step": 1})
    await world.write("n", "plan", {"step": 2})
    approval = await asked(world, call)
    (shown,) = approval.calls or ()
    assert shown["arguments"]["expected_version"] == 2 and shown["says"].endswith("only if it is at version 2.")
    await world.write("n", "plan", {"step": 3})
    assert await decided(world, approval.id) == "stale"
    assert (await world.read("n", "plan")).value == {"step": 3}


async def test_a_document_that_nobody_touched_is_written(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, SET)
    assert await decided(world, approval.id) == "approved"
    assert (await world.read("n", "plan")).value == {"step": 9}


async def test_a_document_that_there_was_not_at_asking_is_not_written_over(world: World):
    approval = await asked(world, SET)
    assert (approval.calls or [])[0]["says"].endswith(", only if it does not exist yet.")
    await world.write("n", "plan", {"step": 1})
    assert await decided(world, approval.id) == "stale"


async def test_calls_on_one_document_after_each_other_are_bound_by_the_first(world: World):
    await world.write("n", "plan", {"step": 1})
    calls = [SET, ("state_patch", AT | {"merge_patch": {"more": True}})]
    approval = await asked(world, *calls)
    assert await decided(world, approval.id) == "approved"
    assert (await world.read("n", "plan")).value == {"step": 9, "more": True}


async def test_who_merges_takes_what_others_wrote_since(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, ("state_set", AT | {"value": {"step": 9}, "merge": True, "base_version": 1}))
    await world.write("n", "plan", {"step": 1, "theirs": True})
    assert await decided(world, approval.id) == "approved"
    assert (await world.read("n", "plan")).value == {"step": 9, "theirs": True}


async def test_the_version_that_is_asked_for_stays(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, ("state_set", SET[1] | {"expected_version": 1}))
    assert (approval.calls or [])[0]["arguments"]["expected_version"] == 1


@pytest.mark.parametrize("moves", [False, True])
async def test_a_copy_is_of_what_people_were_shown_or_stale(world: World, moves: bool):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, ("state_set", {"namespace": "n", "key": "copy", "copy_of": "n/plan"}))
    assert "as a copy of document n/plan" in (approval.calls or [])[0]["says"]
    if moves:
        await world.write("n", "plan", {"step": 2})
    assert await decided(world, approval.id) == ("stale" if moves else "approved")
    if not moves:
        assert (await world.read("n", "copy")).value == {"step": 1}
