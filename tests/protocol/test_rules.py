"""The operator's rules: no spelling, no other tool and no way in goes around one, and the call that asks people works
as it is sent."""

from typing import Any

import pytest
import structlog

from mcp_server.app import desk_on
from mcp_server.commands.serve import tell_rules
from mcp_server.config import Settings, load_settings
from mcp_server.deploying import approve_rules
from mcp_server.domain.approvals.rules import Condition, Rule
from mcp_server.domain.areas import AREAS
from mcp_server.domain.calls.commands import OpenCall
from mcp_server.domain.speaking import Voices
from mcp_server.kernel.authority import Actor, Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import OpsError, PermissionDenied, ValidationFailed
from mcp_server.kernel.times import SECOND, iso
from mcp_server.protocol.guarding import naming
from mcp_server.protocol.tool_calls import said, split, validated
from mcp_server.runtime.system_worker import SystemWorker
from mcp_server.wiring import rules
from tests.domain.calls.desks import holding
from tests.world import Ids, World, caller
from tools import TOOLS

pytestmark = pytest.mark.anyio
BY_NAME = {tool.name: tool for tool in TOOLS}
ANN = caller(id="ann")


def ruled(world: World, *rules: dict[str, Any]) -> None:
    """The desk of a server whose operator set these rules, as the TOML file says them."""
    settings = Settings.model_validate({"approve": rules})
    world.desk = desk_on(
        world.database,
        approve_rules(settings),
        clock=world.clock,
        steady=world.clock.steady,
        ids=Ids(),
        chance=lambda: 0.5,
    )


async def call(world: World, tool_name: str, /, by: Call | None = None, **arguments: Any) -> Any:
    """A call as it comes from a client."""
    tool, by = BY_NAME[tool_name], by or world.call
    given = split(tool, arguments)
    spoken = await world.desk.get(Voices).of(by, said(tool, given), local=False)
    return await tool.run(world.desk)(spoken, validated(tool, spoken, given))


