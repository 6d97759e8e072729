"""The promises of deployments, on both engines, with a target that the test plays."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from mcp_server.domain.approvals.commands import FindApprovals
from mcp_server.domain.approvals.rules import Rule
from mcp_server.domain.deployments.policy import DeploymentPolicy
from mcp_server.domain.deployments.spec import ControlDeployment, DefineDeployment, FindDeployments
from mcp_server.domain.deployments.targets import Facts, Subject, Targets, Work
from mcp_server.domain.events.commands import ReadEvents
from mcp_server.domain.tasks.commands import ControlTasks
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import (
    Conflict,
    InvalidTransition,
    NotFound,
    OpsError,
    PermissionDenied,
    ValidationFailed,
)
from mcp_server.upkeep.replay import replay
from tests.domain.deployments.played import Stage, broken
from tests.domain.events.test_thinning import DAY, KEEP, thin_out
from tests.world import World, caller

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(world: World) -> Stage:
    return Stage(world)


async def control(stage: Stage, action: Any, reference: str = "shop", **more: Any) -> Any:
    command = ControlDeployment(deployment_id=reference, action=action, **more)
    return await stage.desk.deployments.control(stage.world.call, command)


async def test_what_was_planned_is_applied_checked_and_kept_with_its_evidence(stage: Stage):
    defined = await stage.define(services=[{"name": "web", "health": {"path": "/ok"}}])
    assert (defined.revision, defined.changes, defined.deployment.status) == (1, [], "defined")
    plan = await stage.plan()
    assert [step.action for step in plan.steps] == ["apply"] and stage.target.done == []
    applied = await stage.apply(plan)
    assert applied.deployment.status == "changing"
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.url) == ("live", 1, "http://played/")
    assert stage.answers.asked == [("http://played/", "/ok")] and seen.live["checks"][0]["ok"]
    assert seen.live["version_id"] == "v1" and [phase.status for phase in seen.run.phases] == ["done"] * 4
    assert stage.target.phases() == ["build", "deploy", "check", "promote"]
    task = await stage.desk.tasks.get(stage.world.call, applied.task.id)
    assert task.status == "completed" and task.result["url"] == "http://played/"
    assert replay(stage.world.url).differences == ()


async def test_the_same_configuration_makes_no_revision_and_another_one_says_what_changed(stage: Stage):
    await stage.define()
    assert (await stage.define()).revision == 1
    second = await stage.define(services=[{"name": "web", "replicas": 2}], tags=["a"])
    assert second.revision == 2 and [change.path for change in second.changes] == ["/services/0/replicas"]
    assert second.deployment.tags == ["a"]
    assert [one.revision for one in (await stage.seen()).revisions] == [2, 1]
    with pytest.raises(ValidationFailed, match="no target \"plaid\".*Did you mean 'played'"):
        await stage.define(target="plaid")


async def test_who_rolls_back_what_is_not_live_is_told_how_the_revision_before_is_brought_live(stage: Stage):
    defined = await stage.define()
    with pytest.raises(InvalidTransition, match=rf"deployments_plan\(deployment_id='{defined.deployment.id}'\)"):
        await control(stage, "rollback")
    for replicas in (2, 3):
        await stage.define(services=[{"name": "web", "replicas": replicas}])
    with pytest.raises(InvalidTransition, match=r"deployments_plan\(deployment_id='\w+', revision=2\), then"):
        await control(stage, "rollback")


async def test_a_deployment_stays_with_its_target(world: World):
    stage = Stage(world)
    await stage.define()
    other = replace(stage.desk.option(type(stage.desk.deployments._targets)))  # pyright: ignore[reportPrivateUsage]
    other.known["other"] = other.known["played"]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(Conflict, match="is a deployment of the target played, and stays one"):
        await stage.define(target="other")


async def test_a_stale_plan_is_refused_with_what_moved_and_nothing_is_done(stage: Stage):
    await stage.define()
    plan = await stage.plan()
    stage.target.there = {"exists": True}
    with pytest.raises(Conflict, match=r"stale.*/exists: false is true now.*deployments_plan"):
        await stage.apply(plan)
    stage.target.there = {"exists": False}
    await stage.define(services=[{"name": "web", "replicas": 3}])
    with pytest.raises(Conflict, match="revision 2 is the newest, and when it was planned, 1 was"):
        await stage.apply(plan)
    older = await stage.plan(revision=1)
    await stage.apply(await stage.plan())
    await stage.work()
    with pytest.raises(Conflict, match="revision 2 is live, and when it was planned, nothing was"):
        await stage.apply(older)
    assert [revision for _, revision, _ in stage.target.done] == [2] * 4


async def test_what_moved_while_people_were_asked_or_the_queue_was_full_makes_the_run_stale(stage: Stage):
    await stage.define()
    applied = await stage.apply(await stage.plan())
    stage.target.there = {"exists": "by hand"}
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.run.status, stage.target.done) == ("defined", "stale", [])
    task = await stage.desk.tasks.get(stage.world.call, applied.task.id)
    assert task.status == "failed" and "by hand" in task.error["message"]


async def test_of_two_applies_at_once_one_runs_and_the_other_is_told(stage: Stage):
    await stage.define()
    plan = await stage.plan()
    applied = await stage.apply(plan)
    with pytest.raises(Conflict, match=f"busy: apply of revision 1 is running.*{applied.task.id}"):
        await stage.apply(plan)
    with pytest.raises(Conflict, match="busy"):
        await control(stage, "rollback", revision=1)
    await stage.work()
    assert (await stage.seen()).status == "live"


async def test_of_two_operators_with_different_plans_the_second_is_told_what_moved_and_decides_anew(stage: Stage):
    await stage.live()
    await stage.define(services=[{"name": "web", "replicas": 2}])
    to_change, to_remove = await stage.plan(), await stage.plan(destroy=True)
    assert to_change.hash != to_remove.hash
    await stage.apply(to_change)
    with pytest.raises(Conflict, match="busy: apply of revision 2 is running"):
        await control(stage, "destroy", plan_hash=to_remove.hash)
    await stage.work()
    with pytest.raises(Conflict, match="stale.*revision 2 is live, and when it was planned, revision 1 was"):
        await control(stage, "destroy", plan_hash=to_remove.hash)
    assert (await stage.seen()).live_revision == 2


@pytest.mark.parametrize("phase", ["deploy", "check", "promote"])
async def test_what_fails_on_the_way_is_undone_and_the_one_before_stays_live(stage: Stage, phase: str):
    await stage.live()
    await stage.define(services=[{"name": "web", "replicas": 2}])
    stage.target.says[phase] = [broken()]
    applied = await stage.apply(await stage.plan())
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.run.status) == ("live", 1, "rolled_back")
    assert seen.error == f"{phase}: it broke" and stage.target.phases()[-1] == "revert"
    task = await stage.desk.tasks.get(stage.world.call, applied.task.id)
    assert (task.status, task.error["code"]) == ("failed", "rolled_back")
    assert replay(stage.world.url).differences == ()


async def test_what_answers_wrongly_is_rolled_back_with_the_answer_as_evidence(stage: Stage):
    await stage.live()
    await stage.define(services=[{"name": "web", "checks": [{"path": "/good"}, {"path": "/bad"}]}])
    stage.answers.bad.add("/bad")
    await stage.apply(await stage.plan())
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision) == ("live", 1)
    assert "web /bad: status 500 instead of 200" in seen.error
    (check,) = [phase for phase in seen.run.phases if phase.phase == "check"]
    assert [one["ok"] for one in check.facts["checks"]] == [True, False]


async def test_a_build_that_fails_touched_nothing_so_nothing_is_undone(stage: Stage):
    await stage.define()
    stage.target.says["build"] = [broken("no such module")]
    await stage.apply(await stage.plan())
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.run.status, stage.target.phases()) == ("failed", "rolled_back", ["build"])
    await stage.apply(await stage.plan())
    await stage.work()
    assert (await stage.seen()).status == "live" and (await stage.seen()).error is None


async def test_what_cannot_be_undone_is_called_failed(stage: Stage):
    await stage.live()
    await stage.define(services=[{"name": "web", "replicas": 2}])
    stage.target.says |= {"deploy": [broken()], "revert": [broken("and stays so")]}
    await stage.apply(await stage.plan())
    await stage.work()
    seen = await stage.seen()
    assert seen.status == "failed" and seen.error == "deploy: it broke. It could not be undone: revert: and stays so"


async def test_a_phase_that_may_work_later_is_tried_again_and_then_given_up(stage: Stage):
    await stage.define()
    stage.target.says["deploy"] = [broken("busy", after=5.0), broken("busy", after=5.0)]
    await stage.apply(await stage.plan())
    await stage.work()
    assert (await stage.seen()).status == "changing" and stage.target.phases() == ["build", "deploy"]
    await stage.work(10)
    await stage.work(10)
    assert (await stage.seen()).status == "live"
    assert [again for phase, _, again in stage.target.done if phase == "deploy"] == [False, True, True]
    stage.target.says["deploy"] = [broken("busy", after=1.0)] * 20
    await stage.define(services=[{"name": "web", "replicas": 2}])
    await stage.apply(await stage.plan())
    for _ in range(12):
        await stage.work(120)
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.run.status) == ("live", 1, "rolled_back")


async def test_who_goes_on_after_a_crash_looks_first_and_does_nothing_twice(stage: Stage):
    """The worker's lease ends in the midst of a phase, as after kill -9; another goes on."""
    await stage.define()
    late: list[OpsError] = []

    async def crash(work: Work) -> None:
        if work.phase == "deploy" and not work.again:
            stage.world.clock.advance(120)
            await stage.desk.housekeeping.settle()
            other = Stage(stage.world)
            other.target = stage.target
            stage.target.during = None
            await other.work(60)
            try:
                await work.guard()
            except OpsError as error:
                late.append(error)
                raise

    stage.target.during = crash
    await stage.apply(await stage.plan())
    await stage.work()
    assert [error.code for error in late] == ["lease_lost"]
    assert stage.target.done == [
        ("build", 1, False),
        ("deploy", 1, False),
        ("deploy", 1, True),
        ("check", 1, False),
        ("promote", 1, False),
    ]
    assert (await stage.seen()).status == "live"
    assert replay(stage.world.url).differences == ()


