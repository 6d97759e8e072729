"""Calls that people are asked about: shown whole, bound, and made once after their yes, in the name of who asked and
with no more than that one could do then and still can; or not at all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_server.app import desk_on
from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.approvals import service
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval, Vote
from mcp_server.domain.approvals.principals import Principals
from mcp_server.domain.approvals.transactions import CALLS_KIND
from mcp_server.domain.approvals.views import ApprovalView
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import FindEmails, SendEmail
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.authority import Permission, Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.times import iso
from mcp_server.runtime.system_worker import SystemWorker
from tests.world import Ids, World, caller, speaking

pytestmark = pytest.mark.anyio

ANN = caller(id="ann")
NOTE = ("state_set", {"namespace": "n", "key": "plan", "value": {"step": 1}, "expected_version": 0})
JOBS = ("tasks_create", {"tasks": [{"title": "one"}, {"title": "two", "depends_on": ["#0"]}]})


async def asked(world: World, *calls: tuple[str, Any], by: Call | None = None, **more: Any) -> ApprovalView:
    told = {"title": "Change the plan", "approvers": ["ann"]} | more
    command = RequestApproval.model_validate(
        told | {"calls": [{"tool": tool, "arguments": arguments} for tool, arguments in calls]}
    )
    done = await world.desk.approvals.request(by or world.call, command)
    return await world.desk.approvals.get(world.call, done.approval.id)


async def work(world: World, times: int = 3) -> None:
    """What is ready of the system's work is done."""
    worker = SystemWorker(world.desk, AREAS.kinds)
    for _ in range(times):
        await worker.look()
        await worker.idle()


async def found(world: World, id: str) -> ApprovalView:
    return await world.desk.approvals.get(world.call, id)


def knowing(world: World, now: Callable[[str], frozenset[Permission]]) -> None:
    """The desk of a process that knows what principals can do now."""
    world.desk = desk_on(
        world.database, Principals(now=now), clock=world.clock, steady=world.clock.steady, ids=Ids(), chance=lambda: 0.5
    )


async def nothing_was_done(world: World) -> None:
    with pytest.raises(NotFound):
        await world.read("n", "plan")
    assert "task.created" not in {event.type for event in (await ordinary(world))}


async def ordinary(world: World) -> list[Any]:
    events, _ = await world.desk.events.read(world.call, ReadEvents(limit=100))
    return [event for event in events if not str(event.data.get("kind", "")).startswith("system.")]


async def test_calls_are_shown_in_words_and_whole_and_run_after_the_yes_as_who_asked(world: World):
    agent = await world.agent("scribe")
    approval = await asked(world, NOTE, JOBS, by=speaking(agent))
    text = (await world.desk.approvals.shown(world.call, approval.id)).text
    assert "A yes makes these calls at once, all of them or none:" in text
    assert "\n1. Write document n/plan as " in text and ", only if it does not exist yet.\n> state_set\n" in text
    assert '\n2. Create 2 tasks: "one", "two" (after #0).\n> tasks_create\n' in text and '"depends_on"' in text
    assert [call["tool"] for call in approval.calls or ()] == ["state_set", "tasks_create"]
    assert (approval.calls or [])[0]["arguments"] == NOTE[1]
    await work(world)
    await nothing_was_done(world)
    await world.decide(ANN, approval.id, True)
    await work(world)
    document = await world.read("n", "plan")
    assert (document.version, document.author) == (1, "agent:scribe via user:tester")
    done = await found(world, approval.id)
    assert done.status == "approved" and done.ran_at is not None
    assert [len(ids) for ids in (done.outcome or {})["made"]] == [0, 2]
    task = await world.desk.tasks.get(world.call, approval.task_id)
    assert task.status == "completed" and task.result["results"][0]["document"]["version"] == 1
    (yes,), _ = await world.desk.events.read(world.call, ReadEvents(type="approval.approved"))
    (written,), _ = await world.desk.events.read(world.call, ReadEvents(type="document.set"))
    assert written.causation_seq == yes.seq < written.seq, "the vote was committed first"


async def test_after_a_no_or_silence_nothing_runs(world: World):
    refused, silent = await asked(world, NOTE), await asked(world, NOTE, expires_in_seconds=60)
    await world.decide(ANN, refused.id, False)
    world.clock.advance(61)
    await world.settle()
    await work(world)
    await nothing_was_done(world)
    assert [(await found(world, one.id)).status for one in (refused, silent)] == ["rejected", "expired"]
    for one in (refused, silent):
        with pytest.raises(OpsError):
            await world.decide(ANN, one.id, True)


