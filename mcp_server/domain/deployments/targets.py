"""What passes between deployments and a target: where things run, or what they are handed over to.

A target is an integration; the composition root says which ones this server has. Each method may run again after a
crash: `Work.again` says that an earlier attempt may have done it, and then a target looks before it acts.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from mcp_server.domain.deployments.configuration import Config, Probe
from mcp_server.domain.deployments.spec import Operation
from mcp_server.kernel.errors import NotFound, OpsError, ValidationFailed
from mcp_server.kernel.near import did_you_mean, near
from mcp_server.kernel.quoting import quoted

Phase = Literal["build", "deploy", "check", "promote", "revert", "destroy", "stop", "start"]
Facts = dict[str, Any]
"""JSON: what was found, or what came of something."""

PHASES: Mapping[Operation, tuple[Phase, ...]] = {
    "apply": ("build", "deploy", "check", "promote"),
    "rollback": ("build", "deploy", "check", "promote"),
    "destroy": ("destroy",),
    "stop": ("stop",),
    "start": ("start", "check"),
}
"""What an operation consists of. `check` is done by the rollout itself, not by the target."""


class Step(NamedTuple):
    """One thing that would happen."""

    action: str
    what: str
    detail: str | None = None


class Outlook(NamedTuple):
    """What would happen, and what a person should know beside it."""

    steps: list[Step]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A deployment as a target sees it.

    Attributes:
        id: of the deployment.
        name: of the deployment.
        environment: where it is meant to be.
        target: what its definition calls the target.
        revision: which configuration is meant.
        config: the configuration that is meant.
        live_revision: which one this desk last brought live; None where none is.
        live_config: that configuration.
        live: what the target told when it went live.
        then: what the target told when the revision that is meant was last brought live; None where it never was.
    """

    id: str
    name: str
    environment: str
    target: str
    revision: int
    config: Config
    live_revision: int | None = None
    live_config: Config | None = None
    live: Facts | None = None
    then: Facts | None = None

    @property
    def label(self) -> str:
        """Its name in the world outside: `shop-production`."""
        return f"{self.name}-{self.environment}"


@dataclass(frozen=True, slots=True)
class Work:
    """One phase to be done.

    Attributes:
        subject: of what.
        operation: which it belongs to.
        phase: which.
        run_id: of the run, the same for each attempt: what is made is marked with it, so that it is found again.
        again: whether an earlier attempt may have done it.
        done: what the phases before told.
        secret: the value of a secret by its name; never to be kept, told or logged.
        guard: raises once somebody else has taken the run over; awaited just before what cannot be undone.
        report: tells how far it has come.
    """

    subject: Subject
    operation: Operation
    phase: Phase
    run_id: str
    again: bool
    done: Mapping[str, Facts]
    secret: Callable[[str], str]
    guard: Callable[[], Awaitable[None]]
    report: Callable[[str], Awaitable[None]]


@dataclass(eq=False)
class PhaseFailed(Exception):
    """A phase did not work.

    Attributes:
        message: why, for people.
        retry_after_seconds: when another attempt may work; None where none will.
        facts: what was found out.
    """

    message: str
    retry_after_seconds: float | None = None
    facts: Facts = field(default_factory=dict[str, Any])


class Target(Protocol):
    """Where deployments run. Safe to use from many tasks at once."""

    @property
    def takes(self) -> frozenset[str]:
        """The members of a service, and of a configuration beside its services, that mean something here."""
        ...

    @property
    def operations(self) -> frozenset[Operation]:
        """What can be done here."""
        ...

    def check(self, subject: Subject) -> None:
        """Refuse a configuration that cannot work here.

        Raises:
            ValidationFailed: saying what, and what would do.
        """
        ...

    async def observe(self, subject: Subject) -> Facts:
        """What is there now, as far as it bears on plans and drift: nothing that changes by itself.

        Raises:
            OpsError: it cannot be found out.
        """
        ...

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """What an operation would do; nothing is touched.

        Raises:
            OpsError: it cannot be found out.
        """
        ...

    async def act(self, work: Work) -> Facts:
        """Do one phase; what came of it, as evidence. `url` is where checks go.

        Raises:
            PhaseFailed: it did not work.
        """
        ...

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """In what that which is there differs from what was brought live."""
        ...

    async def logs(self, subject: Subject) -> str | None:
        """The end of what it has written; None where there is nothing to be had."""
        ...


@runtime_checkable
class Closing(Protocol):
    """A target that holds something open."""

    async def close(self) -> None:
        """Let go of it."""
        ...


