"""Programs: what the operator lets run as the replicas of a service. A deployment names one and fills in what it leaves
open; the command, its environment and where it may listen are the operator's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from mcp_server.domain.agents.launchers import Launcher
from mcp_server.domain.deployments.configuration import Service
from mcp_server.domain.processes.declaring import wrong_secrets, wrong_words
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import LimitExceeded, NotFound, ValidationFailed
from mcp_server.kernel.json_text import canonical_hash

KNOWN = ("port", "name", "environment", "label", "service", "replica", "revision", "release")
"""What the desk fills in itself."""


class Ports(NamedTuple):
    """Ports that may be given out, both ends included. Below those that the system gives out by itself."""

    first: int = 20_000
    last: int = 29_999


PORTS = Ports()


@dataclass(frozen=True, slots=True)
class Program:
    """One of them.

    Attributes:
        launcher: its command, environment, limits, and how it is asked to end.
        secrets: the variables in which a deployment may hand over secrets; others could turn it into another program.
        listen: the address at which services are reached from outside.
        ports: that services and replicas may have.
        health: the path that says whether a replica works, where the deployment does not say.
        health_command: what says it instead, with its exit code.
        replicas_max: how many a service may have.
        start_seconds: how long a replica may take until it works.
        drain_seconds: how long what is under way may take once a replica is to go.
    """

    launcher: Launcher
    secrets: tuple[str, ...] = ()
    listen: str = "127.0.0.1"
    ports: Ports = PORTS
    health: str | None = None
    health_command: tuple[str, ...] = ()
    replicas_max: int = 16
    start_seconds: float = 60.0
    drain_seconds: float = 30.0

    def problems(self) -> list[str]:
        """What makes no sense about it, in words."""
        launcher = self.launcher
        both = replace(launcher, argv=(*launcher.argv, *self.health_command))
        found = [*both.problems(), *(wrong_words(self.health_command) if self.health_command else [])]
        found += wrong_secrets(self.secrets)
        if self.ports.first > self.ports.last:
            found.append(f"its ports go from {self.ports.first} to {self.ports.last}")
        if self.health is not None and self.health_command:
            found.append("health and health_command are two ways to say the same")
        return found

    def checking(self) -> Launcher:
        """The health command, to be filled in like the program's own."""
        return replace(self.launcher, argv=self.health_command)

    def digest(self) -> str:
        """A short hash over all that is declared: references to secrets, never what they lead to."""
        told: dict[str, Any] = {name: getattr(self, name) for name in ("secrets", "listen", "ports", "health")}
        launcher = {name: value for name, value in asdict(self.launcher).items() if name not in _NO_MATTER}
        return canonical_hash({"launcher": launcher, "health_command": self.health_command} | told)[:16]

    def check(self, target: str, service: Service) -> None:
        """Refuse what it does not take.

        Raises:
            ValidationFailed: saying what would do.
            LimitExceeded: it would have more replicas than may be.
        """
        check_all(
            partial(self.launcher.check, target, service.arguments),
            partial(self._check_secrets, target, service),
            partial(self._check_port, target, service),
            partial(self._check_replicas, target, service),
        )

    def _check_secrets(self, target: str, service: Service) -> None:
        strange = [name for name in service.secrets if name not in self.secrets]
        if strange:
            raise ValidationFailed(
                f"The target {target} takes no secret {', '.join(strange)}.",
                next=f"Declared are: {', '.join(self.secrets) or 'none'}.",
            )

    def _check_replicas(self, target: str, service: Service) -> None:
        if service.replicas > self.replicas_max:
            raise LimitExceeded(
                f"The target {target} allows a service {self.replicas_max} replicas, not {service.replicas}.",
                next="Ask for fewer, or have the operator set max_replicas.",
                details={"target": target, "max_replicas": self.replicas_max},
            )

    def _check_port(self, target: str, service: Service) -> None:
        if len(service.ports) > 1:
            raise ValidationFailed(
                f"{service.name} names {len(service.ports)} ports, and the target {target} serves each at one.",
                next="Name one, or none to be given a free one.",
            )
        for port in service.ports:
            if not self.ports.first <= port <= self.ports.last:
                raise ValidationFailed(
                    f"The target {target} gives out the ports {self.ports.first} to {self.ports.last}, not {port}.",
                    next="Name one of these, or none to be given a free one.",
                    details={"ports": list(self.ports)},
                )


_NO_MATTER = ("known", "what", "share_database", "max_instances")


@dataclass(frozen=True, slots=True)
class Programs:
    """Every program of this server, by the name of its target."""

    known: Mapping[str, Program] = field(default_factory=dict[str, Program])

    def get(self, target: str) -> Program:
        """The program of a target.

        Raises:
            NotFound: it is not declared here.
        """
        if target not in self.known:
            raise NotFound(
                f"The target {target} is not declared on this server.",
                next="The operator declares it under [targets.NAME] in the TOML file.",
                details={"target": target, "known": sorted(self.known)},
            )
        return self.known[target]
