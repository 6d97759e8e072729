"""What this machine lacks to carry a deployment out is said when it is defined, planned and looked at."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mcp_server.config import Settings
from mcp_server.deploying import Workers, targets
from mcp_server.domain.agents.launchers import Launcher
from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.spec import ControlDeployment
from mcp_server.domain.deployments.targets import Subject, Target, Targets
from mcp_server.integrations.targets.command import CommandTarget
from mcp_server.integrations.targets.compose import ComposeTarget
from mcp_server.integrations.targets.declared import Declared
from mcp_server.integrations.targets.kubernetes import KubernetesTarget
from mcp_server.integrations.targets.process import ProcessTarget
from mcp_server.integrations.targets.workerd import WorkerdTarget
from mcp_server.integrations.workers.source import Sources
from tests.domain.deployments.played import Stage
from tests.world import World
from tools import TOOLS

pytestmark = pytest.mark.anyio
SAY = {tool.name: tool.say for tool in TOOLS}
SUBJECT = Subject("d", "shop", "dev", "it", 1, Config.model_validate({"services": [{"name": "web"}]}))


async def test_a_definition_a_plan_and_a_look_say_that_nothing_will_run_and_then_nothing_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    stage = Stage(world)
    for target, word in ((ComposeTarget(tmp_path), "finds no docker"), (KubernetesTarget(tmp_path), "no cluster")):
        stage.open_desk(Targets({"played": partial(_same, target)}, {}, stage.answers))
        defined = await stage.define(word.replace(" ", "-"), services=[{"name": "web", "image": "nginx"}])
        (warning,) = defined.warnings or ()
        assert word in warning and warning in SAY["deployments_define"](defined)
        reference = defined.deployment.id
        assert (await stage.seen(reference)).warnings == [warning]
        plan = await stage.plan(reference)
        assert plan.warnings == [warning]
        await stage.apply(plan)
        await stage.work()
        live = (await stage.seen(reference)).live
        assert live["rendered"] is True and "running" not in live, "which is what was said"
        destroy = ControlDeployment(deployment_id=reference, action="destroy")
        removal = (await stage.desk.deployments.control(world.call, destroy)).plan
        assert removal is not None and removal.warnings is None, "of a removal, nothing of applying is said"


def _same(target: Target) -> Target:
    return target


async def test_a_target_that_lacks_nothing_says_nothing(world: World):
    stage = Stage(world)
    assert (await stage.define()).warnings is None
    assert (await stage.plan()).warnings is None and (await stage.seen()).warnings is None


async def test_programs_that_are_not_here_are_named_with_what_to_do(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    workerd = WorkerdTarget(tmp_path, Sources((), _no_document), _no_address, bytes)
    (said,) = workerd.lacks(SUBJECT)
    assert "workerd is not installed" in said and "npm install workerd" in said
    commands = {"apply": (f"{tmp_path}/no-such-tool", "up"), "status": (sys.executable, "-V"), "stop": ("bin/stop",)}
    (said,) = CommandTarget("it", Declared(commands), tmp_path).lacks(SUBJECT)
    assert said.startswith("This server finds no no-such-tool, so applying fails") and str(tmp_path) not in said
    places = world.desk.get(Places)
    for argv, count in ((("no-such-server",), 1), ((sys.executable,), 0)):
        assert len(ProcessTarget("it", Program(Launcher(argv)), places, _no_probe).lacks(SUBJECT)) == count


async def test_an_account_that_is_not_set_is_said_of_what_was_defined_before(world: World, tmp_path: Path):
    settings = Settings(database=f"sqlite:///{tmp_path / 'desk.db'}")
    workers = Workers(settings)
    workers.desk = world.desk
    (said,) = targets(settings, workers).lacking(Subject("d", "s", "e", "cloudflare", 1, SUBJECT.config))
    assert "Applying fails on this server" in said and "DATAMCP_CLOUDFLARE_API_TOKEN" in said


async def _no_probe(*_: object) -> Any:
    raise AssertionError("nothing is asked")


_no_document = _no_address = _no_probe