@pytest.mark.parametrize("seconds", [1, 100])
async def test_a_phase_that_breaks_off_again_and_again_is_given_up_after_some_time_and_not_sooner(
    stage: Stage, seconds: int
):
    """Servers that are started for one call each end in its midst; one that makes them die does so for long."""
    await stage.live()

    async def ends(work: Work) -> None:
        if work.phase == "deploy":
            raise asyncio.CancelledError

    stage.target.during = ends
    await stage.define(services=[{"name": "web", "replicas": 2}])
    task = (await stage.apply(await stage.plan())).task

    async def work() -> None:
        await stage.work(seconds)
        while (await stage.desk.tasks.get(stage.world.call, task.id)).status == "running":
            await asyncio.sleep(0.005)  # until it is back in the queue

    for _ in range(12):
        await work()
    stage.target.during = None
    await work()
    seen = await stage.seen()
    assert seen.live_revision == (2 if seconds == 1 else 1)
    if seconds > 1:
        assert "and each attempt broke off" in seen.error


async def test_a_run_that_is_cancelled_half_way_is_undone_by_another_task(stage: Stage):
    await stage.live()
    await stage.define(services=[{"name": "web", "replicas": 2}])
    stage.target.says["deploy"] = [broken("busy", after=60.0)]
    applied = await stage.apply(await stage.plan())
    await stage.work()
    await stage.desk.tasks.control(stage.world.call, ControlTasks(task_ids=(applied.task.id,), action="cancel"))
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.run.status) == ("live", 1, "rolled_back")
    assert stage.target.phases()[-1] == "revert" and seen.run.task_id != applied.task.id
    assert replay(stage.world.url).differences == ()