@runtime_checkable
class Lacking(Protocol):
    """A target that needs what this machine may not have."""

    def lacks(self, subject: Subject) -> list[str]:
        """What is not here to carry a plan out, what applying does then, and what to do; nothing where all is here."""
        ...


@runtime_checkable
class Naming(Protocol):
    """A target that calls parts of deployments by names that those of another could have as well."""

    def names(self, subject: Subject) -> frozenset[str]:
        """What it calls them where they run; nothing that a project says by itself."""
        ...


@runtime_checkable
class Showing(Protocol):
    """A target that can say of each replica how it is now."""

    async def replicas(self, subject: Subject) -> list[Facts]:
        """Every replica: where it runs, where it answers, and what it answered just now."""
        ...


@runtime_checkable
class Falling(Protocol):
    """A target whose programs run on this machine, where nobody but the desk starts them again."""

    def fallen(self, subject: Subject) -> list[str]:
        """What was brought live here and runs no more, in words; nothing of what is on other machines."""
        ...

    def trim(self, subject: Subject) -> None:
        """Keep what it writes here within bounds."""
        ...


class Prober(Protocol):
    """Sends the requests that show whether something works."""

    async def __call__(self, url: str, probe: Probe) -> Facts:
        """Ask until it answers as it should, or the attempts are used up; what it answered, with `ok`."""
        ...


def _no_probe(url: str, probe: Probe) -> Any:
    raise AssertionError(f"nobody was told how to ask {url} for {probe.path}")


def _no_secret(reference: str) -> str:
    raise AssertionError(f"nobody was told how to resolve {reference}")


_ALSO_CALLED = {"k8s": "kubernetes", "docker": "compose", "docker-compose": "compose", "workers": "cloudflare"}


@dataclass(frozen=True, slots=True)
class Targets:
    """What this server has.

    Attributes:
        known: what makes each target at its first use, by the names that definitions use.
        aliases: further names of targets. Definitions keep the real one, which is what rules of the operator name.
        absent: names that mean something elsewhere, and why not here.
        probe: see `Prober`.
        resolve: the value of a secret by its reference; raises PhaseFailed where there is none.
        references: to secrets that the operator gave targets, by the target and the name.
    """

    known: Mapping[str, Callable[[], Target]] = field(default_factory=dict[str, Callable[[], Target]])
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    probe: Prober = _no_probe
    resolve: Callable[[str], str] = _no_secret
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    references: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    made: dict[str, Target] = field(default_factory=dict[str, Target])

    def get(self, name: str) -> Target:
        """The target of a name.

        Raises:
            ValidationFailed: there is none here; the message says which there are.
        """
        if name not in self.known:
            meant = self._meant(name)
            raise ValidationFailed(
                self.absent.get(name) or f"There is no target {quoted(name)}. {did_you_mean(meant)}".rstrip(),
                next=f"This server has: {', '.join(sorted(self.known)) or 'none'}. The operator declares others under "
                "[targets.NAME] in the TOML file.",
                details={"target": name, "known": sorted(self.known)} | ({"near": meant} if meant else {}),
            )
        if name not in self.made:
            self.made[name] = self.known[name]()
        return self.made[name]

    def lacking(self, subject: Subject) -> list[str]:
        """What is not here to carry out what is meant, and what to do about it."""
        try:
            target = self.get(subject.target)
        except OpsError as error:
            return [f"Applying fails on this server: {error.message}"]
        return target.lacks(subject) if isinstance(target, Lacking) else []

    def _meant(self, name: str) -> list[str]:
        usual = _ALSO_CALLED.get(name.casefold(), name)
        return [usual] if usual in self.known else near(name, self.known)

    async def close(self) -> None:
        """Let go of what targets hold open."""
        for target in self.made.values():
            if isinstance(target, Closing):
                await target.close()


def require_taken(target: Target, subject: Subject) -> None:
    """Refuse what a target would pass over in silence.

    Raises:
        ValidationFailed: naming what it does not take, and what it does.
    """
    config = subject.config
    beside = [name for name in ("databases", "ingress", "monitoring") if getattr(config, name)]
    said = {name for service in config.services for name in service.said()} | set(beside)
    stray = sorted(said - target.takes)
    if stray:
        raise ValidationFailed(
            f"The target {subject.target} does nothing with {', '.join(stray)}.",
            next=f"Leave that out. It takes {', '.join(sorted(target.takes))}.",
            details={"not_taken": stray, "takes": sorted(target.takes)},
        )


def no_deployment(deployment_id: str) -> NotFound:
    """The refusal for an id that names no deployment."""
    return NotFound(
        f"There is no deployment {quoted(deployment_id[:80])}.",
        next="List them with deployments_find, or make one with deployments_define.",
        details={"deployment_id": deployment_id[:80]},
    )
