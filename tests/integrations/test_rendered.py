"""Compose files and manifests, held against the published schemas."""

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.spec import ControlDeployment
from mcp_server.domain.deployments.targets import Subject, Target, Targets
from mcp_server.integrations.targets.compose import ComposeTarget
from mcp_server.integrations.targets.kubernetes import KubernetesTarget
from mcp_server.kernel.errors import ValidationFailed
from tests.domain.deployments.played import Stage
from tests.world import World, open_world

pytestmark = pytest.mark.anyio
_SCHEMA = files("check_jsonschema").joinpath("builtin_schemas", "vendor", "compose-spec.json")
COMPOSE = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text("utf-8")))
SHOP: dict[str, Any] = {
    "services": [
        {
            "name": "web",
            "image": "ghcr.io/shop/web:1.2",
            "command": ["serve", "--all"],
            "env": {"MODE": "fast", "PRICE": "$5 #1: 'x'"},
            "secrets": ["KEY"],
            "replicas": 2,
            "ports": [8080],
            "health": {"path": "/health?$x='1'", "timeout_seconds": 2},
            "resources": {"cpu": 0.5, "memory_mb": 256},
        },
        {"name": "worker", "image": "shop/worker"},
    ],
    "databases": [
        {"name": "db", "engine": "postgres", "version": "17", "password": "PW"},
        {"name": "cache", "engine": "redis"},
    ],
    "ingress": [
        {"host": "shop.example.org", "service": "web", "tls": True},
        {"host": "shop.example.org", "service": "web", "path": "/api"},
    ],
    "monitoring": [{"service": "web", "path": "/metrics"}],
    "secrets": {"KEY": "env:SHOP_KEY", "PW": "file:/run/secrets/pw"},
}


class Yard(Stage):
    """A stage with a target that renders."""

    def __init__(self, world: World, target: Target) -> None:
        super().__init__(world)
        self.open_desk(Targets({"played": lambda: target}, {}, self.answers))


def rendered(target: ComposeTarget | KubernetesTarget, config: dict[str, Any]) -> list[Any]:
    """What is written, read back."""
    objects = target.objects("shop-dev", "dev", Config.model_validate(config))
    return list(yaml.safe_load_all(target.text(objects)))


def require_valid(target: ComposeTarget | KubernetesTarget, config: dict[str, Any]) -> list[Any]:
    documents = rendered(target, config)
    for document in documents:
        if isinstance(target, ComposeTarget):
            COMPOSE.validate(document)
        else:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    return documents


def test_a_compose_file_says_all_of_a_configuration(tmp_path: Path):
    (whole,) = require_valid(ComposeTarget(tmp_path), SHOP)
    web = whole["services"]["web"]
    assert (web["image"], web["command"]) == ("ghcr.io/shop/web:1.2", ["serve", "--all"])
    assert web["deploy"] == {"replicas": 2, "resources": {"limits": {"cpus": "0.5", "memory": "256M"}}}
    assert web["environment"]["PRICE"] == "$$5 #1: 'x'", "Compose would fill in what a dollar names"
    assert whole["secrets"] == {"KEY": {"environment": "SHOP_KEY"}, "PW": {"file": "/run/secrets/pw"}}
    assert whole["services"]["db"]["image"] == "postgres:17" and set(whole["volumes"]) == {"db-data", "cache-data"}
    caddyfile = whole["configs"]["caddyfile"]["content"]
    assert "shop.example.org {" in caddyfile and "reverse_proxy web:8080" in caddyfile


def test_manifests_say_all_of_a_configuration(tmp_path: Path):
    documents = require_valid(KubernetesTarget(tmp_path), SHOP)
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    web = by_name["Deployment", "shop-dev-web"]["spec"]
    (container,) = web["template"]["spec"]["containers"]
    assert web["replicas"] == 2 and container["args"] == ["serve", "--all"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health?$x='1'", "port": 8080}
    assert {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "shop-dev", "key": "KEY"}}} in container["env"]
    assert by_name["StatefulSet", "shop-dev-db"] and by_name["Service", "shop-dev-db"]
    rules = by_name["Ingress", "shop-dev-ingress"]["spec"]["rules"]
    assert [path["path"] for rule in rules for path in rule["http"]["paths"]] == ["/", "/api"]


