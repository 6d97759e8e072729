"""The target `command`: what the operator declared, filled in by a model and no more."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_server.config import Settings, load_settings
from mcp_server.deploying import Workers, declared_targets, targets
from mcp_server.domain.deployments.policy import DeploymentPolicy
from mcp_server.domain.deployments.service import LOGS_CHARACTERS_MAX
from mcp_server.domain.deployments.spec import ControlDeployment
from mcp_server.domain.deployments.targets import Targets
from mcp_server.integrations.references import resolve
from mcp_server.integrations.targets.command import CommandTarget
from mcp_server.integrations.targets.declared import Declared
from mcp_server.kernel.errors import Conflict, InvalidTransition, Unavailable, ValidationFailed
from tests.domain.deployments.played import Stage
from tests.world import World, open_world

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")]

SCRIPT = """
import json, os, sys
told, what = json.load(sys.stdin), sys.argv[1]
with open("ran", "a") as ran:
    ran.write(" ".join(sys.argv[1:]) + "\\n")
if os.path.exists(what + ".code"):
    sys.exit(int(open(what + ".code").read()))
print("did", what)
print(json.dumps({"url": "http://served/", "version_id": "v%s" % told["revision"], "key": os.environ.get("KEY")}))
"""


class House(Stage):
    """A stage whose target runs real commands."""

    def __init__(self, world: World, folder: Path, **more: Any) -> None:
        super().__init__(world)
        self.folder = folder
        (folder / "script.py").write_text(SCRIPT)
        names = ("build", "apply", "check", "promote", "rollback", "destroy")
        commands = {name: (sys.executable, "script.py", name, "{label}", "{revision}") for name in names}
        commands |= {"status": (sys.executable, "-c", "print(open('there').read())")}
        (folder / "there").write_text("fine")
        declared = Declared(**({"commands": commands, "cwd": str(folder), "seconds_max": 30.0} | more))
        self.command = CommandTarget("shop", declared, folder / "runs")
        self.policy()

    def policy(self, **said: Any) -> None:
        """What the operator allows from now on."""
        known = Targets({"played": lambda: self.command}, {}, self.answers, resolve)
        self.open_desk(known, DeploymentPolicy(**said))

    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return path.read_text().split("\n")[:-1] if path.exists() else []


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> Any:
    async with open_world(sqlite_url) as world:
        yield House(world, tmp_path)


async def test_the_declared_commands_run_once_each_and_what_they_print_is_the_evidence(house: House):
    await house.live()
    assert house.ran() == [f"{name} shop-dev 1" for name in ("build", "apply", "check", "promote")]
    seen = await house.seen()
    assert (seen.status, seen.url, seen.live["version_id"]) == ("live", "http://served/", "v1")
    assert seen.live["status"] == "fine"
    (house.folder / "there").write_text("moved")
    control = ControlDeployment(deployment_id="shop", action="check_drift")
    assert (await house.desk.deployments.control(house.world.call, control)).deployment.drift == [
        'status is "moved", and was "fine"'
    ]


@pytest.mark.slow
async def test_what_fails_is_rolled_back_by_the_declared_command_to_what_was_live(house: House):
    await house.live()
    await house.define(services=[{"name": "web"}], tags=["x"])
    await house.define(services=[{"name": "web", "checks": [{"path": "/x"}]}])
    (house.folder / "check.code").write_text("1")
    await house.apply(await house.plan())
    await house.work()
    assert house.ran()[-1] == "rollback shop-dev 1"
    assert (await house.seen()).run.status == "rolled_back" and (await house.seen()).live_revision == 1


@pytest.mark.parametrize(
    "last", ['{"a": 1e999}', '{"a": NaN}', '{"a": [-Infinity]}', '{"a": ' + "[" * 90 + "]" * 90 + "}"]
)
async def test_what_no_json_holds_is_no_evidence_and_the_run_ends_all_the_same(
    sqlite_url: str, tmp_path: Path, last: str
):
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands=dict.fromkeys(("apply", "status"), ("echo", last)))
        await house.live()
        seen = await house.seen()
        assert (seen.status, seen.live["output"], seen.live["status"]) == ("live", last, last)
        assert "a" not in seen.live


async def test_of_a_log_the_end_is_shown_however_much_a_target_says(sqlite_url: str, tmp_path: Path):
    code = "print('x' * 200_000 + 'end')"
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands={"apply": ("true",), "logs": (sys.executable, "-c", code)})
        await house.live()
        logs = (await house.desk.deployments.get(world.call, "shop", logs=True)).logs
        assert len(logs) == LOGS_CHARACTERS_MAX and logs.endswith("end\n")


VERSIONS = """
import json, sys
what, version = sys.argv[1], sys.argv[2]
with open("ran", "a") as ran:
    ran.write(f"{what} {version or '-'}\\n")
