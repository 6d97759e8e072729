"""A lease binds: its token is a secret, belongs to one claim, and is a condition of whatever names it."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.commands import InstanceSpec, Register
from mcp_server.domain.approvals.model import RequestApproval
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.locks.model import AcquireLock
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.speaking import Said, Voices
from mcp_server.domain.state.commands import SetDocument
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, CreateTasks, FindTasks, FinishTask, ReportTask
from mcp_server.domain.tasks.spec import TaskSpec
from mcp_server.kernel.authority import Role, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import LeaseLost, PermissionDenied
from mcp_server.kernel.times import SECOND, iso
from tests.world import World, caller, speaking

pytestmark = pytest.mark.anyio


def under(call: Call, token: str) -> Call:
    return replace(call, lease_token=token)


async def every_write(world: World, call: Call, to: str) -> dict[str, Any]:
    """What each kind of write answers, the refusal where it is refused."""
    desk = world.desk
    other = await world.agent("bystander")
    paused, _ = await world.tasks({"kind": "other"}, {"kind": "other"})
    writes = {
        "tasks_create": (desk.tasks.create, CreateTasks(tasks=(TaskSpec(title="late"),))),
        "tasks_control": (desk.tasks.control, ControlTasks(task_ids=(paused.id,), action="pause")),
        "tasks_claim": (desk.tasks.claim, ClaimTasks(agent_id=other.id, kinds=("other",))),
        "state_set": (desk.state.set, SetDocument(namespace="late", key="k", value=1)),
        "locks_acquire": (desk.locks.acquire, AcquireLock(name="late", owner="late")),
        "locks_wait": (desk.locks.acquire, AcquireLock(name="late", owner="late", wait_seconds=0.05)),
        "messages_send": (desk.messages.send, SendMessage(to=(to,), body="late")),
        "email_send": (desk.emails.send, SendEmail(to=("a@example.org",), subject="late", text="late")),
        "approvals_request": (desk.approvals.request, RequestApproval(title="late", action="a", approvers=())),
    }
    answers: dict[str, Any] = {}
    for name, (write, command) in writes.items():
        try:
            answers[name] = await write(call, command)
        except LeaseLost as refused:
            answers[name] = refused
    return answers


async def test_a_late_worker_changes_nothing_anywhere(world: World):
    agent = await world.agent()
    other = await world.agent("other")
    task = await world.task()
    claimed = await world.claim_one(agent, lease_seconds=30)
    world.clock.advance(31)
    before = len(await world.events())
    answers = await every_write(world, under(world.call, claimed.lease_token), other.id)
    assert {name: type(answer) for name, answer in answers.items()} == dict.fromkeys(answers, LeaseLost)
    made = (await world.events())[before:]
    assert [event for event in made if not event.startswith("agent.")] == ["task.created"] * 2, (
        "only what the test made"
    )
    assert (await world.desk.tasks.get(world.call, task.id)).attempt == 1, "the fence for outside systems stays visible"


async def test_what_is_written_under_a_lease_that_is_held_is_caused_by_its_claim(world: World):
    agent = await world.agent()
    other = await world.agent("other")
    task = await world.task()
    claimed = await world.claim_one(agent)
    answers = await every_write(world, under(world.call, claimed.lease_token), other.id)
    assert not [name for name, answer in answers.items() if isinstance(answer, LeaseLost)]
    events, _ = await world.desk.events.read(world.call, ReadEvents(limit=100))
    (lease,) = [event.seq for event in events if event.type == "task.claimed" and event.aggregate_id == task.id]
    for kind in ("document.set", "lock.acquired", "message.sent", "email.queued", "approval.requested", "task.paused"):
        causes = {event.causation_seq for event in events if event.type == kind}
        assert causes == {lease}, kind


async def test_a_lease_ends_with_its_task_and_with_every_way_to_lose_it(world: World):
    agent = await world.agent(capacity=5)
    ends = {
        "finished": lambda claimed: world.finish(claimed),
        "failed": lambda claimed: world.finish(claimed, error={"message": "m"}),
        "terminated": lambda claimed: world.database.write(hand_back_all, agent.id),
    }
    from mcp_server.domain.tasks.transactions import hand_back

    def hand_back_all(tx: Any, agent_id: str) -> None:
        hand_back(tx, world.desk.context.origin(world.call), agent_id, "gone")

    for how, end in ends.items():
        await world.task()
        claimed = await world.claim_one(agent)
        write = SetDocument(namespace="n", key=how, value=1)
        await world.desk.state.set(under(world.call, claimed.lease_token), write)
        await end(claimed)
        with pytest.raises(LeaseLost):
            await world.desk.state.set(under(world.call, claimed.lease_token), write)


async def test_one_tasks_token_ends_no_other_and_what_can_be_guessed_ends_none(world: World):
    agent = await world.agent(capacity=5)
    await world.tasks({}, {})
    one, two = await world.claim(agent, max_tasks=2)
    assert len({one.lease_token, two.lease_token}) == 2
    for token in (one.lease_token, str(two.attempt), two.task.id, "0"):
        with pytest.raises(LeaseLost):
            command = FinishTask(task_id=two.task.id, lease_token=token, outcome="completed")
            await world.desk.tasks.finish(world.call, command)
    assert await world.status(two.task) == "running"


async def test_a_token_is_kept_nowhere_but_as_its_hash(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent)
    (resumed,) = await world.claim(agent, resume=True)
    await world.finish(resumed, result="done")
    rows = [*await world.database.fetch_all("tasks_find", limit=10)]
    events, _ = await world.desk.events.read(world.call, ReadEvents(limit=100))
    stored = repr(rows) + repr(events)
    assert claimed.lease_token not in stored and resumed.lease_token not in stored


async def test_resuming_gives_fresh_tokens_for_what_is_held_and_keeps_the_attempts(world: World):
    agent = await world.agent(capacity=5)
    await world.tasks({}, {}, {})
    held = await world.claim(agent, max_tasks=2, lease_seconds=30)
    world.clock.advance(20)
    resumed = await world.claim(agent, resume=True, lease_seconds=60)
    assert [(one.task.id, one.attempt) for one in resumed] == [(one.task.id, one.attempt) for one in held]
    assert not {one.lease_token for one in resumed} & {one.lease_token for one in held}
    with pytest.raises(LeaseLost):
        await world.finish(held[0])
    world.clock.advance(40)
    for one in resumed:
        assert (await world.finish(one)).task.status == "completed"
    assert await world.claim(agent, resume=True) == [], "nothing is taken up by it"


async def test_one_instance_resumes_its_own_leases_and_leaves_those_of_others(world: World):
    agent, mine = await world.instance("a", "mine")
    _, other = await world.instance("a", "other")
    await world.tasks({}, {})
    own = await world.claim_one(agent, instance_id=mine)
    theirs = await world.claim_one(agent, instance_id=other)
    (resumed,) = await world.claim(agent, resume=True, instance_id=mine)
    assert resumed.task.id == own.task.id
    assert (await world.finish(theirs)).task.status == "completed"


async def test_a_lease_that_ran_out_is_not_resumed(world: World):
    agent = await world.agent()
    await world.task()
    await world.claim_one(agent, lease_seconds=30)
    world.clock.advance(31)
    assert await world.claim(agent, resume=True) == []


async def test_a_lease_gives_a_speaker_only_to_who_may_speak_as_its_holder(world: World):
    agent = await world.agent("holder")
    await world.task()
    claimed = await world.claim_one(agent)
    voices = world.desk.get(Voices)
    said = Said(lease_token=claimed.lease_token)
    spoken = await voices.of(world.call, said, local=False)
    assert (spoken.label, spoken.lease_token) == ("agent:holder via user:tester", claimed.lease_token)
    for stranger in (caller(Role.AGENT, id="stranger"), caller(Role.AGENT, "agent", (await world.agent("b")).id)):
        with pytest.raises(PermissionDenied, match="cannot speak as holder"):
            await world.desk.state.set(
                under(stranger, claimed.lease_token), SetDocument(namespace="n", key="k", value=1)
            )
    with pytest.raises(PermissionDenied):
        await voices.of(caller(Role.AGENT, id="stranger"), said, local=False)


async def test_a_report_and_a_finish_are_made_by_who_holds_the_lease(world: World):
    agent = await world.agent("holder")
    await world.task()
    claimed = await world.claim_one(agent)
    call = replace(world.call, speaker=Speaker(agent.id, agent.name))
    await world.desk.tasks.report(call, ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token))
    events, _ = await world.desk.events.read(world.call, ReadEvents(type="task.reported"))
    assert [event.actor for event in events] == ["agent:holder via user:tester"]


async def test_a_repeated_finish_is_the_same_whatever_the_order_of_its_keys_or_the_form_of_its_numbers(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent)
    assert not (await world.finish(claimed, result={"a": 1, "b": [1.0, {"c": None}]})).repeated
    again = await world.finish(claimed, result={"b": [1, {"c": None}], "a": 1.0})
    kept = await world.desk.tasks.get(world.call, claimed.task.id)
    assert again.repeated and kept.result == {"a": 1, "b": [1.0, {"c": None}]}
    with pytest.raises(LeaseLost):
        await world.finish(claimed, result={"a": 2})


async def test_neither_a_report_nor_a_fresh_token_cuts_a_lease_short(world: World):
    agent = await world.agent()
    await world.task()
    claimed = await world.claim_one(agent, lease_seconds=3600)

    async def report(token: str, seconds: float | None) -> str:
        command = ReportTask(task_id=claimed.task.id, lease_token=token, extend_seconds=seconds)
        return (await world.desk.tasks.report(world.call, command)).lease_expires_at

    world.clock.advance(10)
    assert await report(claimed.lease_token, 600) == claimed.lease_expires_at
    longer = await report(claimed.lease_token, 7200)
    assert longer > claimed.lease_expires_at
    assert await report(claimed.lease_token, None) == longer
    (again,) = await world.claim(agent, resume=True, lease_seconds=60)
    assert again.lease_expires_at == longer


async def test_a_report_does_not_keep_what_a_clock_that_was_ahead_has_said_of_a_lease(world: World):
    agent = await world.agent()
    await world.task()
    world.clock.set(40 * 86_400)
    claimed = await world.claim_one(agent, lease_seconds=300)
    world.clock.set(-40 * 86_400)
    command = ReportTask(task_id=claimed.task.id, lease_token=claimed.lease_token)
    reported = await world.desk.tasks.report(world.call, command)
    assert reported.lease_expires_at == iso(world.clock.now + 300 * SECOND)


async def test_of_anothers_lease_is_told_when_its_holder_was_last_heard_of(world: World):
    agent, instance_id = await world.instance("other")
    quiet = await world.agent("quiet")
    tasks = await world.tasks({}, {}, {})
    await world.claim_one(agent, instance_id=instance_id, lease_seconds=300)
    await world.claim_one(agent, lease_seconds=300)
    await world.claim_one(quiet, lease_seconds=300)
    world.clock.advance(12)
    await world.desk.agents.register(world.call, Register(name="other", instance=InstanceSpec(label="another")))
    for call, told in ((world.call, {12, 0, None}), (speaking(agent), {None})):
        found = (await world.desk.tasks.find(call, FindTasks())).items
        assert {one.lease and one.lease.last_seen_seconds_ago for one in found} == told
        assert [one.lease and one.lease.agent for one in found] == ["quiet", "other", "other"]
        alone = [await world.desk.tasks.get(call, task.id) for task in tasks]
        assert {one.id: one.lease for one in alone} == {one.id: one.lease for one in found}
