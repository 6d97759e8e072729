"""Why a task waits, as lists and single tasks say it, and what is warned of at creation."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents import workers
from mcp_server.domain.agents.commands import BudgetSpec, ControlAgent, Register
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import approval_id_of
from mcp_server.domain.tasks.commands import ClaimTasks, ControlTasks, CreateTasks, FindTasks
from mcp_server.domain.tasks.lines import task_line
from mcp_server.domain.tasks.spec import FailureSpec, TaskSpec, UsageSpec
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.times import iso
from tests.domain.tasks.test_editing import at
from tests.world import World

pytestmark = pytest.mark.anyio


async def why(world: World, task: Any) -> str:
    """What one task and a list say of the same task, which is the same."""
    alone = (await world.desk.tasks.get(world.call, task.id)).waits_for
    listed = (await world.desk.tasks.find(world.call, FindTasks(limit=100))).items
    assert alone == next(one.waits_for for one in listed if one.id == task.id)
    return "; ".join(alone or ())


async def warned(world: World, **spec: Any) -> list[str]:
    command = CreateTasks.model_validate({"tasks": [{"title": "t"} | spec]})
    created = await world.desk.tasks.create(world.call, command)
    assert all(warning.startswith(f"{created.tasks[0].id}: ") for warning in created.warnings or ())
    return [warning.partition(": ")[2] for warning in created.warnings or ()]


async def steer(world: World, agent: Any, action: Any) -> None:
    await world.desk.agents.control(world.call, ControlAgent(agent_id=agent.id, action=action))


async def test_a_task_that_nobody_can_do_says_what_is_lacking_and_who_comes_nearest(world: World):
    await world.agent("builder", skills=("build", "test"))
    await world.agent("sleeper", skills=("sleep",))
    both = await world.task(required_capabilities=["build", "fly"])
    assert await why(world, both) == ("no agent has 'build' and 'fly' together; nearest is builder, which lacks 'fly'")
    misspelt = await world.task(required_capabilities=["buidl"])
    assert await why(world, misspelt) == "no agent has 'buidl'; agents have 'build'"
    assert await why(world, await world.task(required_capabilities=["fly"])) == "no agent has 'fly'"
    assert await why(world, await world.task(required_capabilities=["build"])) == ""


async def test_a_task_whose_agents_are_all_busy_paused_draining_or_silent_says_so(world: World):
    one = await world.agent("one", skills=("build",), capacity=1)
    two = await world.agent("two", skills=("build",))
    three, _ = await world.instance("three")
    await world.agent("three", skills=("build",))
    spec = {"required_capabilities": ["build"]}
    held = await world.task(**spec)
    await world.claim_one(one)
    since = iso(world.clock.now)
    task = await world.task(**spec)
    assert await why(world, task) == ""
    await steer(world, two, "pause")
    world.clock.advance(100)
    await world.settle()
    assert await why(world, task) == (
        f"who could do it cannot now: one runs 1 of 1 ({held.id} since {since}), three has not been heard of for a "
        "minute, two is in maintenance (paused)"
    )
    await steer(world, three, "drain")
    assert "three is in maintenance (draining)" in await why(world, task)


async def test_a_task_for_one_agent_alone_says_what_that_one_lacks_or_that_it_has_left(world: World):
    agent = await world.agent("one")
    task = await world.task(agent_id="one", required_capabilities=["fly"])
    assert await why(world, task) == "it is for one alone, which lacks 'fly'"
    other = await world.agent("other")
    left = await world.task(agent_id="other")
    leave = ControlAgent(agent_id=other.id, action="terminate", to_agent="one")
    await world.desk.agents.control(world.call, leave)
    assert await why(world, left) == "", "it was handed over"
    await steer(world, agent, "pause")
    assert await why(world, left) == "who could do it cannot now: one is in maintenance (paused)"


async def test_a_held_concurrency_key_is_said_with_who_holds_it_and_until_when(world: World):
    agent = await world.agent("one")
    first, second = await world.tasks({"concurrency_key": "db"}, {"concurrency_key": "db"})
    await world.claim_one(agent, lease_seconds=60)
    assert await why(world, second) == (
        f"its concurrency_key (1 at a time, its own concurrency_limit) is held by {first.id} (one since "
        "2027-01-15T08:00:00.000Z, lease until 2027-01-15T08:01:00.000Z)"
    )


async def test_a_claim_of_several_says_what_it_left_and_the_end_of_a_holder_what_can_run_now(world: World):
    agent = await world.agent("one")
    first, second, third = await world.tasks(*[{"concurrency_key": "db"}] * 3)
    claimed = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id, max_tasks=3))
    held = f"2 held by concurrency key ({second.id}, by its own concurrency_limit)"
    assert claimed.no_more_because == f"nothing else is ready that it can do: {held}"
    done = await world.finish(claimed.claims[0])
    assert (claimed.claims[0].task.id, done.released, done.freed) == (first.id, [], [second.id])
    one = await world.claim_one(agent)
    assert (await world.finish(one)).freed == [third.id]
    assert (await world.finish(await world.claim_one(agent))).freed is None


async def test_a_task_that_is_tried_again_frees_its_concurrency_key_for_the_others(world: World):
    agent = await world.agent("one")
    _, second = await world.tasks(*[{"concurrency_key": "db", "retry": {"max_attempts": 3}}] * 2)
    failed = await world.finish(await world.claim_one(agent), error=FailureSpec(message="later"))
    assert (failed.task.status, failed.freed) == ("pending", [second.id])


async def test_why_a_task_is_paused_is_shown_until_it_is_resumed(world: World):
    task = await world.task()

    async def control(action: Any, **more: Any) -> None:
        command = ControlTasks(task_ids=(task.id,), action=action, **more)
        await world.desk.tasks.control(world.call, command)

    async def reasons() -> list[str | None]:
        (listed,) = (await world.desk.tasks.find(world.call, FindTasks())).items
        shown = await world.desk.tasks.get(world.call, task.id)
        return [listed.pause_reason, shown.pause_reason, shown.cancel_reason]

    await control("pause", reason="waits for the budget")
    assert await reasons() == ["waits for the budget", "waits for the budget", None]
    await control("resume")
    await control("pause")
    assert await reasons() == [None, None, None]
    await control("resume")
    await control("cancel", reason="not needed")
    assert await reasons() == [None, None, "not needed"]


async def test_a_dependency_that_ended_badly_is_said_with_the_policy(world: World):
    agent = await world.agent()
    parent, child = await world.tasks({"title": "parent"}, {"depends_on": ["#0"]})
    assert await why(world, child) == f"1 unfinished dependency ({parent.id})"
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no", retryable=False))
    said = await why(world, child)
    assert f"{parent.id} ended as failed, so it waits for a retry (on_parent_failure wait)" in said
    shown = await world.desk.tasks.get(world.call, child.id)
    assert [(one.id, one.status) for one in shown.waits_for_tasks or ()] == [(parent.id, "failed")]
    assert await warned(world, depends_on=[parent.id]) == [
        f"{parent.id} ended as failed, so it waits for a retry (on_parent_failure wait)."
    ]


async def test_time_and_people_are_said_as_before(world: World):
    task = await world.task(run_at=at(60), requires_approval=True)
    asked = f"a person's approval ({approval_id_of(task.id)})"
    assert await why(world, task) == f"{asked}; its time, 2027-01-15T08:01:00.000Z"


async def test_creation_warns_of_what_nobody_can_do_and_of_nothing_else(world: World):
    await world.agent("builder", skills=("build",))
    assert await warned(world, required_capabilities=["fly"]) == ["no agent has 'fly'."]
    assert await warned(world, agent_id="builder", required_capabilities=["fly"]) == [
        "it is for builder alone, which lacks 'fly'."
    ]
    schedule = {"cron": "0 3 * * *"}
    assert await warned(world, schedule=schedule, required_capabilities=["fly"]) == ["no agent has 'fly'."]
    for fine in ({}, {"required_capabilities": ["build"]}, {"agent_id": "builder"}, {"run_at": at(60)}):
        assert await warned(world, **fine) == []


async def test_schedules_are_listed_with_their_cron_and_nothing_else_is(world: World):
    agent = await world.agent()
    await world.task()
    cron = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "catch_up": "once"}
    schedule = await world.task(title="nightly", schedule=cron)
    world.clock.advance(86_400)
    await world.settle()
    assert len(await world.claim(agent, max_tasks=5)) == 2
    (listed,) = (await world.desk.tasks.find(world.call, FindTasks(schedules=True))).items
    assert listed.id == schedule.id and listed.schedule is not None
    assert (listed.schedule["cron"], listed.run_at) == ("0 3 * * *", "2027-01-17T02:00:00.000Z")
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(schedule.id,), action="cancel"))
    assert (await world.desk.tasks.find(world.call, FindTasks(schedules=True, status="pending"))).items == []


async def test_what_is_not_for_agents_is_no_reason_why_an_agent_gets_nothing(world: World):
    agent = await world.agent()
    await world.desk.approvals.request(world.call, RequestApproval(title="?", action="deploy", approvers=()))
    answer = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id))
    assert answer.nothing_because == {}


async def test_what_one_end_releases_is_claimed_in_the_order_of_its_creation(world: World):
    agent = await world.agent()
    specs = tuple(TaskSpec(title=f"{n}", depends_on=("#0",) if n else ()) for n in range(9))
    await world.desk.tasks.create(world.call, CreateTasks(tasks=specs))
    await world.finish(await world.claim_one(agent))
    claimed = await world.desk.tasks.claim(world.call, ClaimTasks(agent_id=agent.id, max_tasks=9))
    assert [one.task.title for one in claimed.claims] == [f"{n}" for n in range(1, 9)]


async def test_who_gives_work_to_an_agent_at_rest_is_told(world: World):
    two = await world.agent("two")
    command = CreateTasks(tasks=({"title": "t", "agent_id": two.id},))
    assert (await world.desk.tasks.create(world.call, command)).warnings is None
    for action, rests in (("drain", "draining"), ("pause", "paused")):
        await steer(world, two, action)
        made = await world.desk.tasks.create(world.call, command)
        assert made.warnings == [f"{made.tasks[0].id}: who could do it cannot now: two is in maintenance ({rests})."]


async def spend(world: World, agent: Any, cost_usd: float) -> None:
    """An attempt of an agent that has cost so much."""
    claimed = await world.claim_one(agent)
    await world.finish(claimed, usage=UsageSpec(cost_usd=cost_usd))


async def test_a_task_whose_agent_has_used_up_its_budget_says_so_and_creation_warns(world: World):
    budget = BudgetSpec(cost_usd_per_month=1, tokens_per_month=50)
    await world.desk.agents.register(world.call, Register(name="miser", budget=budget))
    miser = await world.desk.agents.get(world.call, "miser")
    await world.task(agent_id="miser")
    await spend(world, miser, 2)
    said = "who could do it cannot now: miser has used up its budget (2.00 of 1.00 USD, 0 of 50 tokens)"
    assert await warned(world, agent_id="miser") == [f"{said}."]
    assert await why(world, await world.task(agent_id="miser")) == said
    world.clock.advance(40 * 86_400)
    assert await warned(world, agent_id="miser") == [], "a new month, a new budget"


async def test_what_is_not_ready_is_what_has_not_ended_and_cannot_be_claimed_now(world: World):
    one, two = await world.agent("one", capacity=1), await world.agent("two", skills=("fly",))
    done, gone, running = await world.tasks({"title": "done"}, {"title": "gone"}, {"title": "running"})
    await world.finish(await world.claim_one(two))
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(gone.id,), action="cancel"))
    await world.claim_one(one)
    held, busy, free, lone, later, shut = await world.tasks(
        {"title": "held", "concurrency_key": "db"},
        {"title": "busy", "agent_id": one.id},
        {"title": "free", "tags": ["kept"]},
        {"title": "lone", "required_capabilities": ["dive"]},
        {"title": "later", "run_at": at(60), "tags": ["kept"]},
        {"title": "shut"},
    )
    await world.claim_one(two, kinds=["task"])
    second = await world.task(title="second", concurrency_key="db", tags=["kept"])
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(shut.id,), action="pause"))

    async def found(**narrowed: Any) -> set[str]:
        answer = await world.desk.tasks.find(world.call, FindTasks(limit=50, ready=False, **narrowed))
        assert answer.omitted is None
        assert all(one.waits_for or one.lease or one.status == "paused" for one in answer.items)
        return {one.id for one in answer.items}

    assert await found() == {running.id, held.id, busy.id, lone.id, later.id, shut.id, second.id}
    assert done.id not in await found() and free.id not in await found()
    assert await found(status="queued") == {busy.id, lone.id, second.id}
    assert await found(tag="kept") == {later.id, second.id}
    assert await found(agent_id=one.id) == {running.id, busy.id}
    with pytest.raises(ValueError, match='not ended, and not to be claimed now, which is not status="cancelled"'):
        FindTasks(ready=False, status="cancelled")


async def test_what_a_terminated_agent_alone_could_do_is_said_with_who_that_is(world: World):
    for name in ("bea", "cid"):
        await world.agent(name, skills=("cleaning",))
    await world.agent("dan", skills=("cooking",))
    task = await world.task(required_capabilities=["cleaning"])
    assert (await world.desk.tasks.get(world.call, task.id)).waits_for is None
    for name in ("bea", "cid"):
        world.clock.advance(1)
        await world.desk.agents.control(world.call, ControlAgent(agent_id=name, action="terminate"))
    told = await why(world, task)
    assert told.startswith(
        "no agent that is there has 'cleaning'; terminated: cid, bea (agents_control(action='resume')"
    )
    (said,) = await warned(world, required_capabilities=["cleaning"])
    assert "terminated: cid, bea" in said


async def test_a_list_says_why_a_task_was_cancelled(world: World):
    task = await world.task()
    reason = "not needed any more, since the customer has gone"
    await world.desk.tasks.control(world.call, ControlTasks(task_ids=(task.id,), action="cancel", reason=reason))
    (listed,) = (await world.desk.tasks.find(world.call, FindTasks())).items
    assert task_line(listed).cancel_reason == reason


async def test_what_nobody_can_do_is_looked_into_once_for_all_that_need_it_and_for_few_of_many_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    compared: list[str] = []

    def counting(name: str, known: Any) -> list[str]:
        del known
        compared.append(name)
        return ["build"]

    monkeypatch.setattr(workers, "near", counting)
    await world.agent("builder", skills=("build",))
    for _ in range(3):
        await world.task(required_capabilities=["buidl"])
    compared.clear()
    listed = (await world.desk.tasks.find(world.call, FindTasks(limit=100))).items
    assert [one.waits_for for one in listed] == [["no agent has 'buidl'; agents have 'build'"]] * 3
    assert compared == ["buidl"]
    for number in range(8):
        await world.task(required_capabilities=[f"x{number}-{one}" for one in range(16)])
    compared.clear()
    listed = (await world.desk.tasks.find(world.call, FindTasks(limit=100))).items
    assert all("no agent has" in str(one.waits_for) for one in listed)
    assert len(compared) <= 5 * 5


async def test_a_task_that_waits_for_people_says_for_whom_and_until_when_to_who_may_read_of_questions(world: World):
    task = await world.task(requires_approval=True)
    asked = RequestApproval(title="May I?", action="a", approvers=("ann@example.org", "bob"), task_id=task.id)
    opened = (await world.desk.approvals.request(world.call, asked)).approval
    told = f"({opened.id}, asked of ann@example.org, bob, open until {opened.expires_at})"
    assert await why(world, task) == f"a person's approval {told}"
    rights = world.call.actor.permissions - {Permission.APPROVALS_READ}
    narrow = replace(world.call, actor=world.call.actor.model_copy(update={"permissions": rights}))
    assert (await world.desk.tasks.get(narrow, task.id)).waits_for == ["a person's approval"]
