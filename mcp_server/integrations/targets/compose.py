"""The target `compose`: a Compose file, applied where `docker compose` really answers, else handed over.

Ports are published on loopback alone; what is to be reached from elsewhere says so by an ingress.
Source: the Compose specification (services, deploy, healthcheck, configs, secrets, volumes).
"""

import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from mcp_server.domain.deployments.configuration import Config, DatabaseSpec, Service
from mcp_server.domain.deployments.targets import Facts, PhaseFailed, Subject, Work
from mcp_server.integrations.kept import Ended
from mcp_server.integrations.targets.containers import HERE, Containers, missing
from mcp_server.integrations.targets.docker_compose import DockerCompose
from mcp_server.integrations.targets.rendered import Objects, RenderedTarget, yaml_text
from mcp_server.kernel.checks import found_by, refuse
from mcp_server.kernel.errors import ValidationFailed

PROXY = "ingress"
_IMAGES = {"postgres": "postgres:16", "mysql": "mysql:8", "redis": "redis:7"}
_DATA = {"postgres": "/var/lib/postgresql/data", "mysql": "/var/lib/mysql", "redis": "/data"}
_PASSWORD = {"postgres": "POSTGRES_PASSWORD_FILE", "mysql": "MYSQL_ROOT_PASSWORD_FILE"}
_NAME_ONE = 'Name a secret: password="DB_PASSWORD", with secrets={"DB_PASSWORD": "env:..."}.'
_NO_DOCKER = (
    "This server finds no docker, so applying only writes the file, and nothing runs: install Docker here, or run the "
    "file where it is (docker compose -f FILE up -d)."
)
_DATABASE = {"postgres": "POSTGRES_DB", "mysql": "MYSQL_DATABASE"}


class ComposeTarget(RenderedTarget):
    """Renders a Compose file. See `Target`."""

    file = "compose.yaml"
    takes = frozenset(
        ("image", "command", "env", "secrets", "replicas", "ports", "health", "checks", "resources", "depends_on")
    ) | {"databases", "ingress", "monitoring"}

    def __init__(self, folder: Path, docker: str | None = None) -> None:
        super().__init__(folder)
        self._docker = DockerCompose(docker)

    def objects(self, label: str, environment: str, config: Config) -> Objects:
        """Every part of the file."""
        del environment
        require_images("compose", config)
        parts: dict[str, Any] = {f"service {one.name}": _service(one, config) for one in config.services}
        parts |= {f"service {one.name}": _database(one, label) for one in config.databases}
        parts |= {f"volume {one.name}-data": {} for one in config.databases}
        parts |= {f"secret {name}": _secret(reference) for name, reference in config.secrets.items()}
        if config.ingress:
            parts[f"service {PROXY}"] = _proxy(config)
            parts["config caddyfile"] = {"content": _caddyfile(config)}
        return {"project": label} | parts

    def text(self, objects: Objects) -> str:
        """The Compose file."""
        whole: dict[str, Any] = {"name": objects["project"]}
        for kind in ("service", "volume", "secret", "config"):
            members = {name.partition(" ")[2]: part for name, part in objects.items() if name.startswith(f"{kind} ")}
            if members:
                whole[f"{kind}s"] = members
        return yaml_text([whole])

    def warnings(self, subject: Subject) -> list[str]:
        """What the file cannot promise."""
        crowded = [one.name for one in subject.config.services if one.replicas > 1 and one.ports]
        found = [f"{name} has several replicas, so Docker chooses the ports of the host." for name in crowded]
        if subject.config.ingress:
            found.append("The ingress is reached from everywhere: it listens on all addresses of the host.")
        return found

    def lacks(self, subject: Subject) -> list[str]:
        """Docker, without which the file is only written."""
        del subject
        return [] if self._docker.is_there else [_NO_DOCKER]

    async def observe(self, subject: Subject) -> Facts:
        """The file that was handed over last; where Docker runs it, also how many containers of each service run."""
        told = await super().observe(subject)
        runs = subject.live is not None and not subject.live.get("rendered")
        return told | {"running": await self._docker.running(subject.label)} if runs else told

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """Whether somebody changed the file, or ended containers."""
        found = super().drift(subject, observed)
        if "running" not in observed or subject.live_config is None:
            return found
        if observed["running"] is None:
            return [*found, "docker compose does not answer, so nobody can say what runs"]
        return found + missing(observed["running"], _containers_of(subject.live_config))

    async def deploy(self, work: Work, path: Path) -> Facts:
        """`docker compose up`, where that answers."""
        if not await self._docker.answers():
            said = f"docker compose does not answer here. Run it elsewhere: docker compose -f {path} up -d"
            return {"rendered": True, "said": said}
        ended = await self._compose(work, path, "up", "-d", "--wait", "--remove-orphans")
        return _facts(ended) | await self._state(work, path)

    async def remove(self, work: Work, path: Path | None) -> Facts:
        """`docker compose down`; volumes stay."""
        if path is None or not await self._docker.answers():
            return {"rendered": True, "said": "docker compose does not answer here, so only the file was removed."}
        return _facts(await self._compose(work, path, "down", "--remove-orphans"))

    async def _state(self, work: Work, path: Path) -> Facts:
        """What runs now, and where it answers, as Docker says."""
        ended = await self._compose(work, path, "ps", "--format", "json")
        config = work.subject.live_config if work.phase == "revert" else work.subject.config
        urls = Containers.told(ended.stdout).urls(config or work.subject.config)
        one = {"url": next(iter(urls.values()))} if len(urls) == 1 else {}
        return {"ps": ended.stdout[-4000:], "urls": urls} | one

    async def _compose(self, work: Work, path: Path, *words: str) -> Ended:
        """One command about the project of a deployment."""
        return await self._docker.run(work.subject.label, path, _variables(work), *words)