async def test_a_run_that_is_cancelled_before_it_began_leaves_everything_as_it_was(stage: Stage):
    await stage.define()
    applied = await stage.apply(await stage.plan())
    await stage.desk.tasks.control(stage.world.call, ControlTasks(task_ids=(applied.task.id,), action="cancel"))
    seen = await stage.seen()
    assert (seen.status, seen.run.status, stage.target.done) == ("defined", "cancelled", [])
    await stage.apply(await stage.plan())
    await stage.work()
    assert (await stage.seen()).status == "live"


async def test_rolling_back_brings_the_one_before_live_again_and_shows_its_plan(stage: Stage):
    await stage.live()
    with pytest.raises(InvalidTransition, match="its live revision .1. is the first"):
        await control(stage, "rollback")
    await stage.define(services=[{"name": "web", "replicas": 2}])
    await stage.apply(await stage.plan())
    await stage.work()
    done = await control(stage, "rollback")
    assert done.plan.operation == "rollback" and done.plan.revision == 1 and done.task is not None
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.revision) == ("live", 1, 2)
    with pytest.raises(NotFound, match="has no revision 7"):
        await control(stage, "rollback", revision=7)
    with pytest.raises(InvalidTransition, match="was gone back to"):  # and not forwards, to what was just left
        await control(stage, "rollback")


