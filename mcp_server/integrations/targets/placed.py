"""What is known of places from outside: which belong together, what a proxy said of itself, which files are left."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from mcp_server.domain.deployments.configuration import Config, Service
from mcp_server.domain.deployments.places import STATUS, Place, PlaceSpec
from mcp_server.domain.deployments.targets import Facts, PhaseFailed, Subject, Work

FAILURES_MAX = 3
"""After so many failures in a row a replica is given up."""


class Release(NamedTuple):
    """What one run has brought, or is to bring: its id, its configuration, and its places."""

    id: str
    config: Config
    wished: list[PlaceSpec]

    def among(self, places: Iterable[Place]) -> list[Place]:
        """Those of its proxies and replicas that there are."""
        return [one for one in places if any(one.spec.is_place_of(spec) for spec in self.wished)]

    def service(self, place: Place) -> Service:
        """What a place is of."""
        return self.config.service(place.spec.service)


def new_release(target: str, work: Work) -> Release:
    """What a run is to bring."""
    return _release(target, work.subject, work.subject.config, work.subject.revision, work.run_id)


def live_release(target: str, subject: Subject) -> Release | None:
    """What is live; None where nothing is."""
    if subject.live is None or subject.live_config is None:
        return None
    return _release(target, subject, subject.live_config, subject.live_revision or 0, subject.live["release"])


def _release(target: str, subject: Subject, config: Config, revision: int, release: str) -> Release:
    known: dict[str, str | int] = {"name": subject.name, "environment": subject.environment, "label": subject.label}
    known |= {"revision": revision, "release": release}
    wished = [_proxy(target, service) for service in config.services]
    for service in config.services:
        wished += _replicas(target, service, config, known | {"service": service.name})
    return Release(release, config, wished)


def _proxy(target: str, service: Service) -> PlaceSpec:
    return PlaceSpec(kind="proxy", target=target, service=service.name, asked=next(iter(service.ports), None))


def _replicas(target: str, service: Service, config: Config, known: dict[str, str | int]) -> Iterable[PlaceSpec]:
    secrets = {name: config.secrets[name] for name in service.secrets}
    replica = PlaceSpec(kind="replica", target=target, service=service.name, release=str(known["release"]))
    replica = replica.changed(arguments=service.arguments, secrets=secrets)
    for number in range(1, service.replicas + 1):
        yield replica.changed(number=number, known=known | {"replica": number})


def replicas_of(places: Iterable[Place], release: str) -> list[Place]:
    """The replicas of a release, by service and number."""
    mine = [one for one in places if one.spec.kind == "replica" and one.spec.release == release]
    return sorted(mine, key=lambda one: (one.spec.service, one.spec.number))


def require_hope(places: Iterable[Place]) -> None:
    """Give up what fails again and again.

    Raises:
        PhaseFailed: naming it, and why.
    """
    for place in places:
        process = place.process
        if process.pid is None and process.failures >= FAILURES_MAX:
            raise PhaseFailed(
                f"{place.label} does not run: {process.reason}. deployments_find(..., logs=true) shows what it wrote"
            )


def said_of(proxy: Place) -> Facts:
    """What a proxy said of itself; nothing where that was another process."""
    file = proxy.file(STATUS)
    try:
        told: Facts = {} if file is None else json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if told.get("pid") == proxy.process.pid else {}


def leads_to(proxy: Place, release: str) -> bool:
    """Whether a proxy said that it leads to a release."""
    told = said_of(proxy)
    return told.get("release") == release and bool(told["ports"])


def remove_files(places: Iterable[Place]) -> None:
    """Leave nothing of what was written in places, or about them."""
    for place in places:
        log = place.file(".log")
        if log is not None:
            for file in log.parent.glob(f"{log.stem}.*"):
                file.unlink(missing_ok=True)
