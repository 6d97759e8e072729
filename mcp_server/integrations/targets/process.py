"""The target `process`: a program of the operator's as the replicas of a service on this machine, kept alive by the
supervisor. In front of them a proxy with a port that stays: new replicas are started beside the old ones, and once each
of them works, the proxy leads to them; what is under way with the old ones ends, and then they do.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from mcp_server.domain.deployments.configuration import Config, Service
from mcp_server.domain.deployments.places import Place
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Phase, Prober, Step, Subject, Work
from mcp_server.integrations.targets.health import Health
from mcp_server.integrations.targets.lacking import lacking
from mcp_server.integrations.targets.replacing import Replacing
from mcp_server.kernel.checks import check_all
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import storable
from mcp_server.kernel.quoting import named

LOG_CHARACTERS, LOGS_CHARACTERS = 8 * 1024, 64 * 1024
_DOWN = ("crash_loop", "stopped")
_NOTHING: Facts = {"replicas": 0, "down": [], "port": None}


class ProcessTarget:
    """Runs replicas here. See `Target`."""

    takes = frozenset({"arguments", "secrets", "replicas", "ports", "health", "checks"})
    operations: frozenset[Operation] = frozenset(("apply", "rollback", "destroy", "stop", "start"))

    def __init__(self, name: str, program: Program, places: Places, probe: Prober) -> None:
        """Nothing runs because of this.

        Args:
            name: of the target.
            program: what the operator declared under that name.
            places: where processes are wanted.
            probe: asks a service over HTTP.
        """
        self._name = name
        self._program = program
        self._places = places
        self._health = Health(program, probe)
        self._replacing = Replacing(name, program, places, self._health, probe)

    def check(self, subject: Subject) -> None:
        """Refuse what the program does not take.

        Raises:
            ValidationFailed: saying what would do.
            LimitExceeded: it would have more replicas than may be.
        """
        services = subject.config.services
        each = (partial(self._program.check, self._name, service) for service in services)
        check_all(*each, partial(_require_own_ports, services))

    async def observe(self, subject: Subject) -> Facts:
        """What is declared, as a hash, and what of the live release there is: not who runs at this moment."""
        release, here = _live(subject), dict[str, Facts]()
        mine = [one for one in await self._places.of(subject.id) if release is not None and one.spec.release == release]
        for place in mine:
            service = here.setdefault(place.spec.service, _NOTHING | {"down": []})
            if place.spec.kind == "proxy":
                service["port"] = place.spec.port
            else:
                service["replicas"] += 1
            service["down"] += [place.label] if place.process.status in _DOWN else []
        return {"declared": self._program.digest(), "here": here}

    async def outlook(self, subject: Subject, operation: Operation, observed: Facts) -> Outlook:
        """Which replicas would be started and stopped, and where they would be reached."""
        here: Facts = observed["here"]
        if operation in ("destroy", "stop", "start"):
            return Outlook([Step(operation, f"{len_of(one['replicas'])} of {name}") for name, one in here.items()], [])
        services = subject.config.services
        steps = [step for service in services for step in self._steps(service, here.get(service.name))]
        gone = sorted(here.keys() - {service.name for service in services})
        steps += [
            Step("stop", f"{len_of(here[one]['replicas'])} of {one}", "it is no service any more") for one in gone
        ]
        return Outlook(steps, self._warnings(services))

    def lacks(self, subject: Subject) -> list[str]:
        """The operator's program, where it is not here."""
        del subject
        return lacking(self._program.launcher.argv[:1], self._program.launcher.env)

    async def act(self, work: Work) -> Facts:
        """Do one phase.

        Raises:
            PhaseFailed: it did not work.
        """
        phases, does = self._replacing, dict[Phase, Callable[[Work], Awaitable[Facts]]]()
        does |= {"build": phases.build, "deploy": phases.deploy, "check": phases.check, "promote": phases.promote}
        does |= {"revert": phases.revert, "destroy": phases.destroy, "stop": phases.stop, "start": phases.start}
        return await does[work.phase](work)

    def drift(self, subject: Subject, observed: Facts) -> list[str]:
        """Which replicas do not run, and whether the operator lets something else run by now."""
        was = (subject.live or {}).get("declared")
        found = [] if observed["declared"] == was else [f"the program of {self._name} is another now"]
        for service in () if subject.live_config is None else subject.live_config.services:
            found += _drift(service, observed["here"].get(service.name, _NOTHING))
        return found

    async def logs(self, subject: Subject) -> str | None:
        """The end of what each replica wrote."""
        places = await self._places.of(subject.id)
        said = [self._log(subject, place) for place in sorted(places, key=lambda one: one.spec.kind, reverse=True)]
        return storable("\n".join(said), LOGS_CHARACTERS) if said else None

    async def replicas(self, subject: Subject) -> list[Facts]:
        """Every replica and proxy: where it runs, where it answers, and what it answered just now."""
        services = {service.name: service for service in _all(subject.live_config, subject.config)}
        places = await self._places.of(subject.id)
        return [await self._now(subject, place, services.get(place.spec.service)) for place in places]

    def _warnings(self, services: Iterable[Service]) -> list[str]:
        blind = ", ".join(one.name for one in services if not self._health.is_said(one))
        said = f"No health is said for {blind}: a replica counts as well once its port takes connections."
        return [said] if blind else []

    def _steps(self, service: Service, live: Facts | None) -> list[Step]:
        port = next(iter(service.ports), None if live is None else live["port"])
        where = "a free port" if port is None else f"port {port}"
        steps = [
            Step("start", f"{len_of(service.replicas)} of {service.name}", self._program_of(service)),
            Step("check", f"each replica of {service.name}", self._health.says(service)),
            Step("lead" if live else "open", f"{where} to {service.name}", f"at {self._program.listen}"),
        ]
        if live is not None:
            steps.append(Step("stop", f"{len_of(live['replicas'])} of {service.name}", "once nothing is under way"))
        return steps + [Step("set", f"secret {name} of {service.name}") for name in service.secrets]

    def _program_of(self, service: Service) -> str:
        """What runs, with all that the deployment fills in."""
        said = ", ".join(f"{name}={named(str(value))}" for name, value in sorted(service.arguments.items()))
        return f"program of {self._name}{f': {said}' if said else ''}"

    def _log(self, subject: Subject, place: Place) -> str:
        tail = self._places.tail(place)
        if tail is None:
            text = f"(it lies on {place.process.host})" if place.process.log else "(nothing yet)"
        else:
            text = tail.text[-LOG_CHARACTERS:]
        which = "" if place.spec.release == _live(subject) else " (not live)"
        return f"== {place.label}{which}, {place.process.status}\n{text}"

    async def _now(self, subject: Subject, place: Place, service: Service | None) -> Facts:
        process = place.process
        told: Facts = self._replacing.evidence(place) | {"status": process.status, "starts": process.starts}
        told |= {"reason": process.reason, "exit": process.exit, "is_live": place.spec.release == _live(subject)}
        if place.is_up and process.host == self._places.host and service is not None:
            told["said"] = await self._health.now(place, service)
        return {name: value for name, value in told.items() if value is not None}


def _require_own_ports(services: Sequence[Service]) -> None:
    asked = [port for service in services for port in service.ports]
    if len(asked) != len(set(asked)):
        raise ValidationFailed("Two services cannot have one port.", next="Give each its own, or name none.")


def _live(subject: Subject) -> str | None:
    return (subject.live or {}).get("release")


def _drift(service: Service, here: Facts) -> list[str]:
    found = [f"{label} does not run" for label in here["down"]]
    if here["replicas"] != service.replicas:
        found.append(f"{service.name} has {len_of(here['replicas'])}, and went live with {service.replicas}")
    return found if here["port"] is not None else [*found, f"nothing leads to {service.name}"]


def _all(*configs: Config | None) -> Iterable[Service]:
    return [service for config in reversed(configs) if config is not None for service in config.services]


def len_of(replicas: int) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{replicas} replica{'' if replicas == 1 else 's'}"