@pytest.mark.parametrize("answers", [True, False])
async def test_undone_is_only_what_was_seen_to_answer_again(stage: Stage, answers: bool):
    await stage.live(services=[{"name": "web", "health": {"path": "/old"}}])
    await stage.define(services=[{"name": "web", "health": {"path": "/new"}}])
    stage.answers.bad = {"/new"} if answers else {"/new", "/old"}
    await stage.apply(await stage.plan())
    await stage.work()
    seen = await stage.seen()
    assert stage.answers.asked[-2:] == [("http://played/", "/new"), ("http://played/", "/old")]
    assert (seen.run.status, seen.live_revision) == ("rolled_back" if answers else "failed", 1)
    assert seen.status == ("live" if answers else "failed")
    assert answers or "could not be undone: revert: What was asked did not answer as it should: web /old" in seen.error


async def test_removing_shows_its_plan_first_and_needs_its_hash(stage: Stage):
    await stage.live()
    shown = await control(stage, "destroy")
    assert shown.task is None and shown.plan.operation == "destroy" and "destroy" not in stage.target.phases()
    with pytest.raises(ValidationFailed, match="This plan removes the deployment"):
        await stage.apply(shown.plan)
    with pytest.raises(ValidationFailed, match="This plan is one to destroy, not to stop"):
        await control(stage, "stop", plan_hash=shown.plan.hash)
    assert (await stage.plan(destroy=True)).hash == shown.plan.hash
    done = await control(stage, "destroy", plan_hash=shown.plan.hash)
    assert done.task is not None
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.live_revision, seen.live) == ("destroyed", None, None)
    await stage.apply(await stage.plan())
    await stage.work()
    assert (await stage.seen()).status == "live"


async def test_stopping_and_starting(stage: Stage):
    await stage.define()
    with pytest.raises(InvalidTransition, match="Nothing of shop in dev is live"):
        await control(stage, "stop")
    await stage.apply(await stage.plan())
    await stage.work()
    await control(stage, "stop")
    await stage.work()
    assert (await stage.seen()).status == "stopped"
    await control(stage, "start")
    await stage.work()
    assert (await stage.seen()).status == "live" and stage.target.phases()[-2:] == ["start", "check"]


