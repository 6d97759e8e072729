"""An answer's sentence tells what its reader would look up next: what a restored document is, why a merge did nothing,
why somebody said no, what an edit changed, that a question is withdrawn, since when a lock is held."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval, Vote
from mcp_server.domain.approvals.voting import user_at
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock, FindLocks, ReleaseLock
from mcp_server.domain.state.commands import RestoreDocument, SetDocument
from mcp_server.domain.tasks.commands import ControlTasks, WaitForTasks
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.times import iso
from tests.world import World, caller, speaking
from tools import TOOLS
from tools.approvals import FindResult
from tools.events import read as read_events

pytestmark = pytest.mark.anyio
SAY = {tool.name: tool.say for tool in TOOLS}


async def restored(world: World, version: int) -> Any:
    command = RestoreDocument(namespace="n", key="k", version=version)
    return await world.desk.state.restore(world.call, command)


async def test_a_restored_document_is_said_to_be_which_version_again_and_to_stay_where_it_was_to_end(world: World):
    await world.write("n", "k", 1)
    await world.write("n", "k", 2, ttl_seconds=60)
    ends = iso(world.clock.now + 60_000_000)
    done = await restored(world, 1)
    assert (done.is_again, done.was_to_expire_at, done.document.expires_at) == (1, ends, None)
    said = SAY["state_restore"](done)
    assert said.startswith("n/k is version 1 again, as version 3. It stays for good now; it was to expire at ")
    assert ends in said and "ttl_seconds" in said
    done = await restored(world, 2)
    assert SAY["state_restore"](done) == "n/k is version 2 again, as version 4."
    await world.write("n", "k", 3, ttl_seconds=60)
    world.clock.advance(61)
    assert (await restored(world, 1)).was_to_expire_at is not None, "also of one that has ended so"


async def test_a_merge_says_that_a_list_is_one_part_and_why_there_was_nothing_to_merge(world: World):
    first: dict[str, Any] = {"a/b": {"list": [1]}, "n": 1}
    await world.write("n", "k", first)
    merging: dict[str, Any] = {"namespace": "n", "key": "k", "merge": True, "base_version": 1}

    async def merged(value: Any) -> Any:
        return await world.desk.state.set(world.call, SetDocument(value=value, **merging))

    said = SAY["state_set"](await merged(first | {"n": 2}))
    assert said == ("n/k is at version 2; nothing was to be merged, since nobody has written since base_version.")
    await world.write("n", "k", {"a/b": {"list": [1, 2]}, "n": 2})
    with pytest.raises(Conflict) as refused:
        await merged({"a/b": {"list": [0, 1]}, "n": 3})
    assert ": /a~1b/list (a list counts as one part), /n. " in refused.value.message
    await world.write("n", "k", [1])
    with pytest.raises(Conflict, match=r"the whole document \(a list counts as one part\)"):
        await merged({"n": 3})


@pytest.mark.parametrize("reason", [None, "too risky"])
async def test_a_no_is_told_with_its_reason_or_that_none_was_given(world: World, reason: str | None):
    ann = caller(id="ann")
    asked = await world.desk.approvals.request(
        world.call, RequestApproval(title="t", action="a", approvers=("user:tester",))
    )
    person = world.call
    shown = await world.desk.approvals.shown(person, asked.approval.id)
    vote = Vote(approve=False, reason=reason)
    await world.desk.approvals.decide(person, user_at(person, "command line"), asked.approval.id, vote, shown.seen)
    found = await world.desk.approvals.get(ann, asked.approval.id)
    waited = await world.desk.tasks.wait(ann, WaitForTasks(task_id=asked.approval.task_id, wait_seconds=0))
    said = [SAY["approvals_find"](FindResult(approval=found)), SAY["tasks_wait"](waited)]
    assert all((reason or "no reason was given") in one for one in said), said


async def test_cancelling_a_question_says_that_it_is_withdrawn_and_an_edit_what_it_changed(world: World):
    asked = await world.desk.approvals.request(world.call, RequestApproval(title="t", action="a", approvers=()))
    plain, gated = await world.task(), await world.task(requires_approval=True)
    for task_id in (asked.approval.task_id, gated.id):
        said, task = await controlled(world, task_id, action="cancel")
        assert said == f"1 changed: {task_id} is cancelled, and its question to people is withdrawn."
        assert task.approval == "withdrawn"
    assert (await world.desk.approvals.get(world.call, asked.approval.id)).status == "withdrawn"
    said, _ = await controlled(world, plain.id, action="edit", changes={"title": "u", "kind": "task"})
    assert said == f"1 changed: {plain.id} is queued (title changed)."
    said, _ = await controlled(world, plain.id, action="edit", changes={"title": "u"})
    assert said == f"1 changed: {plain.id} is queued (nothing changed)."
    said, task = await controlled(world, plain.id, action="cancel")
    assert said == f"1 changed: {plain.id} is cancelled." and task.approval is None


async def controlled(world: World, task_id: str, **how: Any) -> tuple[str, Any]:
    done = await world.desk.tasks.control(world.call, ControlTasks.model_validate({"task_ids": [task_id]} | how))
    return SAY["tasks_control"](done), done.tasks[0]


async def test_a_lock_tells_since_when_each_holder_has_it_and_a_new_one_does_not(world: World):
    ann, bob = speaking(await world.agent("ann")), speaking(await world.agent("bob"))
    shared: dict[str, Any] = {"name": "l", "mode": "shared", "ttl_seconds": 600}
    since: list[str] = []
    for call in (ann, bob):
        world.clock.advance(10)
        since.append(iso(world.clock.now))
        taken = await world.desk.locks.acquire(call, AcquireLock(**shared))
        assert taken.lock is not None and taken.lock.since is None
        assert " holds l (shared) with " in SAY["locks_acquire"](taken)
    world.clock.advance(10)
    renewed = await world.desk.locks.acquire(ann, AcquireLock(**shared))
    assert renewed.lock is not None and renewed.lock.since == since[0], "it is the same hold"
    (lock,) = (await world.desk.locks.find(ann, FindLocks())).locks
    assert [hold.since for hold in lock.holders] == since
    refused = await world.desk.locks.acquire(world.call, AcquireLock(name="l"))
    assert [hold.since for hold in refused.held_by or ()] == since
    await world.desk.locks.release(bob, ReleaseLock(name="l", to_agent="ann"))
    (lock,) = (await world.desk.locks.find(ann, FindLocks())).locks
    assert [hold.since for hold in lock.holders] == [iso(world.clock.now)], "who got it has it since then"


async def test_who_waited_for_events_in_vain_is_told_so_and_who_did_not_wait_is_not(world: World):
    end = (await read_events(world.desk, world.call, ReadEvents(limit=100))).cursor
    for seconds in (0, 0.05):
        command = ReadEvents(after=end, type="task.*", wait_seconds=seconds)
        said = SAY["events_read"](await read_events(world.desk, world.call, command))
        assert ("None came while this waited." in said) is (seconds > 0)