async def refused(world: World, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """The call that asks people, out of the refusal."""
    with pytest.raises(PermissionDenied, match="The operator has people asked first") as error:
        await call(world, tool, **arguments)
    return error.value.details["next_call"]


async def work(world: World) -> None:
    worker = SystemWorker(world.desk, AREAS.kinds)
    for _ in range(3):
        await worker.look()
        await worker.idle()


PROD = {"tool": "state_set", "approvers": ["ann"], "arguments": {"namespace": "prod", "key": {"glob": "config/*"}}}
BIG = {"tool": "state_set", "approvers": ["ann"], "arguments": {"value": {"replicas": {"over": 10}}}}


async def test_a_call_that_a_rule_names_is_refused_with_the_call_that_asks_and_that_works_as_it_is(world: World):
    ruled(world, PROD)
    note = {"namespace": "prod", "key": "config/a", "value": {"b": [1, None]}, "expected_version": 0, "tags": ["x"]}
    asks = await refused(world, "state_set", **note)
    assert asks["tool"] == "approvals_request"
    assert asks["arguments"]["calls"] == [{"tool": "state_set", "arguments": note}]
    assert (asks["arguments"]["approvers"], asks["arguments"]["quorum"]) == (["ann"], "any")
    asked = await call(world, asks["tool"], **asks["arguments"])
    with pytest.raises(OpsError):
        await world.read("prod", "config/a")
    await world.decide(ANN, asked.approval.id, True)
    await work(world)
    assert (await world.read("prod", "config/a")).value == {"b": [1, None]}
    await call(world, "state_set", namespace="prod", key="elsewhere", value=1)
    await call(world, "state_set", namespace="dev", key="config/a", value=1)


# ruff: noqa: E501 - one spelling a line
SPELLINGS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    # Another tool to the same effect.
    (PROD, "state_patch", {"namespace": "prod", "key": "config/a", "merge_patch": {"x": 1}}),
    (PROD, "state_patch", {"namespace": "prod", "key": "config/a", "json_patch": [{"op": "add", "path": "/x", "value": 1}]}),
    (PROD, "state_restore", {"namespace": "prod", "key": "config/a", "version": 1}),
    (PROD, "state_set", {"namespace": "prod", "key": "config/a", "delete": True}),
    (PROD, "state_set", {"namespace": "prod", "key": "config/a", "value": 1, "merge": True, "base_version": 1}),
    (PROD | {"tool": "state_restore"}, "state_set", {"namespace": "prod", "key": "config/a", "value": 1}),
    (PROD | {"tool": "state_patch"}, "state_restore", {"namespace": "prod", "key": "config/a", "version": 1}),
    # A number in another form, or where it is not looked for.
    (BIG, "state_set", {"namespace": "n", "key": "k", "value": {"replicas": 11.0}}),
    (BIG, "state_set", {"namespace": "n", "key": "k", "value": {"replicas": "50"}}),
    (BIG, "state_set", {"namespace": "n", "key": "k", "value": '{"replicas": 50}'}),
    (BIG, "state_set", {"namespace": "n", "key": "k", "value": [{"replicas": 1}, {"replicas": 5e9}]}),
    (BIG, "state_patch", {"namespace": "n", "key": "k", "merge_patch": {"replicas": 10.5}}),
    (BIG, "state_patch", {"namespace": "n", "key": "k", "merge_patch": '{"replicas": 50}'}),
    (BIG, "state_patch", {"namespace": "n", "key": "k", "json_patch": [{"op": "copy", "from": "/big", "path": "/replicas"}]}),
    (BIG, "state_restore", {"namespace": "n", "key": "k", "version": 7}),
    (BIG, "state_patch", {"namespace": "n", "key": "k", "json_patch": [{"op": "increment", "path": "/replicas", "value": 1}]}),
    ({"tool": "state_patch", "arguments": {"json_patch": {"value": {"over": 10}}}}, "state_patch", {"namespace": "n", "key": "k", "json_patch": [{"op": "increment", "path": "/replicas", "value": 1}]}),
    # An agent by its id, its name, or behind a label.
    ({"tool": "agents_control", "arguments": {"agent_id": "deployer"}}, "agents_control", {"agent_id": "ID", "action": "pause"}),
    ({"tool": "agents_control", "arguments": {"agent_id": "ID"}}, "agents_control", {"agent_id": "deployer", "action": "pause"}),
    ({"tool": "tasks_create", "arguments": {"agent_id": "deployer"}}, "tasks_create", {"tasks": [{"title": "a"}, {"title": "t", "agent_id": "ID"}]}),
    ({"tool": "tasks_create", "arguments": {"tasks": {"agent_id": "deployer"}}}, "tasks_control", {"task_ids": ["t"], "action": "assign", "agent_id": "ID"}),
    ({"tool": "messages_send", "arguments": {"to": "deployer"}}, "messages_send", {"to": ["x", "ID"], "body": "b"}),
    ({"tool": "messages_send", "arguments": {"to": "deployer"}}, "messages_send", {"to": ["capability:ship"], "body": "b"}),
    ({"tool": "messages_send", "arguments": {"to": "deployer"}}, "messages_send", {"thread_id": "message_aaaaaaaaaaaa", "body": "b"}),
    ({"tool": "messages_send", "arguments": {"to": "ann"}}, "messages_send", {"to": ["user:ann"], "body": "b"}),
    ({"tool": "agents_scale", "arguments": {"scaling": {"max": {"over": 5}}}}, "agents_register", {"name": "deployer", "scaling": {"max": 6}}),
    ({"tool": "agents_register", "arguments": {"scaling": {"max": {"over": 5}}}}, "agents_scale", {"agent_id": "deployer", "scaling": {"max": 6}}),
    # What is said afterwards could have been said at once.
    ({"tool": "email_send", "arguments": {"send_at": {"glob": "*"}}}, "tasks_control", {"task_ids": ["t"], "action": "reschedule", "run_at": "2099-01-01T00:00:00Z"}),
    ({"tool": "tasks_create", "arguments": {"priority": "critical"}}, "tasks_control", {"task_ids": ["t"], "action": "set_priority", "priority": "critical"}),
    ({"tool": "tasks_create", "arguments": {"tasks.priority": "critical", "tasks.kind": "ship"}}, "tasks_control", {"task_ids": ["t"], "action": "set_priority", "priority": "critical"}),
    # An address in another place or form.
    ({"tool": "email_send", "arguments": {"to": "boss@example.org"}}, "email_send", {"to": ["a@b.org"], "bcc": ["Boss <BOSS@Example.ORG>"], "subject": "s", "text": "t"}),
    ({"tool": "email_send", "arguments": {"cc": {"glob": "*@example.org"}}}, "email_send", {"to": "boss@EXAMPLE.org", "subject": "s", "text": "t"}),
    ({"tool": "email_send", "arguments": {"to": {"glob": "*@bücher.example"}}}, "email_send", {"to": "a@XN--bcher-kva.example", "subject": "s", "text": "t"}),
    ({"tool": "email_send", "arguments": {"to": "a@xn--bcher-kva.example"}}, "email_send", {"to": "A <a@BÜCHER.example>", "subject": "s", "text": "t"}),
    ({"tool": "email_send", "arguments": {"subject": {"glob": "*invoice*"}}}, "email_send", {"to": "a@b.org", "template": "t"}),
    # A lock whose name means another's.
    ({"tool": "locks_acquire", "arguments": {"name": "release/prod"}}, "locks_acquire", {"name": "release//./prod/"}),
    ({"tool": "locks_acquire", "arguments": {"name": "release/prod"}}, "locks_acquire", {"name": "**"}),
    ({"tool": "locks_acquire", "arguments": {"name": "release/prod"}}, "locks_acquire", {"name": "release/p*"}),
    # A default that is not said.
    ({"tool": "tasks_create", "arguments": {"kind": "task"}}, "tasks_create", {"tasks": [{"title": "t"}]}),
    ({"tool": "locks_acquire", "arguments": {"mode": "exclusive"}}, "locks_acquire", {"name": "a"}),
]  # fmt: skip