async def test_what_differed_while_it_was_stopped_is_forgotten_once_it_is_started(stage: Stage):
    await stage.live()
    await control(stage, "stop")
    await stage.work()
    stage.target.there["moved"] = "web does not run"
    assert (await control(stage, "check_drift")).deployment.drift is not None
    await control(stage, "start")
    await stage.work()
    assert ((await stage.seen()).status, (await stage.seen()).drift) == ("live", None)
    assert replay(stage.world.url).differences == ()


async def test_what_is_being_changed_is_not_compared_with_what_was_brought_live(stage: Stage):
    await stage.live()
    await control(stage, "stop")
    with pytest.raises(Conflict, match="is being changed, so what is there cannot be compared"):
        await control(stage, "check_drift")
    await stage.work()
    assert (await control(stage, "check_drift")).deployment.status == "stopped"

    async def stop_meanwhile(subject: Subject) -> Facts:
        stage.target.observe = type(stage.target).observe.__get__(stage.target)
        await control(stage, "start")
        await stage.work()
        return await stage.target.observe(subject)

    stage.target.observe = stop_meanwhile
    with pytest.raises(Conflict, match="is being changed"):
        await control(stage, "check_drift")


async def test_what_is_legal_for_the_servers_own_task_names_no_editing(stage: Stage):
    await stage.define()
    task = (await stage.apply(await stage.plan())).task
    command = ControlTasks(task_ids=(task.id,), action="retry")
    done = await stage.desk.tasks.control(stage.world.call, command)
    assert done.refused is not None
    assert done.refused[0].message.endswith("Legal now: cancel, pause, set_priority.")


async def test_drift_is_told_until_it_is_gone(stage: Stage):
    await stage.live()
    assert (await control(stage, "check_drift")).deployment.drift is None
    stage.target.there = {"exists": True, "moved": "by hand"}
    assert (await control(stage, "check_drift")).deployment.drift == ["moved is by hand"]
    assert (await control(stage, "check_drift")).deployment.drift == ["moved is by hand"]
    stage.target.there = {"exists": True}
    assert (await control(stage, "check_drift")).deployment.drift is None
    types = await stage.world.events(aggregate_id=(await stage.seen()).id)
    assert types.count("deployment.drifted") == 1 and types.count("deployment.in_line") == 1


async def test_the_operators_rules_say_what_waits_for_whom_and_people_see_the_whole_plan(world: World):
    rule = Rule(target="pla*", environment="prod*", approvers=("ann",))
    stage = Stage(world, DeploymentPolicy((rule,)))
    await stage.live()
    assert (await stage.seen()).status == "live", "no rule names dev"
    await stage.define(environment="production", services=[{"name": "web", "env": {"A": "b"}}])
    plan = await stage.plan("shop/production")
    assert plan.needs_approval_of == ["ann"]
    applied = await stage.apply(plan)
    await stage.work()
    waiting = await stage.seen("shop/production")
    assert (waiting.status, waiting.run.status) == ("defined", "waiting")
    with pytest.raises(Conflict, match=f"waits for approval {waiting.run.approval_id}"):
        await stage.apply(plan)
    shown = await stage.desk.approvals.shown(world.call, applied.task.id)
    assert all(word in shown.text for word in (plan.hash, '"A"', "Asked of ann", "apply web"))
    assert json.loads(shown.approval.details or "")["plan_hash"] == plan.hash
    await world.decide(caller(id="ann"), applied.task.id, True)
    await stage.work()
    assert (await stage.seen("shop/production")).status == "live"
    assert replay(world.url).differences == ()