def require_images(target: str, config: Config) -> None:
    """Refuse services that no container can be made of, or that nobody could ask what is to be asked, and ways in that
    lead nowhere.

    Raises:
        ValidationFailed: naming them.
    """
    faults = (
        (_without_image(config), f"has no image, and {target} runs images.", 'Give one: image="nginx:1.27".'),
        (_loose(config), "has no password.", _NAME_ONE),
        (
            _closed(config),
            "is to be asked whether it works, and has no port.",
            "Name it, or leave health and checks out.",
        ),
    )
    told = (ValidationFailed(f"{', '.join(names)} {why}", next=todo) for names, why, todo in faults if names)
    refuse([*told, *filter(None, (found_by(partial(port_of, config, one)) for one in config.ingress))])


def _containers_of(config: Config) -> dict[str, int]:
    """How many containers there are to be of each part."""
    databases = dict.fromkeys((one.name for one in config.databases), 1)
    return {one.name: one.replicas for one in config.services} | databases


def _without_image(config: Config) -> list[str]:
    """Services of which no container can be made."""
    return [service.name for service in config.services if service.image is None]


def _loose(config: Config) -> list[str]:
    """Databases that would not start, since their image wants a password."""
    loose = (one for one in config.databases if one.password is None and one.engine in _PASSWORD)
    return [f"The database {one.name}" for one in loose]


def _closed(config: Config) -> list[str]:
    """Services that are to be asked, and that nobody could ask."""
    return [one.name for one in config.services if (one.health or one.checks) and not one.ports]


def database_image(database: DatabaseSpec) -> str:
    """The official image of an engine."""
    image = _IMAGES[database.engine]
    return image if database.engine_version is None else f"{image.partition(':')[0]}:{database.engine_version}"


def data_folder(database: DatabaseSpec) -> str:
    """Where the official image keeps its data."""
    return _DATA[database.engine]


def _service(service: Service, config: Config) -> dict[str, Any]:
    """A service in words of the Compose specification."""
    rendered: dict[str, Any] = {
        "image": service.image,
        "command": [plain(word) for word in service.command],
        "environment": {name: plain(value) for name, value in service.env.items()},
        "secrets": list(service.secrets),
        "ports": [f"{HERE}:{'' if service.replicas > 1 else port}:{port}" for port in service.ports],
        "depends_on": list(service.depends_on),
        "healthcheck": _healthcheck(service),
        "labels": _labels(service, config),
        "restart": "unless-stopped",
        "deploy": {"replicas": service.replicas} | _limits(service),
    }
    return {name: value for name, value in rendered.items() if value}


def plain(text: str) -> str:
    """A text in which Compose, or Kubernetes, fills in nothing."""
    return text.replace("$", "$$")


def _healthcheck(service: Service) -> dict[str, Any] | None:
    """How Docker asks a container whether it works, from inside of it."""
    if service.health is None or not service.ports:
        return None
    url = shlex.quote(f"http://127.0.0.1:{service.ports[0]}{service.health.path}")
    # Images have one or the other.
    test = ["CMD-SHELL", f"wget -q -O /dev/null {url} || curl -fsS -o /dev/null {url}"]
    return {
        "test": [test[0], plain(test[1])],
        "interval": "10s",
        "timeout": f"{service.health.timeout_seconds:g}s",
        "retries": service.health.attempts,
    }