def with_ids(value: Any, id: str) -> Any:
    if isinstance(value, dict):
        return {name: with_ids(member, id) for name, member in value.items()}
    if isinstance(value, list):
        return [with_ids(item, id) for item in value]
    return id if value == "ID" else value


async def spelled(world: World, number: int) -> None:
    rule, tool, arguments = SPELLINGS[number]
    agent = await world.agent("deployer", ("ship",))
    ruled(world, with_ids(rule, agent.id))
    with pytest.raises(PermissionDenied, match="The operator has people asked first"):
        await call(world, tool, **with_ids(arguments, agent.id))
    assert (await world.events())[:1] == ["agent.registered"] and len(await world.events()) == 1


@pytest.mark.parametrize("number", range(len(SPELLINGS)))
async def test_no_spelling_goes_around_a_rule(world: World, number: int):
    if world.database.engine == "postgres" and number % 6:
        pytest.skip("what is spelled does not hang on the engine")
    await spelled(world, number)


async def test_what_a_rule_does_not_name_is_done(world: World):
    await world.agent("deployer")
    ruled(
        world,
        PROD,
        BIG,
        {"tool": "tasks_create", "arguments": {"priority": "critical", "kind": "ship"}},
        {"tool": "messages_send", "arguments": {"to": "boss"}},
        {"tool": "state_set", "speakers": ["agent:deployer"], "arguments": {"namespace": "x"}},
        {"tool": "locks_acquire", "arguments": {"name": "release/*"}},
    )
    await call(world, "state_set", namespace="prod", key="other", value={"replicas": 10})
    await call(world, "state_patch", namespace="prod", key="other", merge_patch={"other": 50})
    made = await call(
        world, "tasks_create", tasks=[{"title": "t", "kind": "ship"}, {"title": "u", "priority": "critical"}]
    )
    await call(world, "tasks_control", task_ids=[made.tasks[0].id], action="set_priority", priority="high")
    await call(world, "messages_send", to=["deployer"], body="b")
    await call(world, "state_set", namespace="x", key="k", value=1)
    await call(world, "locks_acquire", name="build/a")
    with pytest.raises(PermissionDenied, match="made by agent:deployer"):
        await call(world, "state_set", namespace="x", key="k", value=1, as_agent="deployer")