async def test_nothing_runs_that_was_not_approved_or_is_no_longer_what_was_shown(world: World):
    stage = Stage(world, DeploymentPolicy((Rule(approvers=("ann",)),)))
    await stage.define()
    applied = await stage.apply(await stage.plan())
    await world.decide(caller(id="ann"), applied.task.id, False, "not today")
    await stage.work()
    seen = await stage.seen()
    assert (seen.status, seen.run.status) == ("defined", "cancelled") and "not today" in seen.run.error
    applied = await stage.apply(await stage.plan())
    stage.target.there = {"exists": "moved"}
    await world.decide(caller(id="ann"), applied.task.id, True)
    await stage.work()
    assert (await stage.seen()).run.status == "stale" and stage.target.done == []


@pytest.mark.parametrize("tool", ["deployments_apply", "deployments_control", "deployments_*"])
async def test_going_back_is_named_by_rules_about_applying_too(world: World, tool: str):
    stage = Stage(world)
    await stage.live()
    await stage.live(services=[{"name": "web", "replicas": 2}])
    stage.open_desk(*stage.options, DeploymentPolicy((Rule(tool=tool, approvers=("ann",)),)))
    done = await control(stage, "rollback")
    assert (done.deployment.run.status, done.plan.needs_approval_of) == ("waiting", ["ann"])


async def test_what_was_never_live_is_applied_as_planned_and_nobody_goes_back_to_it(stage: Stage):
    await stage.live()
    await stage.define(services=[{"name": "web", "replicas": 2}])
    with pytest.raises(InvalidTransition, match=r"Revision 2 .* was never live.*deployments_plan\(.*revision=2\)"):
        await control(stage, "rollback", revision=2)
    stage.target.says["check"] = [broken()]
    await stage.apply(await stage.plan())
    await stage.work()
    with pytest.raises(InvalidTransition, match="was never live"):
        await control(stage, "rollback", revision=2)
    assert (await stage.seen()).live_revision == 1


@pytest.mark.parametrize(("action", "names"), [("stop", True), ("rollback", True), ("start", False)])
async def test_a_rule_names_tools_and_what_it_does_not_name_goes_through(world: World, action: Any, names: bool):
    stage = Stage(world, DeploymentPolicy((Rule(tool="deployments_control" if names else "deployments_apply"),)))
    await stage.define()
    applied = await stage.apply(await stage.plan())
    if not names:
        await world.decide(caller(id="ann"), applied.task.id, True)
    await stage.work()
    assert (await stage.seen()).status == "live"
    done = await control(stage, action, revision=1 if action == "rollback" else None)
    assert (done.deployment.run.status == "waiting") is names


async def test_secrets_are_resolved_when_they_are_used_and_stand_nowhere(world: World):
    stage = Stage(world, DeploymentPolicy(secrets=("env:APP_*",)))
    await stage.define(secrets={"KEY": "env:APP_KEY"}, services=[{"name": "web", "secrets": ["KEY"]}])
    leak = "the API said: bad key value of env:APP_KEY"
    stage.target.says["deploy"] = [broken(leak, after=1.0), {"echo": "value of env:APP_KEY"}]
    await stage.apply(await stage.plan())
    await stage.work()
    await stage.work(30)
    assert stage.target.secrets == {"KEY": "value of env:APP_KEY"} and (await stage.seen()).status == "live"
    events, _ = await stage.desk.events.read(world.call, ReadEvents(limit=100))
    told = json.dumps([event.data for event in events]) + repr(await stage.seen())
    assert "value of env:APP_KEY" not in told and "[KEY]" in told


