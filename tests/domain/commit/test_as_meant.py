"""What several calls may have meant otherwise is told, and not done silently."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.tasks.commands import FinishTask
from mcp_server.kernel.errors import ValidationFailed
from tests.domain.commit.test_commit import MAIL, commit, jobs, note, nothing_landed
from tests.world import World, speaking

pytestmark = pytest.mark.anyio

TEXT = note(value={"made": ["@0.0"], "other": "see @0.0"})
PLAN = {"name": "plan.json", "namespace": "n", "key": "plan"}
KEPT = (
    "is kept as text; a reference counts only where an id stands. Where the id was meant, write it there with a call "
    "after these, which tell it."
)
WARNED = [f"calls[1]: @0.0 in {path} {KEPT}" for path in ("value.made[0]", "value.other")]


async def test_a_reference_inside_of_a_value_stays_text_and_that_is_said(world: World):
    done = await commit(world, jobs("t"), TEXT)
    assert done.warnings == WARNED
    assert (await world.read("n", "plan")).value["made"] == ["@0.0"]
    assert (await commit(world, jobs("t"), jobs("u", depends_on=["@0.0"]))).warnings is None


async def test_who_asks_people_about_calls_or_finishes_with_some_is_told_it_too(world: World):
    calls = [{"tool": tool, "arguments": arguments} for tool, arguments in (jobs("t"), TEXT)]
    command = RequestApproval.model_validate({"title": "t", "calls": calls})
    assert (await world.desk.approvals.request(world.call, command)).warnings == WARNED
    agent = await world.agent("scribe")
    task = await world.task(title="work")
    claim = await world.claim_one(agent)
    finish = FinishTask.model_validate(
        {"task_id": task.id, "lease_token": claim.lease_token, "outcome": "completed", "also": calls}
    )
    assert (await world.desk.tasks.finish_with(speaking(agent), finish)).warnings == [
        one.replace("calls", "also") for one in WARNED
    ]


@pytest.mark.parametrize("words", ["Do @0.0 today", "or @0.id: it is yours", "(@0.0)", "@0.tasks[0].id", "@0.0"])
async def test_a_reference_among_the_words_of_a_message_or_a_mail_is_refused_before_anything_is_sent(
    world: World, words: str
):
    await world.agent("ann")
    events = await world.events()
    sent = ("messages_send", {"to": ["ann"], "body": words}), (MAIL[0], MAIL[1] | {"text": words})
    for one in sent:
        with pytest.raises(ValidationFailed, match="would be read as it stands: among words nothing is filled in"):
            await commit(world, jobs("t"), one)
    assert await world.events() == events


async def test_words_that_name_nothing_of_the_same_commit_are_sent_as_they_are(world: World):
    await world.agent("ann")
    words = "bob@1.com, ann@0.0, @1.0, @0.7 and @7.0 name nothing here."
    done = await commit(world, jobs("t"), ("messages_send", {"to": ["ann"], "body": words}))
    assert done.warnings is None


@pytest.mark.parametrize("half", ["@0", "@0.id", "@0[0]", "@0.tasks[0].id"])
async def test_half_a_reference_stands_for_the_one_thing_that_a_call_makes_and_of_several_is_refused(
    world: World, half: str
):
    two = ("tasks_create", {"tasks": [{"title": "t"}, {"title": "s"}]})
    with pytest.raises(ValidationFailed, match=r"calls\[1\] tasks_create: .*Write @0\.0"):
        await commit(world, two, jobs("u", depends_on=[half]))
    with pytest.raises(ValidationFailed, match=r"calls\[0\] tasks_create: .*Write @0\.0"):
        await commit(world, jobs("u", depends_on=[half]), jobs("t"))
    await nothing_landed(world)
    made = (await commit(world, jobs("t"), jobs("u", depends_on=[half]))).results
    first, second = [one["tasks"][0]["id"] for one in made]
    assert (await world.desk.tasks.get(world.call, second)).depends_on == [first]


@pytest.mark.parametrize(
    ("written", "mail"),
    [
        (
            ("state_patch", {"namespace": "n", "key": "plan", "merge_patch": {"a": 1}}),
            MAIL[1] | {"attachments": [PLAN]},
        ),
        (
            ("state_set", {"namespace": "email-templates", "key": "hello", "value": {"subject": "s", "text": "t"}}),
            {"to": "ann@example.org", "template": "hello"},
        ),
    ],
    ids=["attachment whose content is not known yet", "template"],
)
async def test_a_mail_does_not_go_out_with_what_a_document_was_before_the_same_commit(
    world: World, written: Any, mail: Any
):
    with pytest.raises(ValidationFailed, match=r"calls\[1\] email_send: .*is written by call 0 of these"):
        await commit(world, written, ("email_send", mail))
    await nothing_landed(world)
    await commit(world, written)
    await commit(world, ("email_send", mail), written)


async def test_a_document_that_the_same_commit_writes_is_attached_as_it_will_be(world: World):
    await world.write("n", "plan", "before")
    written = note(value={"ä": [1]})
    mail = ("email_send", MAIL[1] | {"attachments": [PLAN]})
    results = (await commit(world, note(value="earlier"), written, mail)).results
    sent = await world.desk.emails.get(world.call, results[2]["email"]["id"])
    alone = await commit(world, ("email_send", MAIL[1] | {"attachments": [PLAN]}))
    other = await world.desk.emails.get(world.call, alone.results[0]["email"]["id"])
    assert (await world.read("n", "plan")).value == {"ä": [1]}
    assert [one.document for one in other.attachments or ()] == ["n/plan@3"]
    assert [replace(one, document="n/plan@3") for one in sent.attachments or ()] == other.attachments


async def test_a_document_is_attached_as_it_will_be_or_not_at_all_where_a_later_call_changes_it_again(world: World):
    patched = ("state_patch", {"namespace": "n", "key": "plan", "merge_patch": {"a": 1}})
    with pytest.raises(ValidationFailed, match=r"calls\[2\] email_send: .*is written by call 0 of these"):
        await commit(world, note(value={}), patched, ("email_send", MAIL[1] | {"attachments": [PLAN]}))
    await nothing_landed(world)


async def test_a_commit_inside_of_several_calls_is_told_to_give_its_calls_themselves(world: World):
    with pytest.raises(ValidationFailed, match="Put the calls that it holds here themselves") as refused:
        await commit(world, jobs("t"), ("commit", {"calls": []}))
    assert "These can" not in refused.value.message


async def test_the_tools_that_can_be_one_of_several_are_listed_once(world: World):
    with pytest.raises(ValidationFailed, match="only writes that neither wait nor ask can") as refused:
        await commit(world, ("tasks_wait", {"task_id": "t"}))
    assert "composable" not in refused.value.details
    question = ("approvals_request", {"title": "t", "action": "a"})
    with pytest.raises(ValidationFailed) as refused:
        await commit(world, question, question, question)
    told = refused.value.message
    assert told.count("These can: ") == 0 and told.count("ask first on its own") == 3
    with pytest.raises(ValidationFailed) as refused:
        await commit(world, ("walk_dog", {}), ("feed_cat", {}))
    assert refused.value.message.count("These can: ") == 1
