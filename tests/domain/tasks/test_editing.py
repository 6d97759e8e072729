"""Tasks and schedules that are changed, assigned and reassigned after they were created."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcp_server.domain.approvals.commands import RequestApproval, Vote
from mcp_server.domain.approvals.voting import Voter
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks, FindTasks
from mcp_server.domain.tasks.results import ControlledTasks, RefusalView
from mcp_server.domain.tasks.spec import FailureSpec, TaskChanges, TaskSpec
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.domain.tasks.views import TaskView
from mcp_server.kernel.errors import Conflict, InvalidTransition, LeaseLost, ValidationFailed
from mcp_server.kernel.times import SECOND
from mcp_server.upkeep.replay import replay
from tests.world import START, World, caller, open_world

pytestmark = pytest.mark.anyio


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START / SECOND, UTC) + timedelta(seconds=seconds)


async def control(world: World, task: Any, action: str, **more: Any) -> ControlledTasks:
    command = ControlTasks.model_validate({"task_ids": (task.id,), "action": action} | more)
    return await world.desk.tasks.control(world.call, command)


async def changed(world: World, task: Any, **more: Any) -> TaskState:
    answer = await control(world, task, "edit", **more)
    assert answer.refused is None, answer.refused
    return answer.tasks[0]


async def refusal(world: World, task: Any, action: str = "edit", **more: Any) -> RefusalView:
    answer = await control(world, task, action, **more)
    assert answer.refused is not None and answer.tasks == []
    return answer.refused[0]


async def now(world: World, task: Any) -> TaskView:
    return await world.desk.tasks.get(world.call, task.id)


async def test_a_queued_task_is_changed_in_whatever_is_given_and_nothing_else(world: World):
    agent = await world.agent(skills=("fly",))
    task = await world.task(title="old", input={"a": 1}, tags=["x"], timeout_seconds=5, description="d")
    state = await changed(
        world, task, priority="high", changes={"title": "new", "input": {"a": 2}, "required_capabilities": ["fly"]}
    )
    assert (state.title, state.priority, state.status) == ("new", "high", "queued")
    claimed = (await world.claim_one(agent)).task
    assert (claimed.title, claimed.input, claimed.tags, claimed.timeout_seconds, claimed.description) == (
        *("new", {"a": 2}, ["x"], 5, "d"),
    )
    events, _ = await world.desk.events.read(world.call, ReadEvents(aggregate_id=task.id))
    edited = next(event for event in events if event.type == "task.edited")
    assert edited.data.keys() - {"updated_at"} == {"title", "input", "priority", "required_capabilities"}


async def test_null_clears_and_what_is_the_same_is_no_change(world: World):
    task = await world.task(timeout_seconds=5, retry={"max_attempts": 7}, concurrency_key="db", title="t")
    await changed(world, task, changes={"timeout_seconds": None, "retry": None, "concurrency_key": None, "title": "t"})
    seen = await now(world, task)
    assert (seen.timeout_seconds, seen.max_attempts, seen.concurrency_key, seen.title) == (None, 3, None, "t")


async def test_a_task_is_moved_in_time_by_reschedule_and_by_edit(world: World):
    agent = await world.agent()
    task = await world.task()
    assert (await changed(world, task, run_at=at(60))).status == "pending"
    assert await world.claim(agent) == []
    assert (await changed(world, task, changes={"run_at": None})).status == "queued"
    assert (await control(world, task, "reschedule", run_at=at(30))).tasks[0].status == "pending"
    world.clock.advance(31)
    assert len(await world.claim(agent)) == 1


async def test_a_schedule_is_changed_and_fires_by_what_was_said_last(world: World):
    schedule = await world.task(title="nightly", schedule={"cron": "0 3 * * *"}, input=1)
    state = await changed(world, schedule, schedule={"cron": "*/10 * * * *"}, changes={"title": "often", "input": 2})
    assert state.status == "pending" and state.next_firings is not None
    assert state.next_firings[0] == "2027-01-15T08:10:00.000Z"
    world.clock.advance(600)
    await world.settle()
    fired = (await world.claim_one(await world.agent())).task
    assert (fired.title, fired.input, fired.parent_id) == ("often", 2, schedule.id)
    moved = await control(world, schedule, "reschedule", schedule={"cron": "0 4 * * *", "timezone": "Europe/Berlin"})
    assert moved.tasks[0].next_firings is not None and moved.tasks[0].next_firings[0] == "2027-01-16T03:00:00.000Z"
    later = await control(world, schedule, "reschedule", run_at=at(10 * 86_400))
    assert later.tasks[0].run_at == "2027-01-26T03:00:00.000Z"
    assert (await now(world, schedule)).schedule == {
        "cron": "0 4 * * *",
        "timezone": "Europe/Berlin",
        "catch_up": "skip",
        "overlap": "skip",
    }


async def test_a_paused_schedule_that_is_changed_stays_paused(world: World):
    schedule = await world.task(schedule={"cron": "0 3 * * *"})
    await control(world, schedule, "pause")
    assert (await changed(world, schedule, schedule={"cron": "*/10 * * * *"})).status == "paused"
    world.clock.advance(86_400)
    await world.settle()
    assert (await control(world, schedule, "resume")).tasks[0].run_at == "2027-01-16T08:10:00.000Z"


async def test_what_runs_is_not_changed_under_its_workers_hands_and_a_dead_letter_is_before_its_retry(world: World):
    agent = await world.agent()
    task = await world.task(input="bad")
    claimed = await world.claim_one(agent)
    refused = await refusal(world, task, changes={"input": "good"})
    assert refused.code == "invalid_transition" and "assign" in refused.message
    await world.finish(claimed, error=FailureSpec(message="no", retryable=False))
    assert (await changed(world, task, changes={"input": "good"})).status == "failed"
    assert (await refusal(world, task, run_at=at(60))).code == "invalid_transition"
    await control(world, task, "retry")
    assert (await world.claim_one(agent)).task.input == "good"


async def test_a_plain_task_does_not_become_a_schedule(world: World):
    task = await world.task()
    refused = await refusal(world, task, schedule={"cron": "0 3 * * *"})
    assert "is no schedule" in refused.message and "tasks_create" in refused.message
    assert "is no schedule" in (await refusal(world, task, "reschedule", schedule={"cron": "0 3 * * *"})).message


async def test_the_servers_own_tasks_are_neither_changed_nor_given_away(world: World):
    question = RequestApproval(title="may I?", action="deploy", approvers=())
    asked = await world.desk.approvals.request(world.call, question)
    own = await world.desk.tasks.get(world.call, asked.approval.task_id)
    assert "the server's own" in (await refusal(world, own, changes={"title": "x"})).message
    assert "the server's own" in (await refusal(world, own, "assign", agent_id=None)).message


async def test_what_people_approved_is_asked_anew_once_it_would_do_something_else(world: World):
    agent = await world.agent()
    task = await world.task(requires_approval=True, input="mild")
    await world.decide(caller(id="ann"), task.id, granted=True)
    assert (await changed(world, task, priority="high")).status == "queued", "that is not what was approved"
    state = await changed(world, task, changes={"input": "wild"})
    assert (state.status, state.approval) == ("pending", "required")
    assert await world.claim(agent) == []
    asked = await world.desk.approvals.get(world.call, task.id)
    assert (asked.status, asked.details["input"]) == ("pending", "wild")
    await world.decide(caller(id="ann"), task.id, granted=True)
    assert (await world.claim_one(agent)).task.input == "wild"


async def test_an_answer_to_what_a_task_was_does_not_let_it_do_what_it_is_now(world: World):
    task = await world.task(requires_approval=True, input="mild")
    shown = await world.desk.approvals.shown(world.call, task.id)
    await changed(world, task, changes={"input": "wild"})
    with pytest.raises(Conflict, match="has changed since it was shown"):
        voter = Voter("ann", "command line", "session")
        await world.desk.approvals.decide(caller(id="ann"), voter, task.id, Vote(approve=True), shown.seen)
    assert (await now(world, task)).approval == "required"


async def test_a_dead_letter_that_was_approved_and_then_changed_is_asked_about_at_its_retry(world: World):
    agent = await world.agent()
    task = await world.task(requires_approval=True)
    await world.decide(caller(id="ann"), task.id, granted=True)
    await world.finish(await world.claim_one(agent), error=FailureSpec(message="no", retryable=False))
    await changed(world, task, changes={"input": "wild"})
    await control(world, task, "retry")
    assert (await now(world, task)).status == "pending"
    await world.decide(caller(id="ann"), task.id, granted=True)
    assert (await world.claim_one(agent)).task.input == "wild"


async def test_what_its_worker_was_not_given_is_changed_while_a_task_runs(world: World):
    agent = await world.agent()
    first, second = await world.tasks({"concurrency_key": "k"}, {"concurrency_key": "k"})
    claimed = await world.claim_one(agent)
    held = (await now(world, second)).waits_for
    assert held and f"its concurrency_key (1 at a time, its own concurrency_limit) is held by {first.id}" in held[0]
    for task in (first, second):
        changes = {"concurrency_limit": 2, "tags": ["x"], "retry": {"max_attempts": 9}}
        state = await changed(world, task, priority="high", changes=changes)
        assert state.edited == ["concurrency_limit", "priority", "retry", "tags"]
    assert (await world.claim_one(agent)).task.id == second.id
    assert (await world.finish(claimed)).task.status == "completed"


async def test_what_the_worker_of_a_running_task_was_given_stays_and_the_refusal_says_what_may_change(world: World):
    agent = await world.agent()
    task = await world.task(title="old")
    await world.claim_one(agent)
    refused = await refusal(world, task, priority="high", changes={"title": "new", "input": 1})
    assert refused.code == "invalid_transition"
    assert "its worker was given input, title with its claim. Nothing of it was changed." in refused.message
    assert (await now(world, task)).priority == "normal"


async def test_a_running_task_that_is_given_to_another_is_taken_from_who_had_it_and_no_attempt_counts(world: World):
    one, two = await world.agent("one"), await world.agent("two")
    task = await world.task(retry={"max_attempts": 1})
    claimed = await world.claim_one(one)
    assert (await control(world, task, "assign", agent_id="one")).tasks[0].status == "running", "its own already"
    given_to = (await control(world, task, "assign", agent_id="two")).tasks[0]
    assert (given_to.status, given_to.agent_id) == ("queued", two.id)
    with pytest.raises(LeaseLost):
        await world.finish(claimed)
    assert await world.claim(one) == []
    again = await world.claim_one(two)
    assert again.attempt == 2
    assert (await world.finish(again, error=FailureSpec(message="no", retryable=True))).task.status == "failed"


async def test_a_running_task_that_is_given_to_anybody_goes_back_to_the_queue(world: World):
    one, two = await world.agent("one"), await world.agent("two")
    task = await world.task(agent_id="one")
    await world.claim_one(one)
    assert (await control(world, task, "assign", agent_id=None)).tasks[0].status == "queued"
    assert (await world.claim_one(two)).task.id == task.id


async def test_what_is_being_cancelled_is_given_to_nobody(world: World):
    task = await world.task()
    await world.claim_one(await world.agent("one"))
    await control(world, task, "cancel")
    assert "is being cancelled" in (await refusal(world, task, "assign", agent_id=None)).message


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"action": "edit"}, "edit needs `agent_id` or `priority` or `run_at` or `schedule` or `changes`"),
        ({"action": "edit", "changes": {"depends_on": []}}, "`depends_on` cannot be changed.*create another"),
        ({"action": "edit", "changes": {"requires_approval": True}}, "approvals_request"),
        ({"action": "edit", "changes": {"kind": "system.mine"}}, "reserved"),
        ({"action": "edit", "changes": {"titel": "x"}}, "titel"),
        ({"action": "edit", "changes": {"title": ""}}, "title"),
        ({"action": "edit", "schedule": {"cron": "often"}}, "not a cron expression"),
        ({"action": "cancel", "changes": {"title": "x"}}, "`changes` is taken by edit, not by cancel"),
        ({"action": "pause", "schedule": {"cron": "* * * * *"}}, "taken by reschedule and edit, not by pause"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_the_reason(how: dict[str, Any], reason: str):
    with pytest.raises((ValidationFailed, ValidationError, InvalidTransition), match=reason):
        ControlTasks.model_validate({"task_ids": ["task_x"]} | how)


@given(st.sets(st.sampled_from(sorted(TaskSpec.model_fields))))
def test_what_is_changed_is_what_was_said_and_nothing_that_is_fixed(names: set[str]):
    values = TaskSpec(title="t", schedule=None).model_dump()
    said = {name: values[name] for name in names}
    try:
        changes = TaskChanges.model_validate(said)
    except (ValidationError, ValidationFailed):
        assert names & {"depends_on", "parent_id", "requires_approval", "idempotency_key"}
    else:
        retry = {"max_attempts", "retry_delay_seconds", "retry_max_delay_seconds"}
        assert changes.said_columns().keys() == names - {"retry"} | (retry if "retry" in names else set())


EVERYTHING: dict[str, Any] = {
    "kind": "k",
    "tags": ["a"],
    "input": None,
    "title": "new",
    "description": "d",
    "priority": "low",
    "required_capabilities": ["fly"],
    "on_parent_failure": "cancel",
    "timeout_seconds": 9,
    "concurrency_key": "key",
    "retry": {"max_attempts": 9, "delay_seconds": 9, "max_delay_seconds": 9},
    "concurrency_limit": 2,
}


async def test_changes_are_rebuilt_from_their_events(url: str):
    async with open_world(url) as world:
        await world.agent("one", skills=("fly",))
        task, gated = await world.tasks({"input": [1]}, {"requires_approval": True, "run_at": at(300)})
        await world.decide(caller(id="ann"), gated.id, granted=True)
        schedule = await world.task(schedule={"cron": "0 3 * * *"})
        await changed(world, task, agent_id="one", run_at=at(60), changes=EVERYTHING)
        await changed(world, gated, changes={"title": "other"})
        await changed(world, schedule, schedule={"cron": "*/5 * * * *"}, changes={"required_capabilities": ["fly"]})
        world.clock.advance(600)
        await world.settle()
        await world.claim_one(await world.agent("two", skills=("fly",)))
        (fired,) = (await world.desk.tasks.find(world.call, FindTasks(status="running"))).items
        await control(world, fired, "assign", agent_id="one")
    assert replay(url).differences == ()


async def test_what_is_not_said_of_a_schedule_stays(world: World):
    nightly = await world.task(schedule={"cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "allow"})
    await control(world, nightly, "reschedule", schedule={"cron": "15 3 * * *"})
    changed_to = (await now(world, nightly)).schedule
    assert changed_to is not None
    assert (changed_to["cron"], changed_to["timezone"], changed_to["overlap"]) == (
        "15 3 * * *",
        "Europe/Berlin",
        "allow",
    )


async def test_a_schedule_keeps_its_cron_where_only_its_zone_is_said(world: World):
    nightly = await world.task(schedule={"cron": "30 2 * * *", "timezone": "Europe/Berlin"})
    for action in ("reschedule", "edit"):
        answer = await control(world, nightly, action, schedule={"timezone": "America/New_York"})
        assert answer.refused is None
    seen = (await now(world, nightly)).schedule
    assert seen is not None and (seen["cron"], seen["timezone"]) == ("30 2 * * *", "America/New_York")


async def test_a_schedule_that_is_put_off_says_what_it_leaves_out_and_that_run_at_runs_nothing(world: World):
    daily = await world.task(schedule={"cron": "0 3 * * *"})
    put_off = await control(world, daily, "reschedule", run_at=at(10 * 86_400))
    assert put_off.warnings == [
        f"{daily.id}: 10 firings, 2027-01-16T03:00:00.000Z to 2027-01-25T03:00:00.000Z, are left out: from run_at on "
        "it fires at its own times."
    ]
    at_once = await control(world, daily, "reschedule", run_at=at(0))
    assert (
        at_once.warnings is not None and "nothing runs at once; action='run_now' makes one run" in at_once.warnings[0]
    )
    assert (await control(world, daily, "reschedule", schedule={"cron": "0 4 * * *"})).warnings is None


async def test_what_is_put_off_while_it_is_paused_is_put_off_once_it_is_resumed(world: World):
    daily = await world.task(schedule={"cron": "0 3 * * *"})
    await control(world, daily, "pause")
    moved = await control(world, daily, "reschedule", run_at=at(10 * 86_400))
    assert moved.warnings is not None and moved.warnings[0].endswith("it is paused, and fires once it is resumed.")
    assert (await control(world, daily, "resume")).tasks[0].run_at == "2027-01-26T03:00:00.000Z"
    assert replay(world.url).differences == ()