async def test_a_rule_holds_inside_a_commit_a_finish_and_an_approval(world: World):
    ruled(world, PROD)
    named = {"tool": "state_set", "arguments": {"namespace": "prod", "key": "config/a", "value": 1}}
    other = {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t"}]}}
    with pytest.raises(PermissionDenied, match=r"calls\[1\] state_set: The operator") as error:
        await call(world, "commit", calls=[other, named])
    asks = error.value.details["next_call"]["arguments"]
    assert asks["calls"] == [other, named], "all of them, since they were to land together"
    worker = await world.agent()
    await world.task()
    claimed = await world.claim_one(worker)
    held = {"task_id": claimed.task.id, "lease_token": claimed.lease_token, "outcome": "completed"}
    with pytest.raises(PermissionDenied, match=r"also\[0\] state_set: The operator") as error:
        await call(world, "tasks_finish", **held, also=[named])
    assert error.value.details["next_call"]["arguments"]["calls"] == [named]
    for whom in ({"approvers": ["eve"]}, {"approvers": ["ann", "eve"]}, {"approvers": []}):
        with pytest.raises(PermissionDenied, match=r"calls\[0\] state_set: The operator") as error:
            await call(world, "approvals_request", title="t", calls=[named], **whom)
        assert error.value.details["next_call"]["arguments"]["approvers"] == ["ann"]
    asked = await call(world, "approvals_request", title="t", calls=[named], approvers=["ann", "eve"], quorum="all")
    await world.decide(ANN, asked.approval.id, True)
    await world.decide(caller(id="eve"), asked.approval.id, True)
    await work(world)
    assert (await world.read("prod", "config/a")).value == 1


async def test_several_rules_are_kept_by_one_question(world: World):
    ruled(world, PROD, BIG | {"approvers": ["bob", "cid", "dan"], "quorum": 2}, {"tool": "tasks_create"})
    calls = [
        {"tool": "state_set", "arguments": {"namespace": "prod", "key": "config/a", "value": {"replicas": 99}}},
        {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t"}]}},
    ]
    with pytest.raises(PermissionDenied) as error:
        await call(world, "commit", calls=calls)
    asks = error.value.details["next_call"]["arguments"]
    assert (asks["approvers"], asks["quorum"]) == (["ann", "bob", "cid", "dan"], "all")
    asked = await call(world, "approvals_request", **asks)
    for who in asks["approvers"]:
        await world.decide(caller(id=who), asked.approval.id, True)
    await work(world)
    assert (await world.read("prod", "config/a")).value == {"replicas": 99}


async def test_where_anyone_may_decide_nobody_else_is_named(world: World):
    ruled(world, {"tool": "state_set"})
    note = {"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}
    with pytest.raises(PermissionDenied):
        await call(world, "approvals_request", title="t", calls=[note], approvers=["puppet@example.org"])
    asked = await call(world, "approvals_request", title="t", calls=[note], approvers=[])
    await world.decide(ANN, asked.approval.id, True)
    await work(world)
    assert (await world.read("n", "k")).value == 1


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("locks_acquire", {"name": "prod/a", "wait_seconds": 5, "ttl_seconds": 30}),
        ("state_set", {"namespace": "prod", "key": "config/a", "value": {"text": "x" * 100_000}}),
        ("messages_send", {"to": ["deployer"], "body": "b" * 19_000}),
    ],
    ids=["a call that waits", "a large document", "a long message"],
)
async def test_the_call_that_asks_works_as_it_is_sent(world: World, tool: str, arguments: dict[str, Any]):
    await world.agent("deployer")
    ruled(world, {"tool": tool})
    asked = await call(world, "approvals_request", **(await refused(world, tool, **arguments))["arguments"])
    await world.decide(ANN, asked.approval.id, True)
    await work(world)
    assert (await world.desk.approvals.get(world.call, asked.approval.id)).ran_at is not None


async def test_what_is_too_large_to_be_shown_to_people_is_refused_without_a_call_that_would_be_refused(world: World):
    ruled(world, PROD)
    with pytest.raises(PermissionDenied, match="too large for people to be asked") as error:
        await call(world, "state_set", namespace="prod", key="config/a", value="x" * 262_000)
    assert "next_call" not in error.value.details


async def test_a_mail_that_is_only_tried_asks_nobody_and_sends_nothing(world: World):
    ruled(world, {"tool": "email_send"})
    mail = {"to": ["ann@example.org"], "subject": "s", "text": "t"}
    tried = await call(world, "email_send", **mail, dry_run=True)
    assert tried.task is None
    asks = await refused(world, "email_send", **mail)
    assert asks["arguments"]["calls"][0]["tool"] == "email_send"
    with pytest.raises(ValidationFailed, match="cannot be one of several"):
        calls = [{"tool": "email_send", "arguments": mail | {"dry_run": True}}]
        await call(world, "approvals_request", title="t", calls=calls, approvers=["ann"])


async def test_people_are_not_asked_for_longer_than_a_rule_has_it(world: World):
    ruled(world, PROD | {"expires_in_seconds": 60})
    named = {"tool": "state_set", "arguments": {"namespace": "prod", "key": "config/a", "value": 1}}
    for longer in ({}, {"expires_in_seconds": 5000}):
        asked = await call(world, "approvals_request", title="t", calls=[named], approvers=["ann"], **longer)
        shown = await world.desk.approvals.get(world.call, asked.approval.id)
        assert shown.expires_at == iso(world.clock() + 60 * SECOND)


async def test_a_rule_that_came_meanwhile_makes_an_approval_stale(world: World):
    note = {"tool": "state_set", "arguments": {"namespace": "prod", "key": "config/a", "value": 1}}
    asked = await call(world, "approvals_request", title="t", calls=[note], approvers=["eve"])
    ruled(world, PROD)
    await world.decide(caller(id="eve"), asked.approval.id, True)
    await work(world)
    stale = await world.desk.approvals.get(world.call, asked.approval.id)
    assert stale.status == "stale" and "The operator has people asked first" in (stale.outcome or {})["message"]


async def test_what_a_call_before_makes_hides_nobody_from_a_rule(world: World):
    await world.agent("deployer")
    ruled(world, {"tool": "tasks_create", "arguments": {"agent_id": "deployer"}})
    calls = [
        {"tool": "agents_register", "arguments": {"name": "deployer"}},
        {"tool": "tasks_create", "arguments": {"tasks": [{"title": "t", "agent_id": "@0.0"}]}},
    ]
    with pytest.raises(PermissionDenied, match=r"calls\[1\] tasks_create: The operator"):
        await call(world, "commit", calls=calls)


async def test_the_question_that_a_refusal_proposes_names_by_title_what_it_is_about(world: World):
    ruled(world, {"tool": "tasks_control", "arguments": {"action": "reschedule"}})
    task = await world.task(title="Nightly backup", schedule={"cron": "0 3 * * *"})
    move = {"task_ids": [task.id], "action": "reschedule", "schedule": {"cron": "0 4 * * *"}}
    for tool, arguments in (
        ("tasks_control", move),
        ("commit", {"calls": [{"tool": "tasks_control", "arguments": move}]}),
        (
            "approvals_request",
            {"title": "t", "calls": [{"tool": "tasks_control", "arguments": move}], "approvers": ["x"]},
        ),
    ):
        title = (await refused(world, tool, **arguments))["arguments"]["title"]
        assert title.startswith(f'Reschedule {task.id} ("Nightly backup", so far at "0 3 * * *" UTC, next at 2027-')
        assert title.count("Nightly") == 1


async def test_cancelling_by_the_tasks_extension_is_a_control_too(world: World):
    task = await world.task()
    ruled(world, {"tool": "tasks_control", "arguments": {"action": "cancel"}})
    with pytest.raises(PermissionDenied, match="The operator has people asked first"):
        await world.desk.tasks.cancel_own(world.call, task.id)
    assert await world.status(task) == "queued"


async def test_what_a_deployed_program_writes_is_named_by_rules_and_what_the_server_does_is_not(world: World):
    ruled(world, PROD)
    program = Call(Actor(kind="deployment", id="web", permissions=frozenset(Permission)), "c")
    with pytest.raises(PermissionDenied):
        await call(world, "state_set", by=program, namespace="prod", key="config/a", value=1)
    server = Call(Actor(kind="system", id="server", permissions=frozenset(Permission)), "c")
    await call(world, "state_set", by=server, namespace="prod", key="config/a", value=1)


async def test_a_lock_is_named_also_by_one_who_waits_for_it(world: World):
    ruled(world, {"tool": "locks_acquire", "arguments": {"name": "release"}})
    with pytest.raises(PermissionDenied, match="The operator has people asked first"):
        await call(world, "locks_acquire", name="release", wait_seconds=1)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"tool": "state_sett"}, "no tool is like 'state_sett'"),
        ({"tool": "state_get"}, "no tool is like"),
        ({"tool": "tasks_finish"}, "no tool is like"),
        ({"tool": "state_set", "arguments": {"namspace": "prod"}}, "takes no argument 'namspace'"),
        ({"tool": "state_set", "arguments": {"value": {"n": {"over": "ten"}}}}, r"value\.n takes"),
        ({"tool": "state_set", "arguments": {"key": {"glob": "a", "like": "b"}}}, "key takes"),
        ({"tool": "state_set", "approvers": ["ann"], "quorum": 2}, "a quorum of 2 cannot be reached"),
    ],
)
def test_a_rule_that_would_never_name_a_call_is_refused_at_the_start(rule: dict[str, Any], words: str):
    with pytest.raises(ValidationFailed, match=words):
        rules(Settings.model_validate({"approve": [rule]}))