async def test_however_often_it_is_tried_it_runs_once(world: World):
    approval = await asked(world, ("state_set", {"namespace": "n", "key": "plan", "value": 1}))
    await world.decide(ANN, approval.id, True)
    workers = [SystemWorker(world.desk, AREAS.kinds) for _ in range(4)]
    await asyncio.gather(*(worker.look() for worker in workers))
    for worker in workers:
        await worker.idle()
    assert (await world.read("n", "plan")).version == 1
    done = await world.desk.tasks.control(world.call, ControlTasks(task_ids=(approval.task_id,), action="retry"))
    assert done.refused and not done.tasks
    await work(world)
    assert (await world.read("n", "plan")).version == 1


async def test_one_that_was_killed_after_it_ran_does_not_run_again(world: World):
    approval = await asked(world, ("state_set", {"namespace": "n", "key": "plan", "value": 1}))
    await world.decide(ANN, approval.id, True)
    (claimed,) = await world.desk.system.claim({f"{CALLS_KIND}keys": 1}, 30)
    worker = SystemWorker(world.desk, AREAS.kinds)
    await worker._attempt(claimed)  # and here its process dies
    assert (await world.read("n", "plan")).version == 1
    world.clock.advance(60)
    await world.settle()
    world.clock.advance(10)
    await world.settle()
    await work(world)
    assert (await world.read("n", "plan")).version == 1
    task = await world.desk.tasks.get(world.call, approval.task_id)
    assert (task.status, task.result) == ("completed", {"approved": True, "made": [[]]})


async def test_one_whose_lease_is_lost_meanwhile_makes_nothing(world: World):
    approval = await asked(world, NOTE)
    await world.decide(ANN, approval.id, True)
    (claimed,) = await world.desk.system.claim({f"{CALLS_KIND}keys": 1}, 30)
    world.clock.advance(60)
    await world.settle()
    ended = await SystemWorker(world.desk, AREAS.kinds)._attempt(claimed)
    assert ended.outcome == "failed"
    await nothing_was_done(world)
    assert (await found(world, approval.id)).status == "approved", "another may still do it"


async def test_where_the_world_has_moved_it_is_stale_and_says_what_moved(world: World):
    approval = await asked(world, JOBS, NOTE)
    await world.write("n", "plan", 0)
    await world.decide(ANN, approval.id, True)
    await work(world)
    stale = await found(world, approval.id)
    assert stale.status == "stale" and stale.ran_at is None
    assert (stale.outcome or {})["code"] == "conflict"
    assert (stale.outcome or {})["message"].startswith("calls[1] state_set: You expected version 0")
    task = await world.desk.tasks.get(world.call, approval.task_id)
    assert (
        task.status == "failed"
        and (task.error or {})["code"] == "stale"
        and "calls[1] state_set" in (task.error or {})["message"]
    )
    assert (await world.read("n", "plan")).value == 0 and not [
        one for one in await ordinary(world) if one.type == "task.created"
    ]
    with pytest.raises(OpsError):
        await world.decide(ANN, approval.id, True)


async def test_where_a_task_has_moved_it_says_who_did_that_and_when(world: World):
    scribe = speaking(await world.agent("scribe"), Role.OPERATOR)
    task = await world.task()
    approval = await asked(world, ("tasks_control", {"task_ids": [task.id], "action": "pause"}))
    world.clock.advance(5)
    await world.desk.tasks.control(scribe, ControlTasks(task_ids=(task.id,), action="cancel"))
    at = iso(world.clock.now)
    world.clock.advance(5)
    await world.decide(ANN, approval.id, True)
    await work(world)
    outcome = (await found(world, approval.id)).outcome or {}
    told = outcome["details"]
    assert (told["changed_by"], told["changed_at"]) == ("agent:scribe via user:tester", at)
    assert told["changed_how"] == "task.cancelled"
    assert f"{task.id} was changed by agent:scribe via user:tester at {at} (task.cancelled)." in outcome["message"]


