"""The promises of approvals, on both engines."""

import json
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval, Vote
from mcp_server.domain.approvals.model import ApprovalPolicy, Seen
from mcp_server.domain.approvals.views import ApprovalState, ApprovalView
from mcp_server.domain.approvals.voting import Voter, user_at
from mcp_server.domain.areas import AREAS
from mcp_server.domain.email.commands import FindEmails
from mcp_server.domain.email.transport import Mailer, MailProvider
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks, WaitForTasks
from mcp_server.domain.tasks.rules import TaskAction
from mcp_server.kernel.authority import SYSTEM, Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, InvalidTransition, NotFound, PermissionDenied, ValidationFailed
from mcp_server.kernel.paging import Listed
from mcp_server.kernel.times import duration, iso
from mcp_server.kernel.views import dumped
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.upkeep.replay import replay
from tests.domain.events.test_thinning import KEEP, desk_with, thin_out
from tests.world import World, caller

pytestmark = pytest.mark.anyio


class Posted:
    """A provider that keeps what it was given."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def send(self, mail: Any, recipients: Any, hand_over: Any) -> Any:
        from mcp_server.domain.email.model import outcomes_for
        from mcp_server.domain.email.transport import Report

        await hand_over()
        self.mails.append(mail)
        return Report(outcomes_for(recipients, "sent", 250, "ok"))

    async def close(self) -> None: ...


async def work(world: World, posted: Mailer | None = None) -> None:
    """Do every system task that is ready."""
    provider = posted or Posted()
    desk = desk_with(world, world.desk.approvals.policy, MailProvider(lambda: provider))
    worker = SystemWorker(desk, AREAS.kinds)
    while await worker.look():
        await worker.idle()


async def request(world: World, *approvers: str, **spec: Any) -> ApprovalState:
    whole = {"title": "Deploy", "action": "Deploy v7 to production.", "approvers": approvers} | spec
    return (await world.desk.approvals.request(world.call, RequestApproval.model_validate(whole))).approval


async def find(world: World, **narrowed: Any) -> Listed[ApprovalView]:
    return await world.desk.approvals.find(world.call, FindApprovals.model_validate(narrowed))


async def control(world: World, task_id: str, action: TaskAction, reason: str | None = None) -> None:
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task_id,), action=action, reason=reason))


def links_to(world: World, base: str) -> None:
    world.desk = desk_with(world, ApprovalPolicy(links_base=base, mails_leave=True))


async def decide(world: World, who: str, id: str, granted: bool = True, reason: str | None = None) -> ApprovalView:
    approval, _ = await world.answer(caller(id=who), id, granted, reason)
    return approval


async def task_status(world: World, approval: ApprovalState) -> str:
    return (await world.desk.tasks.get(world.call, approval.task_id)).status


async def test_an_approved_action_can_be_waited_for_as_a_task(world: World):
    approval = await request(world, "ann", details={"version": 7})
    assert (approval.status, approval.needed, await task_status(world, approval)) == ("pending", 1, "pending")
    decided = await decide(world, "Ann", approval.id, reason="looks good")
    assert decided.status == "approved" and decided.answers is not None
    assert [(a.by, a.granted, a.via, a.note) for a in decided.answers] == [("ann", True, "command line", "looks good")]
    await work(world)
    waited = await world.desk.tasks.wait(world.call, WaitForTasks(task_id=approval.task_id, wait_seconds=0))
    assert (waited.task.status, waited.task.result, waited.reached) == ("completed", {"approved": True}, True)


async def test_a_rejection_cancels_what_waited_and_a_second_answer_is_told_who_decided_and_when(world: World):
    approval = await request(world, "ann", "bob", quorum="all")
    assert (await decide(world, "bob", approval.id, False, reason="not today")).status == "rejected"
    task = await world.desk.tasks.get(world.call, approval.task_id)
    assert (task.status, task.cancel_reason) == ("cancelled", "rejected by bob: not today")
    with pytest.raises(
        InvalidTransition, match=r"rejected \(bob rejected by command line at 2027-01-15T08:00:00.000Z\)"
    ):
        await decide(world, "ann", approval.id)
    await work(world)
    assert await task_status(world, approval) == "cancelled"


@pytest.mark.parametrize(
    ("quorum", "answers", "status"),
    [
        ("any", [("a", True)], "approved"),
        ("any", [("a", False), ("b", True)], "approved"),
        ("any", [("a", False), ("b", False), ("c", False)], "rejected"),
        ("all", [("a", True), ("b", True)], "pending"),
        ("all", [("a", True), ("b", False)], "rejected"),
        ("all", [("a", True), ("b", True), ("c", True)], "approved"),
        (2, [("a", True), ("b", False)], "pending"),
        (2, [("a", False), ("b", False)], "rejected"),
        (2, [("a", True), ("c", True)], "approved"),
    ],
)
async def test_a_quorum_decides_as_soon_as_it_can(world: World, quorum: Any, answers: Any, status: str):
    approval = await request(world, "a", "b", "c", quorum=quorum)
    for who, granted in answers:
        approval = await decide(world, who, approval.id, granted)
    assert approval.status == status


async def test_nobody_answers_twice_or_without_being_asked(world: World):
    approval = await request(world, "ann", "bob", quorum="all")
    await decide(world, "ann", approval.id)
    with pytest.raises(InvalidTransition, match="ann has answered"):
        await decide(world, "ann", approval.id, False)
    with pytest.raises(PermissionDenied, match="eve is not asked"):
        await decide(world, "eve", approval.id)
    assert (await world.desk.approvals.get(world.call, approval.id)).status == "pending"


async def test_agents_ask_and_never_decide(world: World):
    agent = await world.agent()
    as_agent = caller(Role.AGENT, "agent", agent.id)
    command = RequestApproval(title="t", action="a", approvers=())
    approval = (await world.desk.approvals.request(as_agent, command)).approval
    for actor in (as_agent, caller(Role.ADMIN, "agent", agent.id), Call(SYSTEM, "s"), caller(Role.VIEWER)):
        for attempt in (
            world.answer(actor, approval.id),
            world.desk.approvals.answered(actor, approval.id, "accept", {"approve": True}),
            world.desk.approvals.ask(actor, approval.id),
        ):
            with pytest.raises(PermissionDenied):
                await attempt
    assert (await world.desk.approvals.get(world.call, approval.id)).status == "pending"


async def test_silence_is_not_consent(world: World):
    approval = await request(world, "ann", expires_in_seconds=100)
    world.clock.advance(101)
    with pytest.raises(InvalidTransition, match="is expired"):
        await decide(world, "ann", approval.id)
    await world.settle()
    assert (await world.desk.approvals.get(world.call, approval.id)).status == "expired"
    task = await world.desk.tasks.get(world.call, approval.task_id)
    assert (task.status, task.cancel_reason) == ("cancelled", "expired: nobody decided in time")
    assert task.approval == "expired", "nobody has rejected it"
    assert await world.desk.housekeeping.next_due() is None


async def test_a_task_that_needs_an_approval_brings_its_own_question_bound_to_what_it_will_do(world: World):
    task = await world.task(title="Drop the table", kind="sql", input={"table": "users"}, requires_approval=True)
    (approval,) = (await find(world, task_id=task.id)).items
    shown = await world.desk.approvals.get(world.call, approval.id)
    assert (shown.title, shown.details) == ("Drop the table", {"kind": "sql", "input": {"table": "users"}})
    call, yes = caller(id="ann"), Vote(approve=True)
    seen = (await world.desk.approvals.shown(call, task.id)).seen
    for other in (Seen("0" * 64, seen.opened_at), Seen(seen.action_hash, seen.opened_at - 1)):
        with pytest.raises(Conflict, match="has changed since it was shown"):
            await world.desk.approvals.decide(call, user_at(call, "command line"), task.id, yes, other)

    def tamper(tx: Any) -> None:
        mark = "?" if world.database.engine == "sqlite" else "%s"
        tx._connection.execute(f"UPDATE tasks SET input = '1' WHERE id = {mark}", (task.id,))

    await world.database.write(tamper)
    with pytest.raises(Conflict, match="no longer what"):
        await decide(world, "ann", task.id)
    assert await world.status(task) == "pending"


async def test_a_task_can_be_put_to_certain_people_until_somebody_answers_or_it_starts(world: World):
    agent = await world.agent()
    task = await world.task()
    approval = await request(world, "ann", "bob", task_id=task.id, quorum="all")
    assert await world.claim(agent) == []
    moved = await request(world, "cid", "dan", task_id=task.id, quorum="all")
    assert moved.id == approval.id
    assert (await world.desk.approvals.get(world.call, moved.id)).approvers == ["cid", "dan"]
    with pytest.raises(PermissionDenied):
        await decide(world, "ann", approval.id)
    await decide(world, "cid", approval.id)
    with pytest.raises(Conflict, match="answered in part"):
        await request(world, "eve", task_id=task.id)
    await decide(world, "dan", approval.id)
    assert (await world.claim_one(agent)).task.id == task.id
    with pytest.raises(InvalidTransition, match="nobody can be asked any more"):
        await request(world, "eve", task_id=task.id)
    with pytest.raises(NotFound):
        await request(world, "eve", task_id="task_aaaaaaaaaaaa")


async def test_what_is_cancelled_needs_no_decision_and_a_retry_asks_anew(world: World):
    task = await world.task(requires_approval=True)
    (approval,) = (await find(world, task_id=task.id)).items
    await control(world, task.id, "cancel", reason="the table is gone")
    withdrawn = await world.desk.approvals.get(world.call, approval.id)
    assert (withdrawn.status, withdrawn.outcome) == (
        "withdrawn",
        {"by": "user:tester", "reason": "the table is gone"},
    )
    assert (await find(world, task_id=task.id)).items[0].outcome == withdrawn.outcome, "also in lists"
    with pytest.raises(InvalidTransition, match="withdrawn"):
        await decide(world, "ann", approval.id)
    await control(world, task.id, "retry")
    again = await world.desk.approvals.get(world.call, approval.id)
    assert (again.status, again.answers, await world.status(task)) == ("pending", None, "pending")
    await decide(world, "ann", approval.id)
    assert await world.status(task) == "queued"


async def test_approvers_with_an_address_get_a_mail_with_their_own_link_and_a_reminder(world: World):
    links_to(world, "https://desk.example.org/")
    posted = Posted()
    approval = await request(world, "ann@example.org", "bob@example.org", "cid", quorum="all", expires_in_seconds=1000)
    await work(world, posted)
    assert sorted(mail.to[0] for mail in posted.mails) == ["ann@example.org", "bob@example.org"]
    links = {mail.to[0]: line for mail in posted.mails for line in mail.text.splitlines() if "https://" in line}
    for person, link in links.items():
        token = link.removeprefix("https://desk.example.org/approvals/")
        opened = await world.desk.approvals.open_link(token)
        assert (opened.voter, opened.approval.id) == (Voter(person, "link", "link"), approval.id)
        for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), token.replace(".0.", ".1."), "x", "a.b.c", ""):
            if wrong != token:
                with pytest.raises(NotFound, match="not valid"):
                    await world.desk.approvals.open_link(wrong)
    await decide(world, "ann@example.org", approval.id)
    world.clock.advance(501)
    await world.settle()
    await work(world, posted)
    assert [mail.to[0] for mail in posted.mails[2:]] == ["bob@example.org"]
    assert posted.mails[2].subject == "Reminder: your approval is needed: Deploy"


@pytest.mark.parametrize(
    ("policy", "links", "end"),
    [
        (ApprovalPolicy(links_base="http://desk.test"), [], "`doctor` tells the operator where that is."),
        (ApprovalPolicy(command_line="desk --database x"), [], "`doctor` tells the operator where that is."),
        (
            ApprovalPolicy(mails_leave=True, command_line="desk --database x"),
            [],
            "desk --database x {id} --user ann@example.org",
        ),
        (ApprovalPolicy(mails_leave=True), [], "Decide where the operator of this server lets you."),
        (ApprovalPolicy(links_base="http://desk.test", mails_leave=True), ["ann@example.org"], "{link}"),
    ],
    ids=["outbox folder", "outbox folder without pages", "no pages", "no pages, no command", "pages"],
)
async def test_a_mail_holds_a_link_where_it_leaves_and_who_asked_is_told_the_truth(
    world: World, policy: ApprovalPolicy, links: list[str], end: str
):
    world.desk = desk_with(world, policy)
    spec = {"title": "Deploy =?utf-8?q?=0D=0ABcc?=", "action": "Now.", "approvers": ["Ann <ann@example.org>", "bob"]}
    asked = await world.desk.approvals.request(world.call, RequestApproval.model_validate(spec))
    assert asked.links_sent_to == links
    posted = Posted()
    await work(world, posted)
    (mail,) = posted.mails
    link = await world.desk.approvals.link(asked.approval.id, "ann@example.org")
    assert mail.text.strip().endswith(end.format(id=asked.approval.id, link=link))
    assert (await world.desk.approvals.shown(world.call, asked.approval.id)).text in mail.text
    assert mail.subject == "Your approval is needed: Deploy =?utf-8?q?=0D=0ABcc?="


async def test_no_result_event_or_mail_record_holds_a_link(world: World):
    links_to(world, "https://desk.example.org")
    posted = Posted()
    approval = await request(world, "ann@example.org")
    await work(world, posted)
    (token,) = [line.rsplit("/", 1)[1] for line in posted.mails[0].text.splitlines() if "/approvals/" in line]
    signature = token.split(".")[2]
    (email,) = (await world.desk.emails.find(world.call, FindEmails())).items
    seen = [
        await world.desk.emails.get(world.call, email.id or ""),
        await world.desk.approvals.get(world.call, approval.id),
        *(await world.desk.events.read(world.call, ReadEvents(limit=100)))[0],
    ]
    assert not any(signature in json.dumps(dumped(view)) for view in seen)


async def test_a_mail_that_asks_for_what_is_decided_is_not_sent_and_old_links_are_void(world: World):
    links_to(world, "https://desk.example.org")
    approval = await request(world, "ann@example.org")
    link = await world.desk.approvals.link(approval.id, "ann@example.org")
    assert link is not None
    await control(world, approval.task_id, "cancel")
    posted = Posted()
    await work(world, posted)
    assert posted.mails == []
    await control(world, approval.task_id, "retry")
    world.clock.advance(1)
    token = link.rsplit("/", 1)[1]
    reopened = await world.desk.approvals.open_link(token)  # asked anew in the same microsecond: the same question
    assert reopened.approval.status == "pending"
    world.clock.advance(1)
    await control(world, approval.task_id, "cancel")
    await control(world, approval.task_id, "retry")
    with pytest.raises(NotFound, match="not valid"):
        await world.desk.approvals.open_link(token)


async def test_naming_an_approver_is_no_way_around_the_list_of_allowed_recipients(world: World):
    policy = ApprovalPolicy(allow=("*@example.org",), approvers=("boss@corp.test",))
    world.desk = desk_with(world, policy)
    with pytest.raises(PermissionDenied, match="may not send to eve@evil.test"):
        await request(world, "ann@example.org", "eve@evil.test")
    assert await world.events() == []
    await request(world, "ann@example.org", "Boss@corp.test", "cid")


async def test_a_quorum_that_cannot_be_reached_is_refused(world: World):
    for approvers, quorum in ((("a", "A"), 2), (("a",), 0), ((), 2)):
        with pytest.raises(ValidationFailed, match="cannot be reached"):
            await request(world, *approvers, quorum=quorum)
    assert await world.events() == []


async def test_approvals_are_found_by_status_approver_and_task(world: World):
    one = await request(world, "ann", "bob")
    two = await request(world, "bob")
    await decide(world, "bob", two.id)
    assert [a.id for a in (await find(world, approver="ANN")).items] == [one.id]
    assert [a.id for a in (await find(world, status="approved")).items] == [two.id]
    page, cursor, omitted = await find(world, limit=1)
    rest, end, _ = await find(world, limit=1, cursor=cursor)
    assert ({page[0].id, rest[0].id}, omitted, end) == ({one.id, two.id}, 1, None)
    with pytest.raises(NotFound):
        await world.desk.approvals.get(world.call, "approval_none")


async def test_whom_a_question_is_put_to_finds_it_page_by_page_by_the_whole_name_and_others_do_once_they_are_asked(
    world: World,
):
    one, two, three = [await request(world, *names) for names in (("ann", "bob"), ("bob",), ("cid", "Bob"))]
    await decide(world, "bob", two.id)
    pages = [await find(world, approver="BOB", limit=1)]
    while pages[-1].next_cursor is not None:
        pages.append(await find(world, approver="BOB", limit=1, cursor=pages[-1].next_cursor))
    assert sorted(page.items[0].id for page in pages) == sorted((one.id, two.id, three.id))
    assert [page.omitted for page in pages] == [2, 1, None]
    assert [each.id for each in (await find(world, approver="bob", status="approved")).items] == [two.id]
    for other in ("bo", "bobb", 'ann", "bob'):
        assert (await find(world, approver=other)).items == []
    await request(world, "dan", task_id=three.task_id)
    assert [each.id for each in (await find(world, approver="dan")).items] == [three.id]
    assert three.id not in {each.id for each in (await find(world, approver="bob")).items}
    assert replay(world.url).differences == ()


async def test_approvals_and_mails_are_rebuilt_from_their_events_and_from_snapshots(world: World):
    approval = await request(world, "ann@example.org", details={"a": [1]}, expires_in_seconds=1000)
    await work(world)
    world.clock.advance(600)
    await world.settle()
    await work(world)
    await decide(world, "ann@example.org", approval.id)
    await request(world, "cid", details="in words")
    await work(world)
    assert replay(world.url).differences == ()
    world.clock.advance(95 * 86_400)
    assert await thin_out(world, KEEP) > 0
    assert replay(world.url).differences == ()


async def test_a_task_for_later_that_has_to_wait_for_an_answer_is_due_at_its_time_once_it_has_one(world: World):
    task = await world.task(run_at=iso(world.clock() + duration(60)))
    approval = await request(world, "ann", task_id=task.id)
    await decide(world, "ann", approval.id)
    assert await world.status(task) == "pending"
    world.clock.advance(61)
    await world.settle()
    assert await world.status(task) == "queued"
