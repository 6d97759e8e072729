"""An agent that leaves keeps nothing: it says what it holds and stays, or hands all of it over."""

from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.agents.views import ControlledAgent
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock, FindLocks
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.errors import Conflict, InvalidTransition, LimitExceeded, NotFound
from mcp_server.kernel.times import iso
from mcp_server.upkeep.replay import replay
from tests.world import World, speaking

pytestmark = pytest.mark.anyio


async def leave(world: World, agent: str, action: Any = "terminate", **more: Any) -> ControlledAgent:
    return await world.desk.agents.control(world.call, ControlAgent(agent_id=agent, action=action, **more))


async def assign(world: World, task: Any, agent: str | None) -> Any:
    command = ControlTasks(task_ids=(task.id,), action="assign", agent_id=agent)
    return await world.desk.tasks.control(world.call, command)


async def test_one_that_holds_nothing_leaves_at_once_and_what_it_runs_goes_back_to_the_queue(world: World):
    agent = await world.agent("a")
    task = await world.task()
    await world.claim_one(agent)
    assert (await leave(world, "a")).requeued == [task.id]
    assert (await leave(world, "a", "delete")).agent.id == agent.id


async def test_one_that_is_put_to_rest_is_told_what_it_keeps_meanwhile(world: World):
    ann = await world.agent("ann")
    await world.desk.locks.acquire(speaking(ann), AcquireLock(name="build"))
    task = await world.task(agent_id="ann")
    kept = {"locks": {"total": 1, "which": ["build"]}, "pinned_tasks": {"total": 1, "which": [task.id]}}
    assert (await leave(world, "ann", "drain")).holds == kept
    assert (await leave(world, "ann", "pause")).holds == kept
    assert (await leave(world, "ann", "resume")).holds is None


async def test_one_with_pinned_tasks_says_so_and_stays(world: World):
    agent = await world.agent("a")
    tasks = await world.tasks({"agent_id": "a"}, {"agent_id": "a"})
    before = len(await world.events())
    with pytest.raises(Conflict, match="2 pinned tasks") as refused:
        await leave(world, "a")
    holds = refused.value.details["holds"]["pinned_tasks"]
    assert (holds["total"], sorted(holds["which"])) == (2, sorted(task.id for task in tasks))
    assert (await world.desk.agents.get(world.call, agent.id)).status != "terminated"
    assert len(await world.events()) == before, "nothing was changed"


async def test_one_that_holds_one_thing_says_so_in_the_singular(world: World):
    await world.agent("a")
    await world.task(agent_id="a")
    with pytest.raises(Conflict, match="holds 1 pinned task, which"):
        await leave(world, "a")


async def test_all_that_is_pinned_goes_to_who_takes_over_running_and_waiting_and_dead_alike(world: World):
    agent, heir = await world.agent("a"), await world.agent("heir")
    queued, running, dead, done = await world.tasks(*[{"agent_id": "a", "retry": {"max_attempts": 1}}] * 4)
    schedule = await world.task(agent_id="a", schedule={"cron": "0 0 * * *"})
    claims = {one.task.id: one for one in await world.claim(agent, max_tasks=4)}
    await world.finish(claims[dead.id], error={"message": "m"})
    await world.finish(claims[done.id])
    left = await leave(world, "a", to_agent="heir")
    assert sorted(left.requeued) == sorted([queued.id, running.id])
    assert left.handed_over is not None and left.handed_over["pinned_tasks"]["total"] == 4
    for task in (queued, running, dead, schedule):
        assert (await world.desk.tasks.get(world.call, task.id)).agent_id == heir.id
    assert (await world.desk.tasks.get(world.call, done.id)).agent_id == agent.id, "what is done stays as it was"
    taken = await world.claim(heir, max_tasks=5)
    assert sorted(one.task.id for one in taken) == sorted([queued.id, running.id])
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(dead.id,), action="retry"))
    assert (await world.claim_one(heir)).task.id == dead.id
    await leave(world, "a", "delete")