async def test_a_stale_one_stays_stale_when_its_task_is_retried(world: World):
    approval = await asked(world, NOTE)
    await world.write("n", "plan", 0)
    await world.decide(ANN, approval.id, True)
    await work(world)
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(approval.task_id,), action="retry"))
    await work(world)
    assert (await found(world, approval.id)).status == "stale"
    assert (await world.read("n", "plan")).value == 0


async def test_rights_count_that_were_held_when_it_was_asked_and_still_are(world: World):
    approval = await asked(world, NOTE, by=caller(Role.AGENT, id="bob"))
    knowing(world, lambda label: Role.VIEWER.permissions if label == "user:bob" else frozenset())
    await world.decide(ANN, approval.id, True)
    await work(world)
    stale = await found(world, approval.id)
    assert (stale.status, (stale.outcome or {})["code"]) == ("stale", "permission_denied")
    await nothing_was_done(world)


async def test_rights_that_came_later_do_not_count(world: World, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PermissionDenied, match=r"calls\[0\] tasks_control"):
        control = ("tasks_control", {"task_ids": ["task_bbbbbbbbbbbb"], "action": "cancel"})
        await asked(world, control, by=caller(Role.AGENT, id="bob"))
    register = ("agents_register", {"name": "a", "launcher": {"name": "l"}})  # the launcher takes more than the tool
    with pytest.raises(PermissionDenied, match=r"calls\[0\] agents_register"):
        await asked(world, register, by=caller(Role.AGENT, id="bob"))
    monkeypatch.setattr(service, "require_possible", _nothing_looked_at)  # as earlier releases asked
    approval = await asked(world, register, by=caller(Role.AGENT, id="bob"))
    knowing(world, lambda label: frozenset(Permission))
    await world.decide(ANN, approval.id, True)
    await work(world)
    assert ((await found(world, approval.id)).outcome or {})["code"] == "permission_denied"


async def _nothing_looked_at(*told: Any) -> None:
    del told


@pytest.mark.parametrize(
    ("impossible", "words"),
    [
        (("tasks_create", {"tasks": [{"title": "one", "agent_id": "ghost"}]}), "ghost"),
        (("state_set", {"namespace": "n", "key": "plan", "value": 1, "expected_version": 7}), "You expected version 7"),
        (("tasks_control", {"task_ids": ["task_bbbbbbbbbbbb"], "action": "cancel"}), "task_bbbbbbbbbbbb"),
        (("messages_send", {"to": ["ghost"], "body": "hello"}), "ghost"),
        (("tasks_create", {"tasks": [{"title": "one", "depends_on": ["task_bbbbbbbbbbbb"]}]}), "task_bbbbbbbbbbbb"),
    ],
)
async def test_nobody_is_asked_about_what_could_not_be_done(world: World, impossible: Any, words: str):
    with pytest.raises(OpsError, match=rf"^calls\[1\] {impossible[0]}: .*{words}") as refused:
        await asked(world, JOBS, impossible)
    assert "Nothing has landed" in str(refused.value)
    assert not (await world.desk.approvals.find(world.call, FindApprovals())).items
    assert await ordinary(world) == [], "what was tried beside it is undone"


async def test_people_are_told_who_does_it_how_urgent_it_is_and_when(world: World):
    await world.agent("driver")
    run_at = "2030-01-02T03:04:05Z"
    task = {"title": "one", "agent_id": "driver", "priority": "high", "run_at": run_at, "kind": "task"}
    then = {"title": "two", "depends_on": ["@0.0"], "required_capabilities": ["git"]}
    approval = await asked(
        world,
        ("tasks_create", {"tasks": [task]}),
        ("tasks_create", {"tasks": [then]}),
        ("messages_send", {"to": ["driver"], "body": "hello", "importance": "high", "ack_within_seconds": 60}),
        ("agents_register", {"name": "new", "capabilities": ["git"], "scaling": {"min": 1, "max": 2}}),
    )
    assert [one["says"] for one in approval.calls or ()] == [
        'Create 1 task: "one" (agent driver, priority high, not before 2030-01-02T03:04:05.000Z).',
        'Create 1 task: "two" (requires git, after @0.0).',
        'Send a message to driver: "hello" (importance high, to be acknowledged within 60 seconds).',
        "Register agent new (can git, between 1 and 2 instances), or change what is given.",
    ]