def _limits(service: Service) -> dict[str, Any]:
    """What a container may use at most."""
    limits: dict[str, str] = {}
    if service.resources is not None and service.resources.cpu is not None:
        limits["cpus"] = f"{service.resources.cpu:g}"
    if service.resources is not None and service.resources.memory_mb is not None:
        limits["memory"] = f"{service.resources.memory_mb}M"
    return {"resources": {"limits": limits}} if limits else {}


def _labels(service: Service, config: Config) -> dict[str, str]:
    """What Prometheus finds a service by."""
    told = next((one for one in config.monitoring if one.service == service.name), None)
    if told is None:
        return {}
    port = told.port or next(iter(service.ports), None)
    labels = {"prometheus.io/scrape": "true", "prometheus.io/path": told.path}
    return labels if port is None else labels | {"prometheus.io/port": str(port)}


def _database(database: DatabaseSpec, label: str) -> dict[str, Any]:
    """A database as a service, with a volume of its own."""
    rendered: dict[str, Any] = {
        "image": database_image(database),
        "volumes": [f"{database.name}-data:{data_folder(database)}"],
        "restart": "unless-stopped",
    }
    if database.password is not None and database.engine in _PASSWORD:
        name = label.replace("-", "_")
        rendered["environment"] = {
            _PASSWORD[database.engine]: f"/run/secrets/{database.password}",
            _DATABASE[database.engine]: name,
        }
        rendered["secrets"] = [database.password]
    elif database.password is not None:
        start = f'exec redis-server --requirepass "$(cat /run/secrets/{database.password})"'
        rendered |= {"command": ["sh", "-c", plain(start)], "secrets": [database.password]}
    return rendered


def _secret(reference: str) -> dict[str, str]:
    """Where Docker takes a secret from; never the secret."""
    kind, _, where = reference.partition(":")
    return {"environment" if kind == "env" else "file": where}


def _proxy(config: Config) -> dict[str, Any]:
    """The service that answers for every host of the ingress."""
    return {
        "image": "caddy:2",
        "ports": ["80:80", *(["443:443"] if any(one.tls for one in config.ingress) else [])],
        "configs": [{"source": "caddyfile", "target": "/etc/caddy/Caddyfile"}],
        "restart": "unless-stopped",
    }


def _caddyfile(config: Config) -> str:
    """What the proxy is told."""
    return "".join(_sites(config))


def _sites(config: Config) -> Iterable[str]:
    """What the proxy does for each host, in the order of the ingress."""
    for host in dict.fromkeys(one.host for one in config.ingress):
        ways = [one for one in config.ingress if one.host == host]
        scheme = "" if any(one.tls for one in ways) else "http://"
        routes = "".join(
            f"  handle {_prefix(one.path)} {{\n    reverse_proxy {_upstream(config, one)}\n  }}\n" for one in ways
        )
        yield f"{scheme}{host} {{\n{routes}}}\n"


def _prefix(path: str) -> str:
    """The paths that an ingress stands for."""
    return "*" if path == "/" else f"{path.rstrip('/').replace('{', '').replace('}', '')}*"


def _upstream(config: Config, ingress: Any) -> str:
    """Whom an ingress leads to."""
    return f"{ingress.service}:{port_of(config, ingress)}"


def port_of(config: Config, ingress: Any) -> int:
    """The port that an ingress leads to.

    Raises:
        ValidationFailed: neither it nor its service has one.
    """
    known = [one for one in config.services if one.name == ingress.service]
    port = ingress.port or next((port for service in known for port in service.ports), None)
    if port is None:
        raise ValidationFailed(f"The ingress of {ingress.host} leads to no port of {ingress.service}.", next="Name it.")
    return port


def _variables(work: Work) -> dict[str, str]:
    """What the file's secrets refer to, for the program that reads it alone."""
    named = work.subject.config.secrets.items()
    return {
        where: work.secret(name) for name, text in named for kind, _, where in (text.partition(":"),) if kind == "env"
    }


def _facts(ended: Ended) -> Facts:
    """What a command told as evidence.

    Raises:
        PhaseFailed: it did not end well.
    """
    if ended.exit_code != 0:
        raise PhaseFailed(f"docker compose: {ended.error or ended.stderr[-1500:] or ended.exit_code}")
    return {"exit_code": 0, "output": (ended.stderr or ended.stdout)[-1500:]}
