"""What came of a question is told wherever it is looked at: in a list, in full, and to who would decide it again."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval
from mcp_server.domain.approvals.views import (
    ApprovalView,
    RequestedApproval,
    decided_approval,
)
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.state.commands import DocumentHistory, SetDocument
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.authority import Actor, Permission, Role
from mcp_server.kernel.errors import InvalidTransition
from mcp_server.kernel.times import iso
from tests.domain.approvals.test_calls import ANN, JOBS, answer, asked, found, work
from tests.world import World, caller, speaking
from tools import state
from tools.events import read as events_read

pytestmark = pytest.mark.anyio

AT = {"namespace": "n", "key": "plan"}
PATCH = ("state_patch", AT | {"merge_patch": {"step": 2}})
DELETE = ("state_set", AT | {"delete": True})
MAIL = ("email_send", {"to": ["x@example.org"], "subject": "s", "text": "t"})
state_history: Any = next(tool for tool in state.TOOLS if tool.name == "state_history")


async def listed(world: World) -> ApprovalView:
    return (await world.desk.approvals.find(world.call, FindApprovals())).items[0]


def headline(approval: ApprovalView) -> str:
    return decided_approval(approval).approval.came_of_it()


async def again(world: World, approval_id: str) -> str:
    with pytest.raises(InvalidTransition) as refused:
        await world.decide(ANN, approval_id, True)
    return refused.value.message


async def test_a_list_says_what_each_call_does_and_which_documents_were_changed(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, PATCH, JOBS)
    assert (await listed(world)).says == [
        'Change /step in document n/plan by {"step":2}, only if it is at version 1.',
        'Create 2 tasks: "one", "two" (after #0).',
    ]
    await world.decide(ANN, approval.id, True)
    await work(world)
    for view in (await listed(world), await found(world, approval.id)):
        outcome = view.outcome or {}
        assert outcome["documents"] == ["n/plan"] and [len(ids) for ids in outcome["made"]] == [0, 2]
    told = await again(world, approval.id)
    assert "nothing is left to decide" in told and "Its 2 calls landed: state_patch n/plan; tasks_create task_" in told


async def test_a_list_says_who_answered_what_and_when_and_who_has_not(world: World):
    people = ("ann", "bob", "cy")
    approval = (await put(world, title="t", action="a", approvers=people, quorum=2)).approval
    await world.decide(ANN, approval.id, True, "fine")
    view = await listed(world)
    (told,) = view.answers or ()
    assert (told.by, told.granted, told.note, told.at) == ("ann", True, "fine", iso(world.clock.now))
    assert view.not_answered == ["bob", "cy"]
    await world.decide(caller(Role.ADMIN, id="bob"), approval.id, True)
    view = await listed(world)
    assert view.status == "approved" and view.not_answered is None


async def test_a_person_finds_what_it_was_asked_and_what_it_answered_for_anyone(world: World):
    open_to_all = (await put(world, title="t", action="a")).approval
    named = (await put(world, title="u", action="a", approvers=("ann",))).approval
    await put(world, title="v", action="a", approvers=("bob",))
    await world.decide(ANN, open_to_all.id, True)
    for who in ("ann", "Ann", "user:ann"):
        items = (await world.desk.approvals.find(world.call, FindApprovals(approver=who))).items
        assert {one.id for one in items} == {open_to_all.id, named.id}, who


async def test_who_asks_an_agent_to_decide_is_told_that_agents_do_not(world: World):
    await world.agent("scribe")
    asked_agent = await put(world, title="t", action="a", approvers=("scribe", "ann"))
    assert [one.split(" ")[0] for one in asked_agent.warnings or ()] == ["scribe", "there"]


async def test_who_asks_by_the_name_of_no_known_user_is_told_so(world: World):
    approvers = ("lena", "tester", "ann@example.org")
    unmailed, told = (await put(world, title="t", action="a", approvers=approvers)).warnings or ()
    assert told.startswith("there is no user lena here yet: ")
    assert unmailed.startswith("no link was mailed to ann@example.org: mails stay on this machine here")
    assert (await put(world, title="u", action="a")).warnings is None


async def test_an_approvals_id_stands_for_that_of_its_task_wherever_tasks_are_named(world: World):
    approval = (await put(world, title="t", action="a", choices=("red", "blue"))).approval
    task = await world.task(depends_on=[approval.id])
    assert task.depends_on == [approval.task_id]
    command = ControlTasks.model_validate({"task_ids": [approval.id], "action": "cancel"})
    await world.desk.tasks.control(world.call, command)
    assert (await found(world, approval.id)).status == "withdrawn"


async def put(world: World, **spec: Any) -> RequestedApproval:
    return await world.desk.approvals.request(world.call, RequestApproval.model_validate(spec))


async def test_who_is_asked_about_a_document_that_has_moved_on_is_told_first_that_a_yes_does_nothing(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, PATCH, PATCH)
    ann = caller(Role.ADMIN, id="ann")

    async def form() -> str:
        question = await world.desk.approvals.pending(ann, approval.id)
        assert question is not None
        return question[0].form or ""

    before = await form()
    await world.write("n", "plan", {"step": 9})
    who = f"written by user:tester at {iso(world.clock.now)}"
    told = f"STALE: n/plan is at version 2, {who}, and what is asked about expects version 1. A yes does nothing"
    assert "STALE" not in before and (await form()).startswith(told) and (await form()).endswith(before)
    assert (await world.desk.approvals.shown(ann, approval.id)).text.startswith(told)
    for seen in (await found(world, approval.id), *(await world.desk.approvals.find(ann, FindApprovals())).items):
        assert [one.startswith(told) for one in seen.overtaken or ()] == [True]
    await world.decide(ANN, approval.id, True)
    await work(world)
    after = await found(world, approval.id)
    assert (after.status, after.overtaken) == ("stale", None)


async def test_who_is_asked_about_a_document_that_was_deleted_or_made_meanwhile_reads_by_whom(world: World):
    scribe = speaking(await world.agent("scribe"))
    await world.write("n", "plan", {"step": 1})
    changes = await asked(world, PATCH)
    delete = SetDocument(**AT, delete=True)
    await world.desk.state.set(scribe, delete)
    at = iso(world.clock.now)
    (told,) = (await found(world, changes.id)).overtaken or ()
    assert told.startswith(
        f'STALE: n/plan was deleted by "agent:scribe via user:tester" at {at}, and what is asked about '
    )
    creates = await asked(world, ("state_set", AT | {"value": 2}))
    await world.write("n", "plan", 3)
    (told,) = (await found(world, creates.id)).overtaken or ()
    assert told.startswith(f"STALE: n/plan is at version 2, written by user:tester at {at}, and what is asked about ")
    assert "expects that it does not exist" in told


async def test_the_history_of_a_document_names_the_approval_that_changed_it(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, PATCH)
    await world.decide(ANN, approval.id, True)
    await work(world)
    asked_for = DocumentHistory(namespace="n", key="plan")
    told = await state.history(world.desk, world.call, asked_for)
    assert [(one.version, one.approval_id, one.approved_by) for one in told.versions] == [
        (2, approval.id, ["ann"]),
        (1, None, None),
    ]
    assert f"2 by user:tester as {approval.id} asked, to which ann said yes" in state_history.say(told)
    reader = Actor(kind="user", id="tester", permissions=frozenset({Permission.STATE_READ}))
    for blind in (replace(world.call, actor=reader), replace(world.call, toolsets=frozenset({"state"}))):
        told = await state.history(world.desk, blind, asked_for)
        assert (told.versions[0].approval_id, told.versions[0].approved_by) == (approval.id, None)


async def test_who_said_yes_to_several_is_told_but_of_what_holds_a_mail_to_who_may_see_that_alone(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, PATCH, MAIL, approvers=("ann", "bob"), quorum=2)
    for person in ("bob", "ann"):
        await world.decide(caller(Role.ADMIN, id=person), approval.id, True)
    await work(world)
    for who, granted in ((world.call, ["bob", "ann"]), (caller(Role.AGENT, id="eve"), None)):
        told = await state.history(world.desk, who, DocumentHistory(namespace="n", key="plan"))
        assert (told.versions[0].approval_id, told.versions[0].approved_by) == (approval.id, granted)


async def test_a_document_that_was_deleted_is_told_as_what_its_call_did(world: World):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, DELETE)
    await world.decide(ANN, approval.id, True)
    await work(world)
    assert (await found(world, approval.id)).outcome == {"done": ["state_set n/plan"], "documents": ["n/plan"]}
    assert headline(await found(world, approval.id)) == "Its call landed: state_set n/plan."
    told = await state.history(world.desk, world.call, DocumentHistory(namespace="n", key="plan"))
    assert [(one.version, one.deleted, one.approval_id, one.approved_by) for one in told.versions] == [
        (None, True, approval.id, ["ann"]),
        (1, None, None, None),
    ]
    assert f"It was deleted by user:tester as {approval.id} asked, to which ann said yes at " in state_history.say(told)


async def test_of_each_call_it_is_said_what_it_did_and_to_what(world: World):
    await world.agent("lena")
    backup = await world.task(schedule={"cron": "0 3 * * *"})
    approval = await asked(
        world,
        ("messages_send", {"to": ["lena"], "body": "you rest"}),
        ("agents_control", {"agent_id": "lena", "action": "pause"}),
        ("tasks_control", {"task_ids": [backup.id], "action": "reschedule", "schedule": {"cron": "0 4 * * *"}}),
        JOBS,
        ("tasks_control", {"task_ids": ["@3.1", backup.id], "action": "set_priority", "priority": "low"}),
        ("locks_acquire", {"name": "release/prod", "owner": "me"}),
    )
    await world.decide(ANN, approval.id, True)
    await work(world)
    view = await found(world, approval.id)
    outcome = view.outcome or {}
    (message,), tasks = outcome["made"][0], outcome["made"][3]
    done = [
        f"messages_send {message}",
        "agents_control pause lena",
        f"tasks_control reschedule {backup.id}",
        f"tasks_create {tasks[0]}, {tasks[1]}",
        f"tasks_control set_priority {tasks[1]}, {backup.id}",
        "locks_acquire release/prod",
    ]
    assert outcome["done"] == done
    assert headline(view) == f"Its 6 calls landed: {'; '.join(done[:5])}; and 1 more."


async def test_the_events_of_a_question_are_read_with_what_its_calls_wrote_each_once_and_in_order(world: World):
    await world.agent("lena")
    pause = ("agents_control", {"agent_id": "lena", "action": "pause"})
    approval = await asked(world, ("messages_send", {"to": ["lena"], "body": "you rest"}), pause)
    await world.write("n", "other", 1)
    asks = {"aggregate_id": approval.id, "limit": 2}

    async def trail(**more: Any) -> tuple[list[str], str | None]:
        types, after, hint = list[str](), None, None
        while (page := await events_read(world.desk, world.call, ReadEvents(**asks, **more, after=after))).events:
            types, hint, after = [*types, *(one.type for one in page.events)], hint or page.hint, page.cursor
            if after is None:
                break
        return types, hint

    assert await trail() == (["approval.requested"], None)
    await world.decide(ANN, approval.id, True)
    await work(world)
    own = ["approval.requested", "approval.approved", "approval.ran"]
    types, hint = await trail()
    assert types == own and "children=true" in (hint or "")
    whole = [*own[:2], "message.sent", "agent.paused", "approval.ran"]
    assert await trail(children=True) == (whole, None)
    assert await trail(children=True, newest_first=True) == (whole[::-1], None)
    assert (await trail(children=True, type="agent.*"))[0] == ["agent.paused"]


async def test_of_many_calls_a_list_says_the_first_and_how_many_more_there_are(world: World):
    calls = [("state_set", {"namespace": "n", "key": f"k{number}", "value": 1}) for number in range(7)]
    await asked(world, *calls)
    says = (await listed(world)).says or []
    assert len(says) == 6 and says[-1] == "and 2 more calls"


@pytest.mark.parametrize(
    ("calls", "words"),
    [([DELETE], "Its call was not made."), ([JOBS, JOBS], "None of its calls was made.")],
    ids=["one", "two"],
)
async def test_after_a_no_it_is_said_that_no_call_was_made(world: World, calls: list[Any], words: str):
    await world.write("n", "plan", {"step": 1})
    approval = await asked(world, *calls)
    assert headline(approval) == ""
    await world.decide(ANN, approval.id, False)
    assert headline(await found(world, approval.id)) == words
    assert words in await again(world, approval.id)


async def test_what_was_chosen_is_said_first_and_to_who_would_choose_again(world: World):
    command = RequestApproval.model_validate(
        {"title": "Where to?", "approvers": ["ann"], "choices": ["cold storage", "the bin"]}
    )
    question = (await world.desk.approvals.request(world.call, command)).approval
    await answer(world, "ann", question.id, approve=True, choice="cold storage")
    view = await found(world, question.id)
    assert view.answer == "cold storage" and headline(view) == 'Answered: "cold storage".'
    with pytest.raises(InvalidTransition, match='Answered: "cold storage"'):
        await answer(world, "ann", question.id, approve=True, choice="the bin")


async def test_what_was_answered_in_ones_own_words_reads_as_consent_nowhere(world: World):
    question = (await put(world, title="When?", approvers=("ann",), free_text=True)).approval
    await answer(world, "ann", question.id, approve=True, text="Not before Christmas")
    await work(world)
    task = await world.desk.tasks.get(world.call, question.task_id)
    events, _ = await world.desk.events.read(world.call, ReadEvents(aggregate_id=question.id))
    decided = next(one.data for one in events if one.type == "approval.approved")
    seen = await found(world, question.id), await listed(world)
    assert {one.status for one in seen} == {decided["status"], task.approval} == {"answered"}
    assert task.result == {"answer": "Not before Christmas", "answered_by": ["ann"]}
    (one,) = decided["answers"]
    assert one["text"] == "Not before Christmas" and "granted" not in one


async def test_what_was_answered_is_listed_apart_and_among_what_was_approved(world: World):
    asked_all = [{"action": "a"}, {"choices": ("red", "blue")}, {"free_text": True}, {"choices": ("up", "down")}]
    plain, chosen, written, _ = [
        (await put(world, title="t", approvers=("ann",), **more)).approval.id for more in asked_all
    ]
    await answer(world, "ann", plain, approve=True)
    await answer(world, "ann", chosen, approve=True, choice="red")
    await answer(world, "ann", written, approve=True, text="Soon")

    async def found_as(**narrowed: Any) -> set[str]:
        return {one.id for one in (await world.desk.approvals.find(world.call, FindApprovals(**narrowed))).items}

    assert await found_as(status="answered") == await found_as(status="answered", approver="ann") == {chosen, written}
    assert await found_as(status="approved") == {plain, chosen, written}


async def test_who_asks_again_under_the_key_of_a_decided_question_is_told_what_became_of_it(world: World):
    await world.write("n", "plan", {"step": 1})
    calls = [{"tool": tool, "arguments": arguments} for tool, arguments in (PATCH,)]
    said = {"title": "t", "approvers": ("ann",), "calls": calls, "idempotency_key": "once"}
    first = await put(world, **said)
    assert (await put(world, **said)).approval.expires_at == first.approval.expires_at is not None
    await world.decide(ANN, first.approval.id, True, "fine")
    await work(world)
    again = await put(world, **said)
    assert again.approval.came_of_it() == "Its call landed: state_patch n/plan."
    assert again.approval.expires_at is None
    assert (again.links_sent_to, again.asks_user_here, first.asks_user_here) == (None, None, False)