def test_compose_publishes_ports_on_loopback_alone_and_warns_where_an_ingress_is_reached_from_everywhere(
    tmp_path: Path,
):
    target = ComposeTarget(tmp_path)
    alone = {"name": "one", "image": "a", "ports": [9090, 9091]}
    (whole,) = require_valid(target, SHOP | {"services": [*SHOP["services"], alone]})
    assert whole["services"]["one"]["ports"] == ["127.0.0.1:9090:9090", "127.0.0.1:9091:9091"]
    assert whole["services"]["web"]["ports"] == ["127.0.0.1::8080"], "of several replicas Docker chooses the ports"
    assert "ports" not in whole["services"]["db"]
    everywhere = "The ingress is reached from everywhere: it listens on all addresses of the host."
    for config, warns in ((SHOP, True), ({"services": [alone]}, False)):
        subject = Subject("d", "shop", "dev", "compose", 1, Config.model_validate(config))
        assert (everywhere in target.warnings(subject)) is warns


def test_the_password_of_a_redis_is_asked_for(tmp_path: Path):
    shop = SHOP | {"databases": [{"name": "cache", "engine": "redis", "password": "PW"}]}
    (whole,) = require_valid(ComposeTarget(tmp_path), shop)
    assert whole["services"]["cache"]["secrets"] == ["PW"]
    assert whole["services"]["cache"]["command"][-1] == 'exec redis-server --requirepass "$$(cat /run/secrets/PW)"'
    documents = require_valid(KubernetesTarget(tmp_path), shop)
    (made,) = [one for one in documents if one["kind"] == "StatefulSet"]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--requirepass", "$(REDIS_PASSWORD)"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "shop-dev", "key": "PW"}


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
SERVICES = st.fixed_dictionaries(
    {"name": LABELS, "image": st.just("shop/web:1")},
    optional={
        "env": st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), TEXTS, max_size=3),
        "replicas": st.integers(1, 5),
        "ports": st.lists(st.integers(1, 65535), max_size=3, unique=True),
        "health": st.fixed_dictionaries({"path": st.from_regex(r"/[!-\"$-\[\]-~]{0,20}", fullmatch=True)}),
        "resources": st.fixed_dictionaries({"cpu": st.floats(0.01, 8), "memory_mb": st.integers(1, 9999)}),
    },
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(SERVICES, min_size=1, max_size=4, unique_by=lambda one: one["name"]))
@pytest.mark.parametrize("kind", [ComposeTarget, KubernetesTarget])
def test_whatever_is_configured_is_rendered_so_that_the_schemas_take_it_and_texts_come_back(kind: Any, services: Any):
    services = [one for one in services if "health" not in one or one.get("ports")]
    services = [one for one in services if not str(one.get("health", {}).get("path", "/")).startswith("//")]
    if not services:
        return
    documents = require_valid(kind(Path("/nowhere")), {"services": services})
    for service in services:
        text = json.dumps(documents, ensure_ascii=False)
        for value in service.get("env", {}).values():
            # Both fill in what a dollar names, and take two for one.
            assert json.dumps(value.replace("$", "$$"), ensure_ascii=False) in text


