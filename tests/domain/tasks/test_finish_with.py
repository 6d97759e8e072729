"""What is to land with the end of a task lands with it, once, or neither does."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.email.commands import FindEmails
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import FinishTask
from mcp_server.domain.tasks.results import ClaimedTask, FinishedTask
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import Conflict, LeaseLost, NotFound, PermissionDenied, ValidationFailed
from tests.world import World, speaking

pytestmark = pytest.mark.anyio

NOTE = ("state_set", {"namespace": "n", "key": "plan", "value": 1, "expected_version": 0})
MAIL = ("email_send", {"to": "ann@example.org", "subject": "s", "text": "t"})
TOLD = ("messages_send", {"to": ["worker"], "body": "done"})


async def finish(
    world: World, claimed: ClaimedTask, *calls: tuple[str, Any], by: Any = None, **more: Any
) -> FinishedTask:
    told = {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"}
    asked = [{"tool": tool, "arguments": arguments} for tool, arguments in calls]
    command = FinishTask.model_validate(told | {"also": asked} | more)
    return await world.desk.tasks.finish_with(by or world.call, command)


async def claimed_one(world: World) -> ClaimedTask:
    worker = await world.agent()
    await world.task()
    return await world.claim_one(worker)


async def test_result_document_message_mail_and_unlocking_land_together_caused_by_the_claim(world: World):
    claimed = await claimed_one(world)
    child = await world.task(depends_on=[claimed.task.id])
    mine = replace(world.call, lease_token=None)
    locked = ("locks_acquire", {"name": "release", "owner": "w"})
    done = await finish(
        world,
        claimed,
        NOTE,
        TOLD,
        MAIL,
        locked,
        ("locks_release", {"name": "release", "owner": "w"}),
        by=mine,
        result={"ok": True},
    )
    assert (done.task.status, done.repeated) == ("completed", False) and done.released == [child.id]
    assert done.also is not None and [next(iter(one)) for one in done.also] == [
        "document",
        "message",
        "email",
        "lock",
        "released",
    ]
    events, _ = await world.desk.events.read(world.call, ReadEvents(type="document.set"))
    (claim,), _ = await world.desk.events.read(world.call, ReadEvents(type="task.claimed"))
    assert events[0].causation_seq == claim.seq


async def test_what_is_refused_beside_it_leaves_the_task_running_and_names_the_call(world: World):
    claimed = await claimed_one(world)
    await world.write("n", "plan", 0)
    with pytest.raises(Conflict, match=r"also\[1\] state_set: You expected version 0"):
        await finish(world, claimed, MAIL, NOTE)
    assert await world.status(claimed.task) == "running"
    assert (await world.desk.emails.find(world.call, FindEmails())).items == []
    assert (await finish(world, claimed, MAIL)).task.status == "completed", "the lease is held as before"


async def test_a_repeated_finish_repeats_nothing_beside_it(world: World):
    claimed = await claimed_one(world)
    child = await world.task(depends_on=[claimed.task.id])
    await world.task()
    first = await finish(world, claimed, TOLD, MAIL, result=1)
    await world.task()
    again = await finish(world, claimed, TOLD, MAIL, result=1)
    assert (again.repeated, again.also, again.released) == (True, None, [child.id])
    assert first.also is not None and again.made == [
        first.also[0]["message"]["id"],
        first.also[1]["email"]["id"],
        first.also[1]["task"]["id"],
    ]
    assert len((await world.desk.emails.find(world.call, FindEmails())).items) == 1
    inbox = await world.desk.messages.read(world.call, ReadMessages(agent_id="worker", unread_only=False))
    assert len(inbox.messages) == 1
    with pytest.raises(Conflict, match="nothing of `also` has landed"):
        await finish(world, claimed, TOLD, result=1)


async def test_a_late_worker_changes_nothing_beside_it_either(world: World):
    claimed = await claimed_one(world)
    world.clock.advance(400)
    await world.settle()
    with pytest.raises(LeaseLost):
        await finish(world, claimed, NOTE)
    with pytest.raises(NotFound):
        await world.read("n", "plan")


async def test_a_failed_attempt_may_tell_of_it(world: World):
    claimed = await claimed_one(world)
    failed = await finish(world, claimed, TOLD, outcome="failed", error={"message": "no", "retryable": False})
    assert failed.task.status == "failed" and failed.also is not None and len(failed.also) == 1


async def test_what_lands_with_a_finish_is_authorised_like_a_call_of_its_own(world: World):
    claimed = await claimed_one(world)
    worker = await world.desk.agents.get(world.call, "worker")
    by = speaking(worker, Role.AGENT)
    with pytest.raises(PermissionDenied, match=r"also\[0\] tasks_control"):
        await finish(world, claimed, ("tasks_control", {"task_ids": [claimed.task.id], "action": "cancel"}), by=by)
    with pytest.raises(ValidationFailed, match=r"also\[0\] state_set.*no such tool is offered here"):
        await finish(world, claimed, NOTE, by=replace(by, tools=frozenset(("tasks_finish",))))
    with pytest.raises(ValidationFailed, match="cannot be one of several calls"):
        await finish(world, claimed, ("commit", {"calls": []}), by=by)
    assert await world.status(claimed.task) == "running"