async def test_the_heir_must_be_there_and_another(world: World):
    await world.agent("a")
    gone = await world.agent("gone")
    await leave(world, gone.id)
    for heir, refusal in (("gone", InvalidTransition), ("a", InvalidTransition), ("nobody", NotFound)):
        with pytest.raises(refusal):
            await leave(world, "a", to_agent=heir)
    with pytest.raises(ValueError, match="to_agent"):
        ControlAgent(agent_id="a", action="resume", to_agent="b")
    assert (await world.desk.agents.get(world.call, "a")).status == "initializing"


@pytest.mark.parametrize("action", ["pause", "drain"])
async def test_one_that_rests_hands_over_what_it_holds_and_finishes_what_it_is_at(world: World, action: Any):
    agent, heir = await world.agent("a"), await world.agent("heir")
    running, waiting, again = await world.tasks({"agent_id": "a"}, {"agent_id": "a"}, {"agent_id": "a"})
    claim = next(one for one in await world.claim(agent) if one.task.id == running.id)
    await world.desk.locks.acquire(speaking(agent), AcquireLock(name="docs"))
    rested = await leave(world, "a", action, to_agent="heir", reason="on leave")
    assert rested.agent.status == "maintenance" and rested.requeued == []
    assert rested.handed_over is not None and rested.holds is not None
    assert {what: one["total"] for what, one in rested.handed_over.items()} == {"pinned_tasks": 3}
    assert rested.holds.keys() == {"locks"}, "which may be what its task needs"
    await world.finish(claim)
    await leave(world, "a", "resume")
    rested = await leave(world, "a", action, to_agent="heir", reason="on leave")
    assert rested.holds is None and rested.handed_over is not None and rested.handed_over.keys() == {"locks"}
    assert {one.task.id for one in await world.claim(heir, max_tasks=3)} == {waiting.id, again.id}
    (lock,) = (await world.desk.locks.find(world.call, FindLocks())).locks
    assert [one.owner for one in lock.holders] == ["agent:heir via user:tester"]
    read = ReadEvents(type="agent.*", newest_first=True, limit=1)
    assert (await world.desk.events.read(world.call, read))[0][0].data["to_agent"] == heir.id
    assert replay(world.url).differences == ()


async def test_the_heir_of_open_questions_finds_them_in_its_inbox(world: World):
    ann, heir = await world.agent("ann"), await world.agent("heir")
    put = {"title": "Delete the backups?", "action": "a", "approvers": ["cy"], "expires_in_seconds": 60}
    request = RequestApproval.model_validate(put)
    asked = (await world.desk.approvals.request(speaking(ann), request)).approval
    await leave(world, "ann", to_agent="heir", reason="on leave")
    (told,) = (await world.desk.messages.read(speaking(heir), ReadMessages())).messages
    assert told.sender == "user:tester" and told.subject == "Open questions of ann are yours now"
    line = f'{asked.id} "Delete the backups?" (task_id {asked.task_id}), asked of cy, open until {asked.expires_at}'
    assert line in told.body and 'The reason: "on leave".' in told.body
    assert "approvals_request(task_id=...)" in told.body
    assert replay(world.url).differences == ()


async def test_who_takes_over_no_question_is_sent_nothing(world: World):
    await world.agent("ann")
    heir = await world.agent("heir")
    await world.task(agent_id="ann")
    await leave(world, "ann", to_agent="heir")
    assert (await world.desk.messages.read(speaking(heir), ReadMessages())).messages == []


async def test_so_much_that_all_others_would_wait_for_it_is_not_handed_over_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mcp_server.domain.agents.transactions.HANDED_OVER_MAX", 2)
    await world.agent("a")
    await world.agent("heir")
    tasks = await world.tasks(*[{"agent_id": "a"}] * 3)
    before = len(await world.events())
    with pytest.raises(LimitExceeded, match="holds 3 pinned tasks; at most 2 of a kind"):
        await leave(world, "a", to_agent="heir")
    assert len(await world.events()) == before, "nothing was changed"
    await assign(world, tasks[0], "heir")
    assert (await leave(world, "a", to_agent="heir")).handed_over is not None


