"""Several writes land in one transaction or not at all, each through the door of a call of its own."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.agents.commands import Register
from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.commit.model import CommitCalls
from mcp_server.domain.commit.service import CommitService, Committed
from mcp_server.domain.email.commands import FindEmails
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.messages.model import ReadMessages
from mcp_server.domain.tasks.commands import FindTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.call import Call
from mcp_server.kernel.composing import Composing
from mcp_server.kernel.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    OpsError,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.protocol import composing
from tests.world import World, caller, speaking
from tools import TOOLS

pytestmark = pytest.mark.anyio


def note(key: str = "plan", **more: Any) -> tuple[str, dict[str, Any]]:
    return "state_set", {"namespace": "n", "key": key, "value": {"step": 1}} | more


def jobs(*titles: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "tasks_create", {"tasks": [{"title": title} | more for title in titles]}


MAIL = ("email_send", {"to": "ann@example.org", "subject": "s", "text": "t"})


async def commit(world: World, *calls: tuple[str, dict[str, Any]], by: Call | None = None, **more: Any) -> Committed:
    asked = [{"tool": tool, "arguments": arguments} for tool, arguments in calls]
    command = CommitCalls.model_validate({"calls": asked} | more)
    return await world.desk.get(CommitService).commit(by or world.call, command)


async def nothing_landed(world: World) -> None:
    assert (await world.desk.tasks.find(world.call, FindTasks(include_system=True))).items == []
    assert (await world.desk.emails.find(world.call, FindEmails())).items == []
    with pytest.raises(NotFound):
        await world.read("n", "plan")


async def test_writes_of_five_areas_land_together_and_each_answers_what_it_answers_on_its_own(world: World):
    agent = await world.agent("scribe")
    before = (await world.desk.events.read(world.call, ReadEvents()))[1]
    done = await commit(
        world,
        note(),
        jobs("first", "second"),
        ("messages_send", {"to": ["scribe"], "body": "read n/plan"}),
        MAIL,
        ("locks_acquire", {"name": "release"}),
    )
    noted, created, sent, mailed, locked = done.results
    assert noted["document"]["version"] == 1 and [task["status"] for task in created["tasks"]] == ["queued", "queued"]
    assert sent["recipients"] == [agent.id] and mailed["email"]["status"] == "queued" and mailed["task"]["id"]
    assert locked["lock"]["name"] == "release"
    events, _ = await world.desk.events.read(world.call, ReadEvents(after=before, limit=100))
    told = [event.type for event in events if not event.type.startswith("queue")]
    assert told[:4] == ["document.set", "task.created", "task.created", "message.sent"] and "email.queued" in told
    assert len({event.correlation_id for event in events}) == 1


async def test_the_call_that_is_refused_is_named_with_its_code_and_its_details_and_nothing_landed(world: World):
    await world.write("other", "doc", 1)
    with pytest.raises(Conflict) as refused:
        await commit(
            world,
            jobs("t"),
            MAIL,
            ("state_set", {"namespace": "other", "key": "doc", "value": 2, "expected_version": 7}),
        )
    assert refused.value.message.startswith("calls[2] state_set: You expected version 7")
    assert (refused.value.code, refused.value.details["call"], refused.value.details["tool"]) == (
        "conflict",
        2,
        "state_set",
    )
    assert refused.value.details["current_value"] == 1, "what the call itself would have been told"
    await nothing_landed(world)


@pytest.mark.parametrize(
    ("calls", "code", "words"),
    [
        ([note(), ("state_get", {"namespace": "n", "key": "k"})], "validation", r"calls\[1\] state_get: .*only writes"),
        ([note(), ("tasks_wait", {"task_id": "t"})], "validation", r"calls\[1\] tasks_wait"),
        ([note(), ("tasks_claim", {"agent_id": "a"})], "validation", r"calls\[1\] tasks_claim"),
        ([note(), ("messages_read", {})], "validation", r"calls\[1\] messages_read"),
        ([note(), ("approvals_request", {"title": "t", "action": "a", "approvers": []})], "validation", "depends_on"),
        ([note(), ("approvals_decide", {"approval_id": "a"})], "validation", "only writes"),
        ([note(), ("deployments_plan", {"deployment_id": "d"})], "validation", "only writes"),
        ([note(), ("commit", {"calls": []})], "validation", r"calls\[1\] commit"),
        ([note(), ("locks_acquire", {"name": "l", "wait_seconds": 1})], "validation", "hold a transaction up"),
        ([note(), ("email_send", MAIL[1] | {"dry_run": True})], "validation", "a dry run writes nothing"),
        ([note(), ("deployments_control", {"deployment_id": "d", "action": "check_drift"})], "validation", "only show"),
        ([note(), ("state_sett", {})], "validation", "Did you mean state_set"),
        ([note(), ("nothing like it", {})], "validation", r"calls\[1\] \"nothing like it\".*These can: "),
        ([note(), ("state_set", {"namespace": "n"})], "validation", r"calls\[1\] state_set: .*key"),
        ([note(), ("state_set", note()[1] | {"vlaue": 1})], "validation", r"calls\[1\].*vlaue"),
        ([note(), ("state_set", note()[1] | {"as_agent": "nobody"})], "not_found", r"calls\[1\] state_set"),
        ([note(), ("state_set", note()[1] | {"lease_token": "none"})], "lease_lost", r"calls\[1\] state_set"),
    ],
)  # fmt: skip
async def test_what_cannot_be_one_of_several_is_refused_and_nothing_landed(
    world: World, calls: list[Any], code: str, words: str
):
    with pytest.raises(OpsError, match=words) as refused:
        await commit(world, *calls)
    assert refused.value.code == code
    await nothing_landed(world)


async def test_one_to_twenty_calls(world: World):
    for count in (0, 21):
        with pytest.raises(ValueError):
            await commit(world, *[note(f"k{number}") for number in range(count)])
    assert len((await commit(world, *[note(f"k{number}") for number in range(20)])).results) == 20


async def test_rights_hold_inside_as_outside(world: World):
    with pytest.raises(PermissionDenied, match=r"calls\[1\] tasks_control: .*tasks:control"):
        control = ("tasks_control", {"task_ids": ["task_aaaaaaaaaaaa"], "action": "cancel"})
        await commit(world, note(), control, by=caller(Role.AGENT))
    with pytest.raises(PermissionDenied, match="commit:write"):
        await commit(world, note(), by=caller(Role.VIEWER))
    await nothing_landed(world)


async def test_a_tool_that_is_not_offered_does_not_exist_inside_either(world: World):
    narrow = replace(world.call, tools=frozenset(("commit", "state_set")))
    with pytest.raises(ValidationFailed, match=r"calls\[1\] tasks_create: .*These can: state_set\."):
        await commit(world, note(), jobs("t"), by=narrow)
    await nothing_landed(world)


async def test_a_call_may_name_what_one_before_it_made(world: World):
    done = await commit(
        world,
        ("agents_register", {"name": "builder"}),
        jobs("design", "build"),
        (
            "tasks_create",
            {"tasks": [{"title": "test", "depends_on": ["@1.1", "#1"]}, {"title": "doc", "agent_id": "@0.0"}]},
        ),
        MAIL,
        ("tasks_create", {"tasks": [{"title": "once it is sent", "depends_on": ["@3.1"], "parent_id": "@1.0"}]}),
        ("messages_send", {"to": ["@0.0"], "body": "hello", "subject": "the build"}),
        ("messages_send", {"thread_id": "@5.0", "to": ["@0.0"], "body": "more"}),
        ("tasks_control", {"task_ids": ["@1.0"], "action": "set_priority", "priority": "high"}),
    )
    agent, jobs_, tests, mail, last, first, _, controlled = done.results
    design, build = (task["id"] for task in jobs_["tasks"])
    test = await world.desk.tasks.get(world.call, tests["tasks"][0]["id"])
    assert set(test.depends_on or ()) == {build, tests["tasks"][1]["id"]}
    assert (await world.desk.tasks.get(world.call, tests["tasks"][1]["id"])).agent_id == agent["agent"]["id"]
    waits = await world.desk.tasks.get(world.call, last["tasks"][0]["id"])
    assert (waits.depends_on, waits.parent_id) == ([mail["task"]["id"]], design)
    inbox = await world.desk.messages.read(world.call, ReadMessages(agent_id="builder", unread_only=False))
    assert [(one.subject, one.body, one.thread_id) for one in inbox.messages][0] == (
        "the build",
        "hello",
        first["message"]["id"],
    )
    assert len({one.thread_id for one in inbox.messages}) == 1
    assert controlled["tasks"][0]["id"] == design


async def test_a_reference_stands_only_for_what_a_call_before_made(world: World):
    for depends_on, words in (
        ("@0.0", "@0.0 is nothing: call 0 makes 0"),
        ("@1.2", "call 1 makes 1. Choose from @1.0 to @1.0"),
        ("@2.0", "is not before this one"),
        ("@9.0", "is not before this one"),
    ):
        with pytest.raises(ValidationFailed, match=rf"calls\[2\] tasks_create: .*{words}"):
            await commit(world, note(), jobs("t"), jobs("u", depends_on=[depends_on]))
    await nothing_landed(world)
    done = await commit(world, jobs("t"), note(value={"depends_on": "@0.0"}), jobs("@0.0", input={"task_id": "@0.0"}))
    assert (await world.read("n", "plan")).value == {"depends_on": "@0.0"}, "text is text"
    made = await world.desk.tasks.get(world.call, done.results[2]["tasks"][0]["id"])
    assert (made.title, made.input) == ("@0.0", {"task_id": "@0.0"})


async def test_no_more_than_two_hundred_rows(world: World):
    many = [f"t{number}" for number in range(100)]
    with pytest.raises(LimitExceeded, match=r"calls\[2\] tasks_create: .*more than 200 rows"):
        await commit(world, jobs(*many), jobs(*many), jobs("one more"))
    await nothing_landed(world)
    assert len((await commit(world, jobs(*many), jobs(*many))).results) == 2


async def test_what_alone_would_be_answered_as_not_done_is_refused_among_several(world: World):
    other = await world.agent("other")
    await commit(world, ("locks_acquire", {"name": "release"}), by=speaking(other))
    with pytest.raises(Conflict, match=r"calls\[1\] locks_acquire: The lock was not acquired: agent:other.* until 20"):
        await commit(world, note(), ("locks_acquire", {"name": "release"}))
    with pytest.raises(InvalidTransition, match=r"calls\[2\] tasks_control: It was refused for 1 of the tasks"):
        await commit(world, note(), jobs("t"), ("tasks_control", {"task_ids": ["@1.0"], "action": "resume"}))
    await nothing_landed(world)


async def test_each_call_may_speak_as_another_agent_and_under_its_own_lease(world: World):
    one, two = await world.agent("one"), await world.agent("two")
    await world.task()
    claimed = await world.claim_one(one)
    done = await commit(
        world,
        note("a", as_agent="one"),
        note("b", lease_token=claimed.lease_token),
        note("c"),
        ("tasks_finish", {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"}),
        by=speaking(two, Role.ADMIN),
    )
    authors = [result["document"]["author"] for result in done.results[:3]]
    assert authors == ["agent:one via user:tester", "agent:two via user:tester", "agent:two via user:tester"]
    assert done.results[3]["task"]["status"] == "completed"
    with pytest.raises(LeaseLost, match=r"calls\[1\] state_set"):
        await commit(world, note(), note("b", lease_token=claimed.lease_token))
    with pytest.raises(PermissionDenied, match=r"calls\[0\] state_set"):
        await commit(world, note("z", as_agent="one"), by=caller(Role.AGENT, id="stranger"))


async def test_a_commit_under_a_lease_that_is_lost_changes_nothing(world: World):
    worker = await world.agent()
    await world.task()
    claimed = await world.claim_one(worker)
    await world.finish(claimed, result=1)
    with pytest.raises(LeaseLost):
        await commit(world, note(), by=replace(world.call, lease_token=claimed.lease_token))
    with pytest.raises(NotFound):
        await world.read("n", "plan")


async def test_a_commit_that_is_repeated_under_its_key_lands_once(world: World):
    calls = (note(), jobs("t"), MAIL)
    first = await commit(world, *calls, idempotency_key="k")
    again = await commit(world, *calls, idempotency_key="k")
    _, task, mail = first.results
    assert again.replayed and again.results == [
        {"tool": "state_set"},
        {"tool": "tasks_create", "made": [task["tasks"][0]["id"]]},
        {"tool": "email_send", "made": [mail["email"]["id"], mail["task"]["id"]]},
    ]
    assert (await world.read("n", "plan")).version == 1
    with pytest.raises(IdempotencyConflict, match="was used for another commit"):
        await commit(world, note(), idempotency_key="k")
    other = await commit(world, note(), idempotency_key="k", by=caller(id="somebody"))
    assert other.replayed is None and (await world.read("n", "plan")).version == 2, "keys belong to principals"


async def test_keys_of_the_calls_make_a_repeat_harmless_too(world: World):
    calls = (jobs("t", idempotency_key="job"), ("email_send", MAIL[1] | {"idempotency_key": "mail"}))
    first, again = await commit(world, *calls), await commit(world, *calls)
    assert again.results[0]["tasks"][0]["id"] == first.results[0]["tasks"][0]["id"]
    assert again.results[1]["email"]["id"] == first.results[1]["email"]["id"]


async def test_two_changes_of_one_document_follow_each_other(world: World):
    patch = ("state_patch", {"namespace": "n", "key": "plan", "merge_patch": {"more": True}})
    done = await commit(world, note(), patch, note(expected_version=2, value={"step": 3}), patch)
    assert [result["document"]["version"] for result in done.results] == [1, 2, 3, 4]
    assert (await world.read("n", "plan")).value == {"step": 3, "more": True}


async def test_calls_inside_are_counted_like_those_outside(world: World):
    counted: list[tuple[str, str]] = []
    world.desk.option(Composing).called = lambda what, outcome, seconds: counted.append((what, outcome))
    await commit(world, note(), jobs("t"))
    with pytest.raises(Conflict):
        await commit(world, jobs("t"), note(expected_version=9))
    assert counted == [("state_set", "ok"), ("tasks_create", "ok"), ("state_set", "conflict")]


async def test_an_agent_that_a_commit_registers_is_named_by_the_calls_after_it_wherever_agents_are_named(world: World):
    """By its name or as what the call makes: both are looked up once the calls before have landed."""
    old = await world.agent("old")
    (held,) = await world.created({"title": "held", "agent_id": old.id})
    for number, named in enumerate(("@0.0", "bea-1")):
        name, lock, task = f"bea-{number}", f"lock-{number}", ("tasks_control", {"task_ids": [held.id]})
        done = await commit(
            world,
            ("agents_register", {"name": name}),
            ("agents_control", {"agent_id": named, "action": "pause", "reason": "at noon"}),
            ("agents_scale", {"agent_id": named, "desired_instances": 2}),
            jobs("new", agent_id=named),
            (task[0], task[1] | {"action": "assign", "agent_id": named}),
            (task[0], task[1] | {"action": "edit", "changes": {"agent_id": named}}),
            ("messages_send", {"to": [named], "body": "hello"}),
            ("locks_acquire", {"name": lock}),
            ("locks_release", {"name": lock, "to_agent": named}),
        )
        new, paused, scaled, made, assigned, edited, sent, _, handed = done.results
        id_ = new["agent"]["id"]
        assert (paused["agent"]["id"], paused["agent"]["status"]) == (id_, "maintenance")
        assert (scaled["agent"]["id"], scaled["agent"]["desired_instances"]) == (id_, 2)
        assert [one["tasks"][0]["agent_id"] for one in (made, assigned, edited)] == [id_] * 3
        assert (sent["recipients"], handed["handed_to"]) == ([id_], name)
    await commit(world, ("agents_register", {"name": "heir"}), ("agents_control", HANDS_OVER))
    assert (await world.desk.agents.get(world.call, "old")).status == "terminated"


async def test_an_agent_that_a_commit_registers_speaks_in_the_calls_after_it(world: World):
    for number, speaks in enumerate(("bea-0", "@0.0")):
        name = f"bea-{number}"
        done = await commit(
            world,
            ("agents_register", {"name": name}),
            note(f"note-{number}", as_agent=speaks),
            jobs(f"job-{number}"),
            ("messages_send", {"to": ["@0.0"], "body": "to myself", "as_agent": speaks}),
            ("locks_acquire", {"name": f"lock-{number}", "as_agent": speaks}),
        )
        id_ = done.results[0]["agent"]["id"]
        label = f"agent:{name} via user:tester"
        events, _ = await world.desk.events.read(world.call, ReadEvents(limit=100, actor=f"agent:{name}"))
        assert [(one.type, one.actor) for one in events] == [
            (kind, label) for kind in ("document.set", "message.sent", "lock.acquired")
        ]
        mine = await world.desk.messages.read(world.call, ReadMessages(agent_id=id_, sent=True))
        assert [one.body for one in mine.messages] == ["to myself"]


async def test_nobody_speaks_as_another_principals_agent_by_registering_its_name_at_the_same_time(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """It is there once all calls were looked at, and before they land."""
    composed = world.desk.option(Composing).compose

    async def overtaken(*args: Any, **more: Any) -> Any:
        register, note = await composed(*args, **more)

        async def prepare(call: Call, command: Any) -> Any:
            await world.desk.agents.register(caller(Role.AGENT, id="other"), Register(name="bea"))
            return await note.write.prepare(call, command)

        return [register, replace(note, write=replace(note.write, prepare=prepare))]

    monkeypatch.setattr(world.desk.option(Composing), "compose", overtaken)
    with pytest.raises(PermissionDenied, match=r"calls\[1\] state_set"):
        await commit(world, ("agents_register", {"name": "bea"}), note(as_agent="bea"), by=caller(Role.AGENT))
    with pytest.raises(NotFound):
        await world.read("n", "plan")


async def test_who_is_asked_about_calls_is_not_asked_to_let_an_agent_speak_that_is_not_there(world: World):
    calls = [
        {"tool": "agents_register", "arguments": {"name": "bea"}},
        {"tool": "state_set", "arguments": note(as_agent="bea")[1]},
    ]
    with pytest.raises(ValidationFailed, match="speaks once that has landed"):
        await world.desk.approvals.request(
            world.call, RequestApproval.model_validate({"title": "t", "calls": calls, "approvers": []})
        )


HANDS_OVER = {"agent_id": "old", "action": "terminate", "to_agent": "@0.0"}


async def test_every_argument_that_names_an_agent_may_name_one_that_a_call_before_registers(world: World):
    """But who is registered, and who speaks: a speaker has to be there before anything lands."""
    for tool in TOOLS:
        agents = {name for name, kind in (tool.part.refers if tool.part else {}).items() if kind in ("agent", "party")}
        assert agents - tool.names_made() == ({"name"} if tool.introduces else set()), tool.name
    with pytest.raises(NotFound, match=r"calls\[1\] agents_control: There is no agent nobody"):
        await commit(world, note(), ("agents_control", {"agent_id": "nobody", "action": "pause"}))
    await nothing_landed(world)


async def test_others_have_their_turn_between_the_calls_of_a_commit(world: World, monkeypatch: pytest.MonkeyPatch):
    turns, made_at = 0, list[int]()
    make = composing._Composer.change

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def noting(self: Any, *asked: Any) -> Any:
        made_at.append(turns)
        return await make(self, *asked)

    monkeypatch.setattr(composing._Composer, "change", noting)
    beside = asyncio.create_task(others())
    await commit(world, *(jobs(f"number {number}") for number in range(5)))
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    assert len(set(made_at)) == 5