async def test_people_are_told_what_a_call_is_about_by_title_and_as_it_was_when_they_were_asked(world: World):
    lena = await world.agent("lena")
    backup = await world.task(title="Nightly backup", schedule={"cron": "0 3 * * *", "timezone": "Europe/Berlin"})
    later = await world.task(title=f'Run "it"; not {backup.id}', run_at="2027-01-15T09:00:00Z")
    approval = await asked(
        world,
        ("tasks_control", {"task_ids": [backup.id], "action": "reschedule", "schedule": {"cron": "0 4 * * *"}}),
        ("tasks_control", {"task_ids": [later.id], "action": "assign", "agent_id": lena.id, "reason": "he is ill"}),
        ("agents_control", {"agent_id": "lena", "action": "pause", "reason": f"rest, says {backup.id}"}),
        ("email_send", {"to": ["ann@example.org"], "subject": "Hi", "text": "All is well."}),
    )
    moved = f'{backup.id} ("Nightly backup", so far at "0 3 * * *" Europe/Berlin, next at 2027-01-16T02:00:00.000Z)'
    told = f"""{later.id} ("Run 'it'; not {backup.id}", so far not before 2027-01-15T09:00:00.000Z)"""
    says = [
        f'Reschedule {moved}, cron "0 4 * * *".',
        f'Assign {told}, agent {lena.id} (lena). Reason: "he is ill".',
        f'Pause agent lena. Reason: "rest, says {backup.id}".',
        'Send an email to ann@example.org: "Hi": "All is well.".',
    ]
    assert [one["says"] for one in approval.calls or ()] == says
    await world.decide(ANN, approval.id, True)
    await work(world)
    after = await found(world, approval.id)
    assert ([one["says"] for one in after.calls or ()], after.ran_at is not None) == (says, True), "as it was then"


async def test_what_an_earlier_call_makes_can_be_named_by_a_later_one(world: World):
    register = ("agents_register", {"name": "ghost"})
    approval = await asked(world, register, ("tasks_create", {"tasks": [{"title": "one", "agent_id": "ghost"}]}))
    await world.decide(ANN, approval.id, True)
    await work(world)
    assert (await found(world, approval.id)).ran_at is not None


async def test_a_repeat_is_answered_however_the_world_has_moved(world: World):
    first = await asked(world, NOTE, idempotency_key="once")
    await world.write("n", "plan", 0)
    assert (await asked(world, NOTE, idempotency_key="once")).id == first.id


async def test_an_agent_that_is_gone_has_nothing_done_in_its_name(world: World):
    agent = await world.agent("scribe")
    approval = await asked(world, NOTE, by=speaking(agent))
    await world.decide(ANN, approval.id, True)
    for action in ("terminate", "delete"):
        control = {"agent_id": "scribe", "action": action, "to_agent": (await world.agent("heir")).id}
        await world.desk.agents.control(world.call, ControlAgent.model_validate(control))
    await work(world)
    assert (await found(world, approval.id)).status == "stale"
    await nothing_was_done(world)


async def test_what_is_answered_is_bound_to_exactly_these_calls(world: World):
    one, two = (
        await asked(world, NOTE),
        await asked(world, NOTE, ("state_set", {"namespace": "n", "key": "b", "value": 1})),
    )
    assert one.action_hash != two.action_hash
    with pytest.raises(PermissionDenied, match="differs in|nobody may"):
        again = RequestApproval(title="Other", action="Other", approvers=("tester",), task_id=one.task_id)
        await world.desk.approvals.request(world.call, again)


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([("tasks_finish", {"task_id": "t", "lease_token": "l", "outcome": "completed"})], "a lease does not last"),
        ([("state_set", NOTE[1] | {"lease_token": "l"})], "a lease does not last"),
        ([("state_get", {"namespace": "n", "key": "k"})], "only writes"),
        ([("approvals_request", {"title": "t", "action": "a", "approvers": []})], "only writes"),
        ([("commit", {"calls": []})], "put the calls that it holds here themselves"),
        ([("state_set", {"namespace": "n"})], "key"),
        ([("state_set", NOTE[1] | {"as_agent": "nobody"})], "no agent"),
    ],
)
async def test_what_could_not_be_made_is_not_asked(world: World, calls: list[Any], words: str):
    with pytest.raises(OpsError, match=rf"(?i)calls\[0\].*{words}"):
        await asked(world, *calls)
    assert (await world.desk.approvals.find(world.call, FindApprovals())).items == []