def test_conditions_compare_what_values_are_and_not_how_they_are_written():
    assert Condition(equals=(5,)).is_met("5") and Condition(equals=(5.0,)).is_met(5)
    assert not Condition(equals=(1,)).is_met(True) and Condition(equals=(True,)).is_met(True)
    assert Condition(over=10).is_met(10**400) and not Condition(over=10).is_met(True)
    assert not Condition(over=10).is_met("many") and not Condition(glob="a*").is_met(None)
    assert Rule(tool="state_*").said() == "state_*"


def test_which_rules_are_in_force_is_logged_when_a_server_starts_and_a_changed_one_shows():
    told: list[Any] = []
    for approvers in ([], ["ann"], ["bob"]):
        rule = {"tool": "state_*", "approvers": approvers}
        with structlog.testing.capture_logs() as logged:
            tell_rules(load_settings(approve=[rule] if approvers else []))
        told += logged
    assert [(entry["event"], entry["rules"]) for entry in told] == [("rules in force", ["state_*"])] * 2
    assert told[0]["sha256"] != told[1]["sha256"]


async def test_a_rule_about_mails_messages_or_calls_holds_for_whom_a_call_asks_in_at_first_or_later(world: World):
    async with holding(world) as calls:
        opened = await calls.open("Which backup?", call=world.call)
    mail = {"tool": "email_send", "approvers": ["ann"], "arguments": {"to": {"glob": "*@outside.test"}}}
    message = {"tool": "messages_send", "approvers": ["ann"], "arguments": {"to": "worker"}}
    opening = {"tool": "calls_open", "approvers": ["ann"], "arguments": {"participants": {"glob": "eve*"}}}
    await world.agent("worker")
    for rule, whom in ((mail, "eve@outside.test"), (mail, "user:eve"), (message, "worker"), (opening, "eve@home.test")):
        ruled(world, rule)
        asking = await refused(world, "calls_open", purpose="A secret", participants=["bob@home.test", whom])
        assert asking["arguments"]["calls"][0]["tool"] == "calls_open"
        await refused(world, "calls_control", call_id=opened.id, action="invite", participants=["bob@home.test", whom])
    ruled(world, mail)
    tool = BY_NAME["calls_open"]
    allowed = OpenCall(purpose="p", participants=("bob@home.test", "worker"))
    assert await naming(world.desk, world.call, tool, allowed) == []