print(json.dumps({"url": "http://served/"} | ({"version_id": open("next").read()} if what == "apply" else {})))
"""


@pytest.mark.slow
async def test_going_back_shows_and_runs_the_rollback_command_with_the_version_that_was_live_then(
    sqlite_url: str, tmp_path: Path
):
    (tmp_path / "versions.py").write_text(VERSIONS)
    names = ("build", "apply", "check", "promote", "rollback")
    commands = {name: (sys.executable, "versions.py", name, "{version_id}") for name in names}
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands=commands)
        for version in ("one", "two"):
            (tmp_path / "next").write_text(version)
            await house.live(services=[{"name": "web", "checks": [{"path": f"/{version}"}]}])
        assert house.ran()[4:] == ["build one", "apply one", "check two", "promote two"], "what was made is promoted"
        done = await house.desk.deployments.control(
            world.call, ControlDeployment(deployment_id="shop", action="rollback")
        )
        plan = await house.world.database.fetch_one("deployment_plan_by_id", id=done.deployment.run.plan_hash)
        steps = [step["what"].partition(": ")[2].split()[-2:] for step in json.loads(plan["steps"])]
        assert steps == [["build", "one"], ["rollback", "one"], ["check", "one"], ["promote", "one"]]
        await house.work()
        assert house.ran()[8:] == ["build one", "rollback one", "check one", "promote one"]
        assert (await house.seen()).live_revision == 1


async def test_going_back_is_refused_where_the_command_names_a_version_that_nobody_told(
    sqlite_url: str, tmp_path: Path
):
    commands = {"apply": (sys.executable, "-c", "1"), "rollback": (sys.executable, "-c", "1", "{version_id}")}
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands=commands, arguments={"n": "[0-9]"})
        for number in (1, 2):
            await house.live(services=[{"name": "web", "arguments": {"n": number}}])
        with pytest.raises(InvalidTransition, match="apply told no version_id"):
            await house.desk.deployments.control(world.call, ControlDeployment(deployment_id="shop", action="rollback"))


async def test_where_no_status_command_is_declared_nothing_is_called_as_it_was(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands={"apply": (sys.executable, "-c", "1")})
        await house.live()
        with pytest.raises(ValidationFailed, match="no status command, so nothing can be compared"):
            await house.desk.deployments.control(
                world.call, ControlDeployment(deployment_id="shop", action="check_drift")
            )


@pytest.mark.slow
async def test_a_command_that_hangs_is_stopped_and_what_was_live_is_brought_back(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path)
        await house.live()
        hangs = (sys.executable, "-c", "import time; print('waits', flush=True); time.sleep(600)")
        back = (sys.executable, "script.py", "rollback", "{label}", "{revision}")
        house = House(world, tmp_path, commands={"apply": hangs, "rollback": back}, seconds_max=0.5)
        await house.define(services=[{"name": "web", "checks": [{"path": "/x"}]}])
        await house.apply(await house.plan())
        await house.work()
        seen = await house.seen()
        assert (seen.run.status, seen.live_revision) == ("rolled_back", 1)
        assert "took longer than 0.5 seconds and was stopped: waits" in seen.error
        assert house.ran()[-1] == "rollback shop-dev 1"


@pytest.mark.slow
async def test_a_target_that_lies_about_its_health_is_found_out_by_what_it_answers(house: House):
    """Its check says that all is well, and its status, too."""
    await house.live()
    house.answers.bad.add("/x")
    await house.define(services=[{"name": "web", "checks": [{"path": "/x"}]}])
    await house.apply(await house.plan())
    await house.work()
    seen = await house.seen()
    assert (seen.run.status, seen.live_revision) == ("rolled_back", 1) and "status 500 instead of 200" in seen.error


async def test_exit_code_75_is_tried_again_and_another_is_not(house: House):
    await house.define()
    (house.folder / "apply.code").write_text("75")
    await house.apply(await house.plan())
    await house.work()
    assert (await house.seen()).status == "changing"
    (house.folder / "apply.code").unlink()
    await house.work(30)
    seen = await house.seen()
    assert (seen.status, seen.error) == ("live", None) and house.ran().count("apply shop-dev 1") == 2


async def test_a_plan_command_that_fails_makes_no_plan_and_a_changed_declaration_makes_one_stale(
    sqlite_url: str, tmp_path: Path
):
    async with open_world(sqlite_url) as world:
        house = House(
            world, tmp_path, commands={"apply": ("true",), "plan": (sys.executable, "-c", "exit('no login')")}
        )
        await house.define()
        with pytest.raises(Unavailable, match="plan command of the target shop failed: exit code 1: no login"):
            await house.plan()
        house = House(world, tmp_path, commands={"apply": ("true",), "plan": ("echo", "would", "{name}")})
        plan = await house.plan()
        assert plan.steps[-1].detail == "would shop"
        other = House(world, tmp_path, commands={"apply": ("false",), "plan": ("echo", "would")})
        with pytest.raises(Conflict, match="stale.*/declared"):
            await other.apply(plan)


async def test_a_model_fills_in_what_is_declared_and_nothing_else(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        house = House(
            world,
            tmp_path,
            commands={"apply": ("echo", "--to", "{region}")},
            arguments={"region": "[a-z]{2}"},
            secrets=("KEY",),
        )
        for services, teaches in (
            ([{"name": "web"}], "needs the arguments region"),
            ([{"name": "web", "arguments": {"region": "eu"}, "env": {"LD_PRELOAD": "x"}}], "does nothing with env"),
            ([{"name": "web", "arguments": {"region": "--delete-all"}}], r"must match \[a-z\]\{2\}"),
            ([{"name": "web", "arguments": {"zone": "a"}}], 'no argument "zone".*Declared are: region'),
            ([{"name": "web", "command": ["rm"], "arguments": {"region": "eu"}}], "does nothing with command"),
        ):
            with pytest.raises(ValidationFailed, match=teaches):
                await house.define(services=services)
        house.policy(secrets=("env:HOME",))
        stolen = [{"name": "web", "arguments": {"region": "eu"}, "secrets": ["PATH"]}]
        with pytest.raises(ValidationFailed, match="takes no secret PATH.*Declared are: KEY"):
            await house.define(secrets={"PATH": "env:HOME"}, services=stolen)
        await house.live(services=[{"name": "web", "arguments": {"region": "eu"}}])
        assert (await house.seen()).live["output"] == "--to eu"


@pytest.mark.parametrize(
    ("value", "teaches"),
    [
        ("--delete-all", "begins like an option"),
        ("-x", "begins like an option"),
        ("a\nb", "one line"),
        ("a\0b", "NUL"),
        (-5, None),
        ("../x", None),
    ],
)
async def test_however_much_a_pattern_takes_an_argument_stays_one_line_and_no_option(
    sqlite_url: str, tmp_path: Path, value: Any, teaches: str | None
):
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands={"apply": ("echo", "{where}")}, arguments={"where": "(?s).*"})
        services = [{"name": "web", "arguments": {"where": value}}]
        if teaches is None:
            await house.live(services=services)
            assert (await house.seen()).live["output"] == str(value)
        else:
            with pytest.raises(ValidationFailed, match=teaches):
                await house.define(services=services)


async def test_what_the_operator_does_not_allow_any_more_is_neither_planned_nor_applied_nor_gone_back_to(
    sqlite_url: str, tmp_path: Path
):
    async with open_world(sqlite_url) as world:
        loose = {"commands": {"apply": ("echo", "{where}")}, "arguments": {"where": ".*"}}
        house = House(world, tmp_path, **loose)
        await house.live(services=[{"name": "web", "arguments": {"where": "everywhere"}}])
        plan = await house.plan()
        strict = Declared(**(loose | {"arguments": {"where": "eu"}, "cwd": str(tmp_path)}))
        house.command = CommandTarget("shop", strict, tmp_path / "runs")
        house.policy()
        for refused in (house.plan(), house.apply(plan)):
            with pytest.raises(ValidationFailed, match="must match eu"):
                await refused
        control = ControlDeployment(deployment_id="shop", action="rollback", revision=1)
        with pytest.raises(ValidationFailed, match="must match eu"):
            await house.desk.deployments.control(world.call, control)


async def test_services_of_one_command_say_the_same(sqlite_url: str, tmp_path: Path):
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands={"apply": ("echo", "{where}")}, arguments={"where": ".*"})
        services = [{"name": name, "arguments": {"where": name}} for name in ("eu", "us")]
        with pytest.raises(ValidationFailed, match="Two services say another where"):
            await house.define(services=services)
        same = [one | {"arguments": {"where": "eu"}} for one in services]
        assert (await house.define(services=same)).revision == 1


def test_an_argument_that_no_placeholder_can_name_is_refused_at_the_start():
    declared = Declared({"apply": ("echo", "{REGION}")}, arguments={"REGION": ".*"})
    assert declared.problems() == ["its argument REGION is no name of small letters and _"]


async def test_children_get_what_is_declared_and_the_secrets_that_their_services_name(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("APP_KEY", "hunter2")
    monkeypatch.setenv("OTHER_SECRET", "never")
    code = (
        "import os, json; print(sorted(set(os.environ) - {'LC_CTYPE'})); print(json.dumps({'key': os.environ['KEY']}))"
    )
    async with open_world(sqlite_url) as world:
        house = House(
            world,
            tmp_path,
            commands={"apply": (sys.executable, "-c", code)},
            env={"ADDED": "env:APP_KEY", "PLAIN": "x"},
            secrets=("KEY",),
        )
        house.policy(secrets=("env:APP_*",))
        await house.live(secrets={"KEY": "env:APP_KEY"}, services=[{"name": "web", "secrets": ["KEY"]}])
        seen = await house.seen()
        inherited = set(json.loads(seen.live["output"].split("\n")[0].replace("'", '"')))
        assert {"ADDED", "PLAIN", "KEY"} <= inherited and "OTHER_SECRET" not in inherited
        assert seen.live["key"] in ("[KEY]", "[ADDED]")
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_commands_that_only_look_tell_no_secret_of_theirs(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("APP_KEY", "hunter2-hunter2")
    loud = (sys.executable, "-c", "import os; print('I have', os.environ['TOKEN'])")
    fails = (sys.executable, "-c", "import os; exit('refused: ' + os.environ['TOKEN'])")
    commands = {"apply": ("true",), "plan": loud, "status": loud, "logs": loud}
    async with open_world(sqlite_url) as world:
        house = House(world, tmp_path, commands=commands, env={"TOKEN": "env:APP_KEY"})
        await house.live()
        assert (await house.plan()).steps[-1].detail == "I have [TOKEN]"
        seen = await house.desk.deployments.get(world.call, "shop", logs=True)
        assert seen.logs == "I have [TOKEN]\n" and seen.live["status"] == "I have [TOKEN]"
        house = House(world, tmp_path, commands=commands | {"plan": fails}, env={"TOKEN": "env:APP_KEY"})
        with pytest.raises(Unavailable, match=r"refused: \[TOKEN\]"):
            await house.plan()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[targets.a]\nplan = ['x']", "targets in desk.toml, a.apply: it is missing"),
        ("[targets.a]\napply = ['x', '{who}']", r"\[targets.a\] cannot work: `apply` has the placeholder \{who\}"),
        ("[targets.a]\napply = ['x', '{who}']\narguments = { who = '(' }", "who: its pattern is no regular expression"),
        ("[targets.a]\napply = ['x']\narguments = { label = '.*' }", "argument label is filled in by the desk itself"),
        ("[targets.a]\napply = ['x']\nplan = ['']", "`plan`: its program has no name"),
        ("[targets.a]\napply = ['x']\nsecrets = ['A B']", "its secret A B is no name of a variable"),
        ("[targets.a]\napply = ['x']\nenv = { KEY = 'file:' }", "KEY in its env refers to nothing"),
        ("[targets.process]\napply = ['x']", "this name is one of the server's own"),
        ("[[approve]]\ntol = 'x'", "There is no setting approve.0.tol in desk.toml; did you mean approve.0.tool"),
    ],
)
def test_declarations_that_cannot_work_are_refused_at_the_start(tmp_path: Path, text: str, says: str):
    (tmp_path / "desk.toml").write_text(text)
    with pytest.raises(ValidationFailed, match=says):
        declared_targets(load_settings(config=tmp_path / "desk.toml"))


def found(settings: Settings) -> Targets:
    return targets(settings, Workers(settings))


def test_the_only_declared_target_is_meant_by_command(tmp_path: Path):
    (tmp_path / "desk.toml").write_text("[targets.a]\napply = ['x']")
    database = f"sqlite:///{tmp_path}/desk.db"
    one = found(load_settings(config=tmp_path / "desk.toml", database=database))
    assert one.get("a") and one.aliases == {"command": "a"}
    with pytest.raises(ValidationFailed, match=r"operator declares each under \[targets.NAME\]"):
        found(load_settings(database=database)).get("command")