async def test_who_may_name_which_secret(world: World):
    own = frozenset(("env:TF_TOKEN", "env:APP_OWN"))
    stage = Stage(world, DeploymentPolicy(secrets=("file:/run/secrets/*", "env:APP_OWN"), own=own))
    local = replace(caller(), actor=caller().actor.model_copy(update={"is_local": True}))
    secret = {"services": [{"name": "web", "secrets": ["S"]}], "name": "a", "environment": "dev", "target": "played"}

    def command(reference: str) -> DefineDeployment:
        return DefineDeployment.model_validate(secret | {"secrets": {"S": reference}})

    define = stage.desk.deployments.define
    await define(local, command("env:HOME"))
    await define(caller(Role.AGENT), command("file:/run/secrets/a"))
    await define(local, command("env:APP_OWN"))
    for call, reference in (
        (caller(), "env:HOME"),
        (local, "env:DATAMCP_SMTP_PASSWORD"),
        (local, "env:CLOUDFLARE_API_TOKEN"),
        (local, "env:TF_TOKEN"),
        (local, "file:/etc/passwd"),
        (local, "file:/run/secretsfile"),
    ):
        with pytest.raises(PermissionDenied, match="The operator lets no deployment read"):
            await define(call, command(reference))
    for reference in ("env:APP_\nOTHER", "file:/run/secrets/a\n", "env:\x00"):
        with pytest.raises(ValueError, match="names no variable|is one line"):
            command(reference)


async def test_what_a_target_does_nothing_with_is_refused_by_name(stage: Stage):
    with pytest.raises(ValidationFailed, match="played does nothing with image, ingress"):
        await stage.define(services=[{"name": "web", "image": "x"}], ingress=[{"host": "a.example", "service": "web"}])


