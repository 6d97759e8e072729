"""A question with choices, or in one's own words, that a task waits for: its answer comes with the claim."""

from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval
from mcp_server.domain.approvals.views import RequestedApproval
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded, NotFound, PermissionDenied
from mcp_server.upkeep.replay import replay
from tests.domain.approvals.test_calls import ANN, answer, work
from tests.world import World, caller
from tools.approvals import TOOLS

pytestmark = pytest.mark.anyio

approvals_request: Any = next(tool for tool in TOOLS if tool.name == "approvals_request")
WHERE = {"title": "Where to?", "approvers": ["ann"], "choices": ["cold storage", "the bin"]}


async def put(world: World, call: Any = None, **more: Any) -> RequestedApproval:
    command = RequestApproval.model_validate(WHERE | more)
    return await world.desk.approvals.request(call or world.call, command)


async def claimed(world: World, agent: str) -> list[Any]:
    return list((await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent))).claims)


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_queued_task_waits_for_the_answer_and_is_given_it_with_its_claim(world: World, is_paused: bool):
    agent, task = await world.agent("mover"), await world.task(title="Move the backups")
    if is_paused:
        command = ControlTasks.model_validate({"task_ids": [task.id], "action": "pause"})
        await world.desk.tasks.control(world.call, command)
    asked = await put(world, task_id=task.id)
    assert asked.waiting_task_id == task.id != asked.approval.task_id
    if is_paused:
        assert (await world.desk.tasks.get(world.call, task.id)).status == "paused"
        command = ControlTasks.model_validate({"task_ids": [task.id], "action": "resume"})
        await world.desk.tasks.control(world.call, command)
    assert (await world.desk.tasks.get(world.call, task.id)).status == "pending"
    assert await claimed(world, agent.id) == []
    await answer(world, "ann", asked.approval.id, approve=True, choice="the bin")
    await work(world)
    (taken,) = await claimed(world, agent.id)
    (parent,) = taken.parents
    assert parent.result == {"answer": "the bin", "answered_by": ["ann"]}
    assert replay(world.url).differences == ()


async def test_after_a_no_the_task_does_not_run(world: World):
    task = await world.task(on_parent_failure="run_anyway")
    asked = await put(world, task_id=task.id)
    await world.decide(ANN, asked.approval.id, False, "neither")
    assert (await world.desk.tasks.get(world.call, task.id)).status == "cancelled"
    assert replay(world.url).differences == ()


async def test_the_key_of_a_question_lets_the_task_wait_once(world: World):
    task = await world.task()
    first = await put(world, task_id=task.id, idempotency_key="k")
    again = await put(world, task_id=task.id, idempotency_key="k")
    assert again.approval.id == first.approval.id
    assert (await world.desk.tasks.get(world.call, task.id)).depends_on == [first.approval.task_id]


@pytest.mark.parametrize("is_decided", [False, True])
async def test_a_question_repeated_under_its_key_says_that_the_task_which_was_to_wait_has_ended(
    world: World, is_decided: bool
):
    task = await world.task()
    await put(world, task_id=task.id, idempotency_key="k")
    ends = ControlTasks.model_validate({"task_ids": [task.id], "action": "cancel"})
    await world.desk.tasks.control(world.call, ends)
    if is_decided:
        asked = await put(world, task_id=task.id, idempotency_key="k")
        await answer(world, "ann", asked.approval.id, approve=True, choice="the bin")
    again = await put(world, task_id=task.id, idempotency_key="k")
    said = approvals_request.say(again)
    assert f"{task.id}{'' if is_decided else ', which was to wait for the answer,'} is cancelled." in said
    assert again.waiting_task_id is None and "its claim brings it" not in said


async def test_a_question_repeated_under_its_key_says_what_waits_for_it_or_went_on(world: World):
    task = await world.task()
    first = await put(world, task_id=task.id, idempotency_key="k")
    again = await put(world, task_id=task.id, idempotency_key="k")
    assert again.waiting_task_id == task.id and "its claim brings it" in approvals_request.say(again)
    await answer(world, "ann", first.approval.id, approve=True, choice="the bin")
    await work(world)
    (told,) = (await put(world, task_id=task.id, idempotency_key="k")).approval.waiting or ()
    assert (told.id, told.status) == (task.id, "queued")


async def test_whether_a_task_may_start_repeated_under_its_key_says_how_it_stands(world: World):
    task = await world.task()
    plain = {"title": "Start?", "action": "start", "approvers": ["ann"], "choices": [], "task_id": task.id}
    first = await put(world, **plain, idempotency_key="k")
    again = await put(world, **plain, idempotency_key="k")
    assert (again.approval.id, again.waiting_task_id) == (first.approval.id, None)
    await world.decide(ANN, first.approval.id, True)
    said = approvals_request.say(await put(world, **plain, idempotency_key="k"))
    assert f"{task.id} can be claimed now." in said


async def test_a_question_asked_twice_for_a_task_is_asked_once_and_reminds(world: World):
    task = await world.task()
    first = await put(world, task_id=task.id)
    again = await put(world, task_id=task.id)
    assert (again.approval.id, again.approval.reminded, again.waiting_task_id) == (first.approval.id, True, task.id)
    once_more = await put(world, task_id=first.approval.task_id)
    assert once_more.approval.id == first.approval.id and once_more.approval.reminded is None
    assert "and reminded once since" in " ".join(once_more.warnings or ())
    assert (await world.desk.tasks.get(world.call, task.id)).depends_on == [first.approval.task_id]
    with pytest.raises(PermissionDenied, match="differs in choices"):
        await put(world, task_id=first.approval.task_id, choices=["here", "there"])
    assert replay(world.url).differences == ()


async def test_a_question_asked_twice_is_remarked_on_until_it_is_answered(world: World):
    first = await put(world)
    said = " ".join((await put(world)).warnings or ())
    assert f"{first.approval.id} asks the same" in said and f"task_id='{first.approval.task_id}'" in said
    other = await put(world, choices=["here", "there"])
    stranger = await put(world, call=ANN)
    assert "asks the same" not in " ".join(w for one in (first, other, stranger) for w in one.warnings or ())


async def test_people_read_which_task_waits_for_their_answer(world: World):
    task = await world.task(title="Move the backups")
    asked = await put(world, task_id=task.id)
    shown = await world.desk.approvals.shown(world.call, asked.approval.id)
    assert f'> Answer this question: {task.id} ("Move the backups") waits for it.' in shown.text


async def test_what_cannot_wait_any_more_or_is_anothers_is_refused_and_nobody_is_asked(world: World):
    agent, task = await world.agent("mover"), await world.task()
    await claimed(world, agent.id)
    with pytest.raises(InvalidTransition, match="running"):
        await put(world, task_id=task.id)
    with pytest.raises(NotFound):
        await put(world, task_id="task_aaaaaaaaaaaa")
    schedule = await world.task(schedule={"cron": "0 0 * * *"})
    with pytest.raises(InvalidTransition, match="is a schedule"):
        await put(world, task_id=schedule.id)
    mail = await world.desk.emails.send(world.call, SendEmail(to=("a@example.org",), subject="s", text="t"))
    with pytest.raises(InvalidTransition, match="the server's own work"):
        await put(world, task_id=mail.task.id)
    full = await world.task(depends_on=[(await world.task()).id for _ in range(100)])
    with pytest.raises(LimitExceeded, match="100"):
        await put(world, task_id=full.id)
    with pytest.raises(PermissionDenied, match="would hold it up"):
        await put(world, caller(Role.AGENT, id="other"), task_id=full.id)
    assert (await world.desk.approvals.find(world.call, FindApprovals())).items == []