@pytest.mark.parametrize("kind", [ComposeTarget, KubernetesTarget])
@pytest.mark.parametrize(
    ("config", "teaches"),
    [
        ({"services": [{"name": "web"}]}, "web has no image"),
        (
            {"services": [{"name": "w", "image": "i"}], "databases": [{"name": "db", "engine": "mysql"}]},
            "db has no password",
        ),
        (
            {"services": [{"name": "w", "image": "i"}], "ingress": [{"host": "a.b", "service": "w"}]},
            "leads to no port of w",
        ),
        ({"services": [{"name": "w", "image": "i", "health": "/"}]}, "w is to be asked whether it works, and has no"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_what_would_do(kind: Any, config: dict[str, Any], teaches: str):
    with pytest.raises(ValidationFailed, match=teaches):
        kind(Path("/nowhere")).objects("a-b", "b", Config.model_validate(config))


@pytest.fixture
async def world(sqlite_url: str) -> Any:
    async with open_world(sqlite_url) as opened:
        yield opened


async def test_files_are_handed_over_compared_and_removed_and_nothing_is_called_live(world: World, tmp_path: Path):
    yard = Yard(world, KubernetesTarget(tmp_path))
    await yard.live(services=[{"name": "web", "image": "a:1"}])
    seen = await yard.seen()
    path = Path(seen.live["files"][0]["path"])
    assert seen.status == "rendered" and path.exists() and "kubectl apply" in seen.live["said"]
    await yard.define(services=[{"name": "web", "image": "a:2"}])
    assert [(step.action, step.what) for step in (await yard.plan()).steps] == [("change", "deployment shop-dev-web")]
    path.write_text("by hand")
    control = yard.desk.deployments.control
    drift = await control(world.call, ControlDeployment(deployment_id="shop", action="check_drift"))
    assert drift.deployment.drift == ["the file that was handed over is another now"]
    plan = await yard.plan(destroy=True)
    assert [step.action for step in plan.steps] == ["remove", "remove"]
    destroy = ControlDeployment(deployment_id="shop", action="destroy", plan_hash=plan.hash)
    await control(world.call, destroy)
    await yard.work()
    assert (await yard.seen()).status == "destroyed" and not path.exists()


DOCKER = """#!{python}
import os, sys
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + " KEY=" + os.environ.get("SHOP_KEY", "") + "\\n")
if "up" in sys.argv and os.path.exists({fail!r}):
    sys.exit("port is taken")
if "ps" in sys.argv:
    print(open({ps!r}).read())
"""


class Docker:
    """A stand-in for `docker` that keeps what it was asked, and lists the containers that the test says."""

    def __init__(self, folder: Path) -> None:
        self.path, self.log = folder / "docker", folder / "log"
        self.fail, self.ps = folder / "fail", folder / "ps"
        told = {"log": str(self.log), "fail": str(self.fail), "ps": str(self.ps)}
        self.path.write_text(DOCKER.format(python=sys.executable, **told))
        self.path.chmod(0o755)
        self.lists()

    def lists(self, *containers: tuple[str, int, int], state: str = "running") -> None:
        """What runs: each a service, a port of it, and the port of the host, 0 for none."""
        told = [
            {
                "Service": name,
                "State": state,
                "Publishers": [{"URL": "127.0.0.1", "TargetPort": port, "PublishedPort": on, "Protocol": "tcp"}],
            }
            for name, port, on in containers
        ]
        self.ps.write_text("\n".join(json.dumps(one) for one in told))


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    if sys.platform == "win32":
        pytest.skip("needs an executable script")
    return Docker(tmp_path)


async def test_compose_is_applied_where_it_answers_and_rolled_back_where_it_fails(
    world: World, tmp_path: Path, docker: Docker
):
    yard = Yard(world, ComposeTarget(tmp_path / "made", str(docker.path)))
    docker.lists(("web", 8080, 8080))
    await yard.live(services=[{"name": "web", "image": "a:1", "ports": [8080], "health": {}}])
    seen = await yard.seen()
    assert (seen.status, seen.url) == ("live", "http://127.0.0.1:8080")
    await yard.define(services=[{"name": "web", "image": "a:2", "ports": [8080]}])
    assert [(step.action, step.what) for step in (await yard.plan()).steps] == [("change", "service web")]
    assert [step.what for step in (await yard.plan(destroy=True)).steps] == ["project", "service web"]
    docker.fail.touch()
    await yard.apply(await yard.plan())
    await yard.work()
    seen = await yard.seen()
    assert seen.status == "failed" and "port is taken" in seen.error, "nor could the one before be brought up again"
    said = docker.log.read_text().split("\n")
    assert any("-p shop-dev" in line and "up -d --wait" in line for line in said)


async def test_each_service_of_compose_is_asked_where_docker_says_that_it_is(
    world: World, tmp_path: Path, docker: Docker
):
    yard = Yard(world, ComposeTarget(tmp_path / "made", str(docker.path)))
    docker.lists(("web", 8080, 32768), ("web", 8080, 32769), ("api", 9091, 9091), ("api", 9090, 9090))
    await yard.live(
        services=[
            {"name": "web", "image": "a:1", "replicas": 2, "ports": [8080], "checks": ["/w"]},
            {"name": "api", "image": "a:1", "ports": [9090, 9091], "checks": ["/a"]},
        ]
    )
    assert (await yard.seen()).status == "live"
    assert yard.answers.asked == [("http://127.0.0.1:32768", "/w"), ("http://127.0.0.1:9090", "/a")]


async def test_containers_that_ended_are_drift_and_so_is_a_docker_that_does_not_answer(
    world: World, tmp_path: Path, docker: Docker
):
    yard = Yard(world, ComposeTarget(tmp_path / "made", str(docker.path)))
    docker.lists(("web", 8080, 32768), ("web", 8080, 32769))
    await yard.live(services=[{"name": "web", "image": "a:1", "replicas": 2, "ports": [8080]}])
    look = ControlDeployment(deployment_id="shop", action="check_drift")

    async def drift() -> list[str] | None:
        return (await yard.desk.deployments.control(world.call, look)).deployment.drift

    assert await drift() is None
    docker.lists(("web", 8080, 32768))
    assert await drift() == ["web: 1 of 2 containers run"]
    docker.lists(("web", 8080, 0), ("web", 8080, 0), state="exited")
    assert await drift() == ["web: 0 of 2 containers run"]
    docker.path.write_text(f"#!{sys.executable}\nraise SystemExit(1)")
    assert await drift() == ["docker compose does not answer, so nobody can say what runs"]
