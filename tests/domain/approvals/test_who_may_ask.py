"""Who asked may remind; only control asks others; whom the operator named nobody replaces."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.commands import ControlAgent
from mcp_server.domain.approvals.commands import FindApprovals, RequestApproval, Vote
from mcp_server.domain.approvals.model import ApprovalPolicy
from mcp_server.domain.approvals.views import ApprovalState, ApprovalView, RequestedApproval
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.email.policy import EmailPolicy
from mcp_server.domain.tasks.commands import CreateTasks
from mcp_server.kernel.authority import Permission, Role, Speaker
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import Conflict, IdempotencyConflict, PermissionDenied
from mcp_server.kernel.times import iso
from mcp_server.upkeep.replay import replay
from tests.domain.approvals.test_service import Posted, decide, work
from tests.domain.events.test_thinning import desk_with
from tests.world import World, caller

pytestmark = pytest.mark.anyio


async def asked(world: World, call: Call, **spec: Any) -> RequestedApproval:
    whole = {"title": "Deploy", "action": "Deploy v7.", "approvers": ["ann@x.org"]} | spec
    return await world.desk.approvals.request(call, RequestApproval.model_validate(whole))


async def now(world: World, approval: ApprovalState) -> ApprovalView:
    return await world.desk.approvals.get(world.call, approval.id)


def agents(world: World) -> Call:
    """A user who may ask, and has no control."""
    return caller(Role.AGENT, id="agents-user")


async def test_who_asked_reminds_by_asking_again_and_changes_nothing(world: World):
    world.desk = desk_with(world, ApprovalPolicy(links_base="http://desk.test", mails_leave=True))
    me, posted = agents(world), Posted()
    task = (await world.desk.tasks.create(me, _one())).tasks[0]
    first = await asked(world, me, task_id=task.id, quorum="all", expires_in_seconds=1000)
    await work(world, posted)
    again = await asked(world, me, task_id=task.id)
    await work(world, posted)
    assert (again.approval.id, again.approval.needed, again.links_sent_to) == (first.approval.id, 1, ["ann@x.org"])
    assert [mail.subject for mail in posted.mails] == [
        "Your approval is needed: Deploy",
        "Reminder: your approval is needed: Deploy",
    ]
    assert (await asked(world, me, task_id=task.id)).links_sent_to == [], "people are not worn down"
    for change in (
        {"approvers": ["meg"]},
        {"approvers": ["ann@x.org", "meg"]},
        {"quorum": "any", "approvers": []},
        {"expires_in_seconds": 1},
        {"title": "Something else"},
        {"action": "Something else."},
        {"details": {"more": 1}},
    ):
        with pytest.raises(PermissionDenied, match="asked already, and differs in .*approvals:control may change"):
            await asked(world, me, **({"task_id": task.id} | change))
    assert (await now(world, first.approval)).approvers == ["ann@x.org"]
    assert replay(world.url).differences == ()


async def test_control_asks_others_lowers_the_quorum_and_shortens_the_time(world: World):
    task = await world.task()
    await asked(world, world.call, task_id=task.id, approvers=["ann", "bob"], quorum="all")
    moved = (await asked(world, world.call, task_id=task.id, approvers=["cid"], expires_in_seconds=60)).approval
    assert ((await now(world, moved)).approvers, moved.needed) == (["cid"], 1)
    with pytest.raises(PermissionDenied):
        await decide(world, "ann", moved.id)
    assert (await decide(world, "cid", moved.id)).status == "approved"


async def test_an_agent_only_reminds_of_what_it_asked_even_where_its_principal_has_control(world: World):
    agent = await world.agent("scribe")
    speaking = replace(world.call, speaker=Speaker(agent.id, "scribe"))
    task = await world.task()
    approval = await now(world, (await asked(world, speaking, task_id=task.id)).approval)
    assert approval.requested_by == "agent:scribe via user:tester"
    with pytest.raises(PermissionDenied, match="differs in approvers"):
        await asked(world, speaking, task_id=task.id, approvers=["meg"])


async def test_whom_the_operator_named_nobody_replaces_and_no_agent_decides_about_its_mail(world: World):
    policy = EmailPolicy(allow=("*@x.org",), approvers=("boss",))
    world.desk = desk_with(world, policy)
    agent = await world.agent("scribe")
    for call in (world.call, caller(Role.AGENT, "agent", agent.id)):
        mail = SendEmail(to=("eve@evil.test",), subject="s", text="t")
        email = (await world.desk.emails.send(call, mail)).email
        assert email.approval_id is not None
        for changes in ({"approvers": ["tester"]}, {"approvers": [], "quorum": "any"}, {"expires_in_seconds": 1}):
            with pytest.raises(PermissionDenied, match="The operator named who decides on it, so nobody may"):
                task_id = (await world.desk.approvals.get(world.call, email.approval_id)).task_id
                await asked(world, call, **({"task_id": task_id} | changes))
        with pytest.raises(PermissionDenied):
            await world.answer(call, email.approval_id)
        with pytest.raises(PermissionDenied):
            await world.desk.approvals.ask(call, email.approval_id)
        assert (await world.desk.approvals.get(world.call, email.approval_id)).approvers == ["boss"]
    assert replay(world.url).differences == ()


async def test_nobody_gates_anothers_task_without_control(world: World):
    task = await world.task()
    agent = await world.agent()
    for other in (agents(world), caller(Role.AGENT, "agent", agent.id)):
        with pytest.raises(PermissionDenied, match="would hold it up"):
            await asked(world, other, task_id=task.id)
    assert await world.status(task) == "queued"
    await asked(world, world.call, task_id=task.id)
    assert await world.status(task) == "pending"


async def test_the_askers_words_about_a_task_are_shown_and_bound_with_what_the_task_will_do(world: World):
    task = await world.task(title="Drop", kind="sql", input={"table": "users"})
    spec = {"title": "May I?", "action": "Drop the table.", "details": {"why": "old"}, "approvers": ["ann"]}
    approval = await now(world, (await asked(world, world.call, task_id=task.id, **spec)).approval)
    assert (approval.title, approval.action, approval.details) == ("May I?", "Drop the table.", {"why": "old"})
    assert approval.about == {"title": "Drop", "kind": "sql", "input": {"table": "users"}}
    shown = await world.desk.approvals.shown(world.call, approval.id)
    for part in ("May I?", "Drop the table.", '"why":"old"', '"table":"users"', f"What {task.id} will do:"):
        assert part in shown.text

    def tamper(tx: Any) -> None:
        mark = "?" if world.database.engine == "sqlite" else "%s"
        tx._connection.execute(f"UPDATE tasks SET input = '1' WHERE id = {mark}", (task.id,))

    await world.database.write(tamper)
    with pytest.raises(Conflict, match="no longer what"):
        await decide(world, "ann", approval.id)
    again = await now(world, (await asked(world, agent_call(world), task_id=task.id, **spec)).approval)
    assert again.about is not None and again.about["input"] == 1 and again.action_hash != approval.action_hash
    assert (await decide(world, "ann", approval.id)).status == "approved"


def agent_call(world: World) -> Call:
    """The same principal, without control."""
    narrowed = world.call.actor.permissions - {Permission.APPROVALS_CONTROL}
    return replace(world.call, actor=world.call.actor.model_copy(update={"permissions": narrowed}))


async def test_a_key_repeats_a_request_for_its_principal_alone(world: World):
    mine, others = agents(world), caller(Role.AGENT, id="another")
    first = await asked(world, mine, idempotency_key="k", details={"a": 1, "b": 2.0})
    again = await asked(world, mine, idempotency_key="k", details={"b": 2, "a": 1})
    assert (again.approval.id, again.links_sent_to) == (first.approval.id, [])
    with pytest.raises(IdempotencyConflict, match="used for another approval"):
        await asked(world, mine, idempotency_key="k", title="Other")
    assert (await asked(world, others, idempotency_key="k", title="Other")).approval.id != first.approval.id
    task = (await world.desk.tasks.create(mine, _one())).tasks[0]
    about = await asked(world, mine, idempotency_key="t", task_id=task.id)
    await decide(world, "ann@x.org", about.approval.id)
    assert (await asked(world, mine, idempotency_key="t", task_id=task.id)).approval.status == "approved"
    assert replay(world.url).differences == ()


async def test_a_voter_answers_alone_and_with_the_right_to(world: World):
    approval = (await asked(world, world.call, approvers=["ann", "bob"])).approval
    seen = (await world.desk.approvals.shown(world.call, approval.id)).seen
    for call, voter in (
        (caller(id="ann"), Voter("bob", "link", "link")),
        (caller(Role.ADMIN, "agent", "ann"), Voter("ann", "link", "link")),
        (caller(Role.VIEWER, id="ann"), Voter("ann", "client", "session")),
    ):
        with pytest.raises(PermissionDenied):
            await world.desk.approvals.decide(call, voter, approval.id, Vote(approve=True), seen)
    assert (await now(world, approval)).status == "pending"


async def test_open_questions_of_one_that_leaves_are_named_and_go_to_its_heir(world: World):
    old, heir = await world.agent("old"), await world.agent("heir")
    me = caller(Role.AGENT, id="tester")
    by = [replace(me, speaker=Speaker(agent.id, agent.name)) for agent in (old, heir)]
    task = (await world.desk.tasks.create(by[0], _one())).tasks[0]
    approval = (await asked(world, by[0], task_id=task.id)).approval
    with pytest.raises(Conflict, match="question"):
        await world.desk.agents.control(world.call, ControlAgent(agent_id=old.id, action="terminate"))
    assert (await world.desk.approvals.get(by[1], approval.id)).handed_over is None
    command = ControlAgent(agent_id=old.id, action="terminate", to_agent="heir", reason="on leave")
    done = await world.desk.agents.control(world.call, command)
    assert approval.id in str(done)
    to = {"to": "heir", "by": "user:tester", "at": iso(world.clock()), "reason": "on leave"}
    (listed,) = (await world.desk.approvals.find(by[1], FindApprovals())).items
    assert [listed.handed_over, (await world.desk.approvals.get(by[1], approval.id)).handed_over] == [to, to]
    assert (await asked(world, by[1], task_id=task.id)).approval.id == approval.id
    assert replay(world.url).differences == ()


def _one() -> Any:
    return CreateTasks.model_validate({"tasks": [{"title": "t"}]})