@pytest.mark.parametrize(
    ("said", "teaches"),
    [
        ({"services": []}, "services"),
        ({"services": [{"name": "web"}, {"name": "web"}]}, "web is the name of two parts"),
        ({"services": [{"name": "Web!"}]}, "name"),
        ({"services": [{"name": "web", "depends_on": ["db"]}]}, 'depends_on of web names "db"'),
        ({"services": [{"name": "web", "secrets": ["A"]}]}, "Service web names the secret A"),
        ({"secrets": {"A": "env: APP_KEY"}}, "names no variable"),
        ({"secrets": {"A": "env:APP_KEY\0"}}, "names no variable"),
        ({"secrets": {"A": "file:/run/a\nb"}}, "one line"),
        ({"services": [{"name": "web", "health": "//evil.example/"}]}, "would lead to another host"),
        ({"services": [{"name": "web"}], "secrets": {"A": "hunter2"}}, "env:NAME or file:/path"),
        ({"services": [{"name": "web"}], "secrets": {"A": "file:/run/secrets/../../etc/passwd"}}, "no whole path"),
        ({"services": [{"name": "web"}], "secrets": {"A": "file:secret"}}, "no whole path"),
        ({"services": [{"name": "web", "health": {"path": "//evil"}}]}, "another host"),
        ({"services": [{"name": "web", "health": {"path": "http://evil"}}]}, "path"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_with_what_would_do(said: dict[str, Any], teaches: str):
    whole = {"name": "a", "target": "played", "environment": "dev"} | said
    with pytest.raises(ValueError, match=teaches):
        DefineDeployment.model_validate(whole)


async def test_a_path_alone_says_what_is_asked(stage: Stage):
    await stage.define(services=[{"name": "web", "health": "/ok", "checks": ["/a", {"path": "/b"}]}])
    service = (await stage.seen()).config["services"][0]
    assert (service["health"], service["checks"]) == ({"path": "/ok"}, [{"path": "/a"}, {"path": "/b"}])
    assert (await stage.define(services=[service])).revision == 1


async def test_a_deployment_is_found_by_id_by_name_and_by_environment(stage: Stage):
    first = (await stage.define()).deployment
    assert (await stage.seen("shop")).id == first.id == (await stage.seen("shop-dev")).id
    other = (await stage.define(environment="prod")).deployment
    with pytest.raises(Conflict, match="in 2 environments: dev, prod"):
        await stage.seen("shop")
    assert (await stage.seen("shop/prod")).id == other.id
    with pytest.raises(NotFound, match='no deployment "nothing"'):
        await stage.seen("nothing")
    found = await stage.desk.deployments.find(stage.world.call, FindDeployments(limit=1))
    assert [one.id for one in found.items] == [first.id] and found.omitted == 1
    rest = await stage.desk.deployments.find(stage.world.call, FindDeployments(cursor=found.next_cursor))
    assert [one.id for one in rest.items] == [other.id]
    narrowed = await stage.desk.deployments.find(
        stage.world.call, FindDeployments(name="shop", environment="dev", target="played", status="defined")
    )
    assert [one.id for one in narrowed.items] == [first.id]
    assert (await stage.desk.deployments.get(stage.world.call, first.id, logs=True)).logs == "log of shop-dev"


async def test_no_two_deployments_have_one_name_in_the_world_outside(stage: Stage):
    await stage.define("a-b", environment="c")
    with pytest.raises(Conflict, match="a-b in c is called a-b-c where it runs"):
        await stage.define("a", environment="b-c")
    assert (await stage.define("a-b", environment="c", tags=["x"])).deployment.tags == ["x"]


async def test_an_alias_of_a_target_is_no_way_around_a_rule(world: World):
    stage = Stage(world, DeploymentPolicy((Rule(target="played", approvers=("ann",)),)))
    stage.desk.option(Targets).aliases["other"] = "played"  # pyright: ignore[reportIndexIssue]
    defined = await stage.define(target="other")
    assert defined.deployment.target == "played" and (await stage.plan()).needs_approval_of == ["ann"]


async def test_logs_are_for_those_who_may_deploy(stage: Stage):
    deployment = (await stage.define()).deployment
    viewer = caller(Role.VIEWER)
    assert (await stage.desk.deployments.get(viewer, deployment.id)).logs is None
    with pytest.raises(PermissionDenied, match="deployments:apply"):
        await stage.desk.deployments.get(viewer, deployment.id, logs=True)


async def test_a_server_without_the_target_leaves_the_run_to_one_that_has_it(stage: Stage):
    await stage.define()
    await stage.apply(await stage.plan())
    bare = Stage(stage.world)
    bare.desk.option(type(bare.desk.deployments._targets)).known.clear()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    await bare.work()
    assert (await stage.seen()).status == "changing"
    await stage.work(60)
    assert (await stage.seen()).status == "live"


async def test_what_is_told_whole_when_old_events_go_rebuilds_a_deployment(stage: Stage):
    await stage.live()
    stage.world.clock.advance(91 * DAY)
    assert await thin_out(stage.world, KEEP)
    told = set(await stage.world.events(type="deployment*"))
    assert {f"deployment{kind}.snapshot" for kind in ("", "_revision", "_plan", "_run")} <= told
    assert replay(stage.world.url).differences == ()


async def test_of_several_rules_about_a_deployment_each_is_kept(world: World):
    broad = Rule(environment="prod*", expires_in_seconds=600)
    narrow = Rule(target="played", approvers=("bob", "cid"), quorum="all")
    stage = Stage(world, DeploymentPolicy((broad, narrow)))
    await stage.define(environment="production")
    await stage.apply(await stage.plan())
    (asked,) = (await world.desk.approvals.find(world.call, FindApprovals())).items
    whole = await world.desk.approvals.get(world.call, asked.id)
    assert (sorted(whole.approvers or ()), whole.needed) == (["bob", "cid"], 2)
    assert whole.expires_at is not None


async def test_a_deployment_that_is_looked_at_says_where_it_is_asked_whether_it_works(stage: Stage):
    await stage.define(services=[{"name": "web", "health": {"path": "/"}, "checks": [{"status": 204}, "/x"]}])
    await stage.define(services=[{"name": "web", "health": "/", "checks": [{"path": "/", "status": 204}, "/x"]}])
    seen = await stage.seen()
    (service,) = seen.config["services"]
    assert (service["health"], service["checks"]) == ({"path": "/"}, [{"path": "/", "status": 204}, {"path": "/x"}])
    assert seen.revision == 1, "what is said and what goes without saying are one configuration"
