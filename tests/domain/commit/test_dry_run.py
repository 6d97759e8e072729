"""A dry run of a commit does all of it and undoes it: what would be refused is refused, and nothing is left."""

import asyncio
from typing import Any

import pytest

from mcp_server.domain.events.commands import ReadEvents
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import Conflict, IdempotencyConflict, NotFound, PermissionDenied
from tests.domain.commit.test_commit import MAIL, commit, jobs, note, nothing_landed
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def last_event(world: World) -> str | None:
    return (await world.desk.events.read(world.call, ReadEvents(limit=100)))[1]


async def test_a_dry_run_tells_what_each_call_would_do_and_leaves_no_trace(world: World):
    await world.agent("ann")
    before = await last_event(world)
    message = ("messages_send", {"to": ["ann"], "body": "b"})
    calls = [note(), jobs("first"), jobs("second", depends_on=["@1.0"]), message, MAIL]
    done = await commit(world, *calls, dry_run=True)
    assert (done.dry_run, done.replayed) == (True, None)
    assert [one["tool"] for one in done.results] == [tool for tool, _ in calls]
    assert all(one.keys() == {"tool", "would"} and one["would"] for one in done.results)
    assert "task_" not in str(done.results)
    assert await last_event(world) == before
    await nothing_landed(world)
    assert len((await commit(world, *calls)).results) == len(calls)


async def test_keys_are_not_spent_by_a_dry_run_and_what_landed_under_one_is_told(world: World):
    calls = (note(), jobs("first"))
    for _ in range(2):
        assert (await commit(world, *calls, dry_run=True, idempotency_key="k")).dry_run
    await nothing_landed(world)
    landed = await commit(world, *calls, idempotency_key="k")
    assert (landed.dry_run, landed.replayed) == (None, None)
    assert (await commit(world, *calls, dry_run=True, idempotency_key="k")).replayed
    with pytest.raises(IdempotencyConflict):
        await commit(world, note("other"), dry_run=True, idempotency_key="k")


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_a_commit_would_be_refused_a_dry_run_is_refused_with_the_same_words(world: World, dry_run: bool):
    more: dict[str, Any] = {"dry_run": dry_run}
    with pytest.raises(Conflict, match=r"calls\[1\] state_set: .*Nothing has landed"):
        await commit(world, note(), note(expected_version=7), **more)
    with pytest.raises(NotFound, match=r"calls\[1\] tasks_create"):
        await commit(world, note(), jobs("t", depends_on=["task_aaaaaaaaaaaa"]), **more)
    with pytest.raises(PermissionDenied, match="tasks:control"):
        control = ("tasks_control", {"task_ids": ["task_aaaaaaaaaaaa"], "action": "cancel"})
        await commit(world, note(), control, by=caller(Role.AGENT), **more)
    await nothing_landed(world)


async def test_later_calls_of_a_dry_run_see_what_those_before_would_write(world: World):
    patch = ("state_patch", {"namespace": "n", "key": "plan", "merge_patch": {"step": 2}})
    assert (await commit(world, note(), patch, dry_run=True)).dry_run
    await nothing_landed(world)


async def test_what_others_write_beside_a_dry_run_lands(world: World):
    async def other(number: int) -> None:
        await world.write("other", f"k{number}", number)

    async def dry(number: int) -> None:
        assert (await commit(world, note(), jobs(str(number)), dry_run=True)).dry_run

    await asyncio.gather(*(one(number) for number in range(8) for one in (other, dry)))
    assert [(await world.read("other", f"k{number}")).value for number in range(8)] == list(range(8))
    await nothing_landed(world)