async def test_calls_stand_alone(world: World):
    task = await world.task()
    for more in ({"task_id": task.id}, {"choices": ["a", "b"]}, {"free_text": True}):
        with pytest.raises(ValueError, match="run by themselves"):
            await asked(world, NOTE, **more)
    with pytest.raises(ValueError, match="Say in `action`"):
        await asked(world)


async def test_calls_that_hold_mails_or_messages_are_for_who_takes_part(world: World):
    mail = ("email_send", {"to": "bob@example.org", "subject": "s", "text": "secret"})
    approval = await asked(world, mail, by=caller(Role.AGENT, id="bob"))
    stranger = replace(caller(Role.VIEWER, id="eve"))
    assert (await world.desk.approvals.find(stranger, FindApprovals())).items == []
    with pytest.raises(NotFound):
        await world.desk.approvals.get(stranger, approval.id)
    assert (await world.desk.approvals.get(caller(Role.VIEWER, id="ann"), approval.id)).calls
    task = await world.desk.tasks.get(stranger, approval.task_id)
    assert "secret" not in repr(task) and "Change" not in task.title
    plain = await asked(world, NOTE)
    assert (await world.desk.approvals.get(stranger, plain.id)).calls


async def test_references_and_speakers_of_the_calls_hold_when_they_run(world: World):
    await world.agent("one")
    approval = await asked(
        world,
        JOBS,
        ("tasks_create", {"tasks": [{"title": "last", "depends_on": ["@0.1"]}]}),
        ("state_set", NOTE[1] | {"as_agent": "one"}),
    )
    await world.decide(ANN, approval.id, True)
    await work(world)
    results = (await world.desk.tasks.get(world.call, approval.task_id)).result["results"]
    last = await world.desk.tasks.get(world.call, results[1]["tasks"][0]["id"])
    assert last.depends_on == [results[0]["tasks"][1]["id"]]
    assert (await world.read("n", "plan")).author == "agent:one via user:tester"


async def test_of_twenty_racing_deciders_one_counts_and_it_runs_once(world: World):
    approval = await asked(world, ("state_set", {"namespace": "n", "key": "plan", "value": 1}), approvers=[])

    async def decide(number: int) -> bool:
        try:
            await world.decide(caller(id=f"user{number}"), approval.id, number % 2 == 0)
        except OpsError:
            return False
        await work(world, 1)
        return True

    outcomes = await asyncio.gather(*(decide(number) for number in range(20)))
    await work(world)
    assert sum(outcomes) == 1
    granted = outcomes.index(True) % 2 == 0
    if granted:
        assert (await world.read("n", "plan")).version == 1
    else:
        with pytest.raises(NotFound):
            await world.read("n", "plan")


async def test_a_question_offers_choices_and_the_one_that_enough_chose_is_the_tasks_result(world: World):
    asked_of = {"approvers": ["ann", "bob", "eve"], "quorum": 2, "choices": ["red", "green", "blue"]}
    command = RequestApproval.model_validate({"title": "Which colour?"} | asked_of)
    question = (await world.desk.approvals.request(world.call, command)).approval
    shown = await world.desk.approvals.shown(world.call, question.id)
    assert "A question:" in shown.text and "> red\n> green\n> blue" in shown.text
    for vote in ({"approve": True}, {"approve": True, "choice": "black"}, {"approve": True, "text": "red"}):
        with pytest.raises(ValidationFailed, match="takes one of"):
            await answer(world, "ann", question.id, **vote)
    await answer(world, "ann", question.id, approve=True, choice="red")
    await answer(world, "bob", question.id, approve=True, choice="green")
    assert (await found(world, question.id)).status == "pending"
    await answer(world, "eve", question.id, approve=True, choice="green")
    await work(world)
    task = await world.desk.tasks.get(world.call, question.task_id)
    assert task.result == {"answer": "green", "answered_by": ["bob", "eve"]}


async def test_where_no_choice_can_reach_the_quorum_any_more_the_question_is_rejected(world: World):
    asked_of = {"approvers": ["ann", "bob"], "quorum": "all", "choices": ["red", "green"]}
    command = RequestApproval.model_validate({"title": "Which colour?"} | asked_of)
    question = (await world.desk.approvals.request(world.call, command)).approval
    await answer(world, "ann", question.id, approve=True, choice="red")
    await answer(world, "bob", question.id, approve=True, choice="green")
    assert (await found(world, question.id)).status == "rejected"


