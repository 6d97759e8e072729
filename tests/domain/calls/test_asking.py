"""Decisions in a call: whose count, for what, and how often."""

import asyncio

import pytest

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded, PermissionDenied
from tests.domain.calls.desks import CallDesk, holding, link_in
from tests.world import World

pytestmark = pytest.mark.anyio
ANN = "ann@example.org"


async def mailed(desk: CallDesk) -> str:
    """The link in the first mail that goes out."""
    async with desk.desk.changes.listen("email") as listener, asyncio.timeout(60):
        while not desk.post.mails:
            await listener.wait(1)
    return link_in(desk.post.mails[0])


async def with_ann(desk: CallDesk) -> tuple[str, str]:
    """A call in which Ann is, by her mailed link; its id and that link."""
    opened = await desk.open("Which backup?", participants=[ANN])
    assert opened.join_url is None and opened.participants is not None
    assert (opened.participants[0].may_decide, opened.participants[0].join_url) == (True, None)
    link = await mailed(desk)
    await desk.join(link)
    await desk.until(opened.id, "active")
    return opened.id, link


async def test_a_yes_given_in_a_call_by_who_was_written_to_releases_the_task(world: World):
    async with holding(world, mails_leave=True) as desk:
        call_id, link = await with_ann(desk)
        mail = desk.post.mails[0]
        assert "> Which backup?" in (mail.text or "") and mail.to == [ANN]
        task = await world.task(requires_approval=True)
        request = RequestApproval(title="Restore", action="Restore 7.", approvers=(ANN,), task_id=task.id)
        asked = (await desk.desk.approvals.request(desk.call, request)).approval
        await desk.do(call_id, "ask", approval_id=asked.id)
        media = desk.media.calls[call_id]
        await media.until(lambda: media.messages("ask", 1) != [])
        (shown,) = media.messages("ask", 1)
        assert (shown["id"], shown["action"]) == (asked.id, "Restore 7.")
        answer = {"type": "answer", "id": asked.id, "action_hash": shown["action_hash"], "decision": "approve"}
        media.says(1, **answer | {"action_hash": "another"})
        await media.until(lambda: media.messages("error", 1) != [])
        media.says(1, **answer)
        await media.until(lambda: media.messages("asked", 1) != [])
        assert media.messages("asked")[0]["outcome"] == f"approved by {ANN}"
        assert ("desk", "answer", f"approved by {ANN} ({asked.id})") in await desk.lines(call_id)
        assert await world.status(task) == "queued"
        decided = await desk.desk.approvals.get(desk.call, asked.id)
        assert (decided.status, decided.answers[0].via if decided.answers else None) == ("approved", "call")
        assert (await desk.see(call_id)).asked is None
        media.says(1, **answer)
        await media.until(lambda: len(media.messages("error", 1)) > 1)
        assert link not in str([await world.events(), *await desk.lines(call_id)])


async def test_a_question_with_choices_is_answered_in_the_call_and_its_task_says_how(world: World):
    async with holding(world, mails_leave=True) as desk:
        call_id, _ = await with_ann(desk)
        asked = await desk.do(call_id, "ask", text="Which one?", choices=["Monday's", "Sunday's"])
        media = desk.media.calls[call_id]
        await media.until(lambda: media.messages("ask", 1) != [])
        (shown,) = media.messages("ask", 1)
        media.says(1, type="answer", id=shown["id"], action_hash=shown["action_hash"], choice="Sunday's")
        await media.until(lambda: media.messages("asked", 1) != [])
        kinds = [(kind, text) for _, kind, text in await desk.lines(call_id) if kind in ("question", "answer")]
        assert kinds[0] == ("question", "Which one?") and "Sunday's" in kinds[1][1]
        assert asked.approval_task_id is not None


async def test_who_joined_by_a_link_that_was_shown_decides_nothing(world: World):
    async with holding(world) as desk:
        opened = await desk.open(participants=["user:local"])
        await desk.join(opened.join_url)
        await desk.until(opened.id, "active")
        with pytest.raises(InvalidTransition, match="can decide"):
            await desk.do(opened.id, "ask", text="May I?")
        asked = (
            await desk.desk.approvals.request(desk.call, RequestApproval(title="t", action="a", approvers=("local",)))
        ).approval
        await desk.do(opened.id, "ask", approval_id=asked.id)
        media = desk.media.calls[opened.id]
        media.says(1, type="answer", id=asked.id, action_hash=asked.action_hash, decision="approve")
        await media.until(lambda: media.messages("error", 1) != [])
        assert "this link was shown" in media.messages("error", 1)[0]["text"]
        assert media.messages("ask") == []
        assert (await desk.desk.approvals.get(desk.call, asked.id)).status == "pending"


async def test_what_is_decided_elsewhere_is_told_in_the_call(world: World):
    async with holding(world, mails_leave=True) as desk:
        call_id, _ = await with_ann(desk)
        request = RequestApproval(title="t", action="a", approvers=(ANN, "tester"))
        asked = (await desk.desk.approvals.request(desk.call, request)).approval
        await desk.do(call_id, "ask", approval_id=asked.id)
        media = desk.media.calls[call_id]
        await media.until(lambda: media.messages("ask", 1) != [])
        await world.answer(desk.call, asked.id)
        await media.until(lambda: media.messages("asked", 1) != [])
        assert "approved" in media.messages("asked")[0]["outcome"]


async def test_a_question_that_a_call_cannot_show_whole_is_not_asked_there(world: World):
    async with holding(world, mails_leave=True) as desk:
        call_id, _ = await with_ann(desk)
        request = RequestApproval(title="t", action="a" * 19_000, approvers=(ANN,))
        asked = (await desk.desk.approvals.request(desk.call, request)).approval
        with pytest.raises(LimitExceeded, match="nobody decides on less"):
            await desk.do(call_id, "ask", approval_id=asked.id)


async def test_an_address_that_the_operator_does_not_allow_is_not_asked_in(world: World):
    async with holding(world, mails_leave=True, mail=EmailPolicy("smtp", allow=("*@example.org",))) as desk:
        with pytest.raises(PermissionDenied, match="may not send"):
            await desk.open(participants=["eve@elsewhere.test"])
        assert await world.events() == []
