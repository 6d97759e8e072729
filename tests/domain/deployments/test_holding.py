"""Names in the world outside and room on this machine, on both engines, with a target that the test plays."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_server.config import Settings
from mcp_server.deploying import room
from mcp_server.domain.deployments.holders import Holders
from mcp_server.domain.deployments.holding import Room
from mcp_server.domain.deployments.spec import ApplyDeployment, ControlDeployment, DefineDeployment, PlanDeployment
from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import Conflict, LimitExceeded
from tests.domain.deployments.played import Played, Stage
from tests.world import World, caller

pytestmark = pytest.mark.anyio


class Naming(Played):
    """Names its parts as Cloudflare does."""

    def names(self, subject: Subject) -> frozenset[str]:
        return frozenset(f"{subject.label}-{service.name}" for service in subject.config.services)


async def test_two_deployments_have_nothing_of_one_name_where_it_runs(world: World):
    stage = Stage(world)
    stage.target = Naming()
    await stage.define("shop-production", "api", services=[{"name": "gateway"}])
    with pytest.raises(Conflict, match="shop-production in api has shop-production-api-gateway where it runs"):
        await stage.define("shop", "production", services=[{"name": "web"}, {"name": "api-gateway"}])
    await stage.define("shop", "production", services=[{"name": "api-web"}])
    with pytest.raises(Conflict, match="shop in production has shop-production-api-web where it runs"):
        await stage.define("shop-production", "api", services=[{"name": "web"}])
    assert (await stage.define("shop-production", "api", services=[{"name": "gateway"}])).revision == 1


async def test_what_was_destroyed_gives_its_names_back(world: World):
    stage = Stage(world)
    stage.target = Naming()
    await stage.live("shop-production", environment="api", services=[{"name": "gateway"}])
    plan = await stage.plan("shop-production", destroy=True)
    said = ControlDeployment(deployment_id="shop-production", action="destroy", plan_hash=plan.hash)
    await stage.desk.deployments.control(world.call, said)
    await stage.work()
    assert (await stage.define("shop", "production", services=[{"name": "api-gateway"}])).revision == 1


async def test_who_brought_a_name_live_is_told_to_others_alone(world: World):
    stage = Stage(world)
    stage.target.says["deploy"] = [{"names": {"web": "shop-worker"}}]
    await stage.live("shop")
    holder, seen = stage.desk.get(Holders).holder, await stage.seen("shop")
    config = Subject(seen.id, "shop", "dev", "played", 1, _CONFIG)
    assert await holder(config, "shop-worker") is None
    other = replace(config, id="deployment_other")
    assert await holder(other, "shop-worker") == "shop in dev"
    assert await holder(other, "another") is None and await holder(replace(other, target="else"), "shop-worker") is None


_CONFIG = DefineDeployment.model_validate(
    {"name": "a", "environment": "dev", "target": "played", "services": [{"name": "web"}]}
)
ROOM = Room(frozenset(("played",)), 4)


async def bring(stage: Stage, name: str, replicas: int, role: Role = Role.OPERATOR, **who: Any) -> None:
    call, deployments = caller(role, **who), stage.desk.deployments
    said = {"name": name, "environment": "dev", "target": "played", "services": [{"name": "web", "replicas": replicas}]}
    await deployments.define(call, DefineDeployment.model_validate(said))
    plan = (await deployments.plan(call, PlanDeployment(deployment_id=name))).plan
    await deployments.apply(call, ApplyDeployment(deployment_id=name, plan_hash=plan.hash))


async def test_what_one_caller_deploys_has_no_more_replicas_together_than_the_operator_lets_it(world: World):
    stage = Stage(world, ROOM)
    await bring(stage, "one", 3)
    with pytest.raises(LimitExceeded, match="4 replicas on this machine together; 3 are taken, and this asks for 2"):
        await bring(stage, "two", 2)  # while the first is only about to be
    await stage.work()
    await bring(stage, "two", 1)
    await bring(stage, "theirs", 4, id="ann")
    await stage.work()
    assert {(await stage.seen(name)).status for name in ("one", "two", "theirs")} == {"live"}
    await bring(stage, "one", 3)  # a replacement takes its own place
    await stage.work()
    with pytest.raises(LimitExceeded, match="1 are taken"):
        await bring(stage, "one", 4)


async def test_what_is_stopped_takes_no_room_and_finds_none_when_it_was_given_away(world: World):
    stage = Stage(world, ROOM)
    await bring(stage, "one", 3)
    await stage.work()
    await _control(stage, "stop")
    await bring(stage, "two", 4)
    await stage.work()
    with pytest.raises(LimitExceeded, match="4 are taken, and this asks for 3"):
        await _control(stage, "start")
    unbound = Stage(world, Room(frozenset(("elsewhere",)), 1))
    await bring(unbound, "three", 9)


async def test_what_was_only_rendered_takes_no_room(world: World):
    stage = Stage(world, ROOM)
    stage.target.says["deploy"] = [{"rendered": True}]
    await bring(stage, "files", 4)
    await stage.work()
    assert (await stage.seen("files")).status == "rendered"
    await bring(stage, "runs", 4)


@pytest.mark.parametrize("docker", ["/usr/bin/docker", None])
def test_compose_takes_room_where_docker_is(monkeypatch: pytest.MonkeyPatch, docker: str | None):
    monkeypatch.setattr("shutil.which", lambda name: docker)
    found = room(Settings.model_validate({"deployments_max_replicas": 7}))
    assert ("compose" in found.targets, found.replicas_max) == (docker is not None, 7)


async def _control(stage: Stage, action: Any) -> None:
    await stage.desk.deployments.control(stage.world.call, ControlDeployment(deployment_id="one", action=action))
    await stage.work()