async def test_a_question_takes_a_text_of_the_persons_own(world: World):
    command = RequestApproval.model_validate(
        {"title": "What now?", "approvers": ["ann"], "choices": ["wait", "go"], "free_text": True}
    )
    question = (await world.desk.approvals.request(world.call, command)).approval
    with pytest.raises(ValidationFailed, match="or a text of one's own"):
        await answer(world, "ann", question.id, approve=True, text="  ")
    await answer(world, "ann", question.id, approve=True, text="Ask Bob first")
    await work(world)
    assert (await world.desk.tasks.get(world.call, question.task_id)).result["answer"] == "Ask Bob first"
    told = await found(world, question.id)
    assert (told.answers or [])[0].text == "Ask Bob first" and told.status == "answered"


async def test_a_plain_question_takes_no_choice(world: World):
    command = RequestApproval(title="t", action="a", approvers=("ann",))
    question = (await world.desk.approvals.request(world.call, command)).approval
    with pytest.raises(ValidationFailed, match="yes or no alone"):
        await answer(world, "ann", question.id, approve=True, choice="red")


async def answer(world: World, who: str, id: str, **vote: Any) -> None:
    shown = await world.desk.approvals.shown(world.call, id)
    voter = Voter(who, "command line", "session")
    await world.desk.approvals.decide(caller(id=who), voter, id, Vote(**vote), shown.seen)


TEMPLATE = {"subject": "About {{a}}", "text": "Harmless", "variables": ["a"]}
BY_TEMPLATE = ("email_send", {"to": "bob@example.org", "template": "t", "variables": {"a": "1"}})
BY_DOCUMENT = (
    "email_send",
    {
        "to": "bob@example.org",
        "subject": "s",
        "text": "t",
        "attachments": [{"name": "a", "namespace": "n", "key": "a"}],
    },
)


@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("mail", [BY_TEMPLATE, BY_DOCUMENT])
async def test_what_a_mail_names_is_shown_as_it_is_and_goes_out_so_or_not_at_all(
    world: World, mail: tuple[str, Any], changed: bool
):
    await world.write("email-templates", "t", TEMPLATE)
    await world.write("n", "a", {"amount": 1})
    approval = await asked(world, mail)
    text = (await world.desk.approvals.shown(world.call, approval.id)).text
    says = (await found(world, approval.id)).calls or []
    made = 'It comes to "About 1": "Harmless".' if mail is BY_TEMPLATE else '"s": "t" (with a).'
    assert says[0]["says"].endswith(made)
    assert "It comes to:" in text and ("Harmless" in text if mail is BY_TEMPLATE else '"sha256"' in text)
    if changed:
        await world.write("email-templates", "t", TEMPLATE | {"text": "Something else"})
        await world.write("n", "a", {"amount": 1_000_000})
    await world.decide(ANN, approval.id, True)
    await work(world)
    emails = (await world.desk.emails.find(world.call, FindEmails())).items
    done = await found(world, approval.id)
    if changed:
        assert done.status == "stale" and emails == []
        assert "was changed after people were asked" in (done.outcome or {})["message"]
    else:
        (email,) = [await world.desk.emails.get(world.call, one.id or "") for one in emails]
        assert (email.subject, email.text) == (("About 1", "Harmless") if mail is BY_TEMPLATE else ("s", "t"))


async def test_a_reply_without_a_subject_is_asked_about_with_the_one_that_it_has(world: World):
    command = SendEmail.model_validate({"to": ["ann@example.org"], "subject": "Figures", "text": "t"})
    first = (await world.desk.emails.send(world.call, command)).email
    world.clock.advance(1)
    reply = {"to": ["ann@example.org"], "text": "Thanks", "reply_to": first.id}
    approval = await asked(world, ("email_send", reply))
    says = (await found(world, approval.id)).calls or []
    assert says[0]["says"].endswith('It comes to "Re: Figures": "Thanks".')
    await world.decide(ANN, approval.id, True)
    await work(world)
    emails = (await world.desk.emails.find(world.call, FindEmails())).items
    assert emails[0].subject == "Re: Figures"


@pytest.mark.parametrize("alike", [("yes", "yes "), ("a", "a\u200b"), ("no", "No")])
def test_choices_that_read_alike_are_refused(alike: tuple[str, str]):
    with pytest.raises(ValidationError, match="all different"):
        RequestApproval.model_validate({"title": "t", "choices": alike})