async def test_nothing_new_is_pinned_to_one_that_has_left(world: World):
    await world.agent("a")
    task = await world.task()
    await leave(world, "a")
    with pytest.raises(InvalidTransition, match="terminated"):
        await world.task(agent_id="a")
    assert (await assign(world, task, "a")).refused[0].code == "invalid_transition"


async def test_a_dead_letter_of_one_that_has_left_is_not_retried_for_nobody_but_can_be_assigned(world: World):
    agent = await world.agent("a")
    task = await world.task(agent_id="a", retry={"max_attempts": 1})
    await world.finish(await world.claim_one(agent), error={"message": "m"})
    await leave(world, "a")
    retry = ControlTasks(task_ids=(task.id,), action="retry")
    refused = (await world.desk.tasks.control(world.call, retry)).refused
    assert refused is not None and "there no more" in refused[0].message
    await assign(world, task, None)
    await world.desk.tasks.control(world.call, retry)
    anybody = await world.agent("b")
    assert (await world.claim_one(anybody)).task.id == task.id


async def test_a_task_is_assigned_by_name_to_another_agent_or_to_anybody(world: World):
    one, two = await world.agent("one"), await world.agent("two")
    task = await world.task(agent_id="one")
    assert await world.claim(two) == []
    assert (await assign(world, task, "two")).tasks[0].agent_id == two.id
    assert await world.claim(one) == []
    await assign(world, task, None)
    assert (await world.claim_one(one)).task.id == task.id
    assert (await assign(world, task, "two")).tasks[0].status == "queued", "taken from who works on it"
    await world.finish(await world.claim_one(two))
    assert (await assign(world, task, "one")).refused[0].code == "invalid_transition", "it is done"


async def test_candidates_for_a_task_are_never_agents_that_have_left(world: World):
    await world.agent("gone", skills=("py",))
    await world.agent("here", skills=("py",))
    await leave(world, "gone")
    found = await world.desk.agents.candidates(world.call, None, ["py"])
    assert [agent.name for agent in found] == ["here"]


async def test_what_was_handed_over_tells_its_heir_by_whom_and_why(world: World):
    ann = speaking(await world.agent("ann"))
    bob = await world.agent("bob")
    await world.desk.locks.acquire(ann, AcquireLock(name="build"))
    task = await world.task(agent_id="ann")
    assert task.handed_over is None
    await leave(world, "ann", to_agent="bob", reason="on leave")
    told = (await world.desk.tasks.get(world.call, task.id)).handed_over
    assert told == {"by": "user:tester", "at": iso(world.clock()), "reason": "on leave"}
    events = (await world.desk.events.read(world.call, ReadEvents(aggregate_id="build", limit=9)))[0]
    assert [one.data.get("reason") for one in events] == [None, "on leave"]
    await assign(world, task, None)
    assert (await world.desk.tasks.get(world.call, task.id)).handed_over is None, "it is anybody's"
    await assign(world, task, bob.id)
    assert (await world.desk.tasks.get(world.call, task.id)).handed_over == {"by": "user:tester", "at": told["at"]}
    assert replay(world.url).differences == ()


async def test_the_events_of_one_that_left_name_who_took_over(world: World):
    gone, heir = await world.agent("a"), await world.agent("b")
    await world.task(agent_id="a")
    await leave(world, "a", to_agent="b")
    await leave(world, "a", "resume")
    await leave(world, "a")
    await leave(world, "a", "delete", to_agent="b")
    read = ReadEvents(aggregate_id=gone.id, limit=100)
    told = [(one.type, one.data.get("to_agent")) for one in (await world.desk.events.read(world.call, read))[0]]
    ends = [one for one in told if one[0] in ("agent.terminated", "agent.deleted")]
    assert ends == [("agent.terminated", heir.id), ("agent.terminated", None), ("agent.deleted", heir.id)]
    assert replay(world.url).differences == ()
