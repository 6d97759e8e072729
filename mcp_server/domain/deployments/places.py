"""Places of a deployment's processes: the replicas of its services, and in front of those of each service a proxy,
whose port stays the same. The replicas of one run are a release; which release a proxy leads to is what is live.

What a run changes here counts only as long as the run is in that phase: who comes late changes nothing.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field

from mcp_server.domain.deployments.targets import Phase
from mcp_server.domain.deployments.transactions import require_in_phase
from mcp_server.domain.processes.model import Process, Want
from mcp_server.domain.processes.service import log_name
from mcp_server.domain.processes.transactions import forget, processes_of, respecify, unwant, want
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.values import Frozen

OWNER = "deployment"
"""What the owner of such processes is called."""

Argument = str | int | float | bool


class PlaceSpec(Frozen):
    """What runs in a place.

    Attributes:
        kind: a replica, or the proxy in front of replicas.
        target: whose program it is.
        service: which one.
        release: which one it belongs to; of a proxy, where it leads.
        number: of a replica, from 1.
        asked: the port that the deployment asks for; None for any.
        port: that it has; None as long as it was not started.
        arguments: what a replica's program leaves open.
        secrets: references by the names of variables.
        known: what the desk fills in itself.
        health: what a proxy asks its replicas now and then: path and status.
    """

    kind: Literal["replica", "proxy"]
    target: str
    service: str
    release: str | None = None
    number: int = 0
    asked: int | None = None
    port: int | None = None
    arguments: dict[str, Argument] = Field(default={})
    secrets: dict[str, str] = Field(default={})
    known: dict[str, str | int] = Field(default={})
    health: dict[str, str | int] | None = None

    def text(self) -> RawJson:
        """As it is stored."""
        return RawJson(dump_json(self.model_dump(mode="json", exclude_defaults=True)))

    def changed(self, **changes: Any) -> Self:
        """The same with something changed."""
        return self.model_copy(update=changes)

    def is_place_of(self, wished: "PlaceSpec") -> bool:
        """Whether what is wished for is this, or would take its place."""
        if (self.kind, self.service) != (wished.kind, wished.service):
            return False
        if self.kind == "proxy":
            return wished.asked in (None, self.port, self.asked)
        return (self.release, self.number) == (wished.release, wished.number)


class Place(NamedTuple):
    """A process and what runs in it."""

    process: Process
    spec: PlaceSpec

    @staticmethod
    def of(process: Process) -> "Place":
        """The place that a process belongs to."""
        return Place(process, PlaceSpec.model_validate_json(process.spec))

    @property
    def id(self) -> str:
        """Of its process."""
        return self.process.id

    @property
    def is_up(self) -> bool:
        """Whether a process runs in it that nobody has asked to end."""
        return self.process.status == "running"

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody wants anything to run in it, or what does fails again and again."""
        return not self.process.wanted or self.process.status in ("backoff", "crash_loop")

    @property
    def label(self) -> str:
        """What people call it."""
        return (
            f"{self.spec.service} {self.spec.number}" if self.spec.kind == "replica" else f"{self.spec.service} proxy"
        )

    def file(self, suffix: str) -> Path | None:
        """A file beside its log; None where it has none, or the row names what is no log of ours."""
        log = Path(self.process.log or "")
        return log.with_suffix(suffix) if log.name == log_name(self.id) else None


ROUTES, STATUS = ".routes", ".status"
"""Beside a proxy's log: where it leads to, and what it says of that."""


class At(NamedTuple):
    """Which phase of which run changes something."""

    deployment_id: str
    run_id: str
    phase: Phase


def scope_of(target: str) -> str:
    """What a supervisor must know to run what a target has declared."""
    return f"target:{target}"


def places_of(processes: Iterable[Process]) -> list[Place]:
    """What processes are, in their order."""
    return [Place.of(process) for process in processes]


def proxies_of(places: Iterable[Place]) -> list[Place]:
    """Those that are proxies."""
    return [one for one in places if one.spec.kind == "proxy"]


def arrange(tx: Transaction, origin: Origin, at: At, wished: Sequence[PlaceSpec], host: str) -> None:
    """Have all this run. What runs already goes on; what was stopped is started as it was; what rests after failures is
    tried at once.

    Raises:
        LeaseLost: the run is not in that phase any more.
    """
    there = _there(tx, at)
    free = itertools.count(1 + max((place.process.slot for place in there), default=-1))
    for spec in wished:
        place = next((one for one in there if one.spec.is_place_of(spec)), None)
        if place is None or place.is_at_rest:
            process_id, slot = (
                (origin.new_id("process"), next(free)) if place is None else (place.id, place.process.slot)
            )
            text = (spec if place is None else place.spec).text()
            want(tx, origin, Want(process_id, OWNER, at.deployment_id, slot, scope_of(spec.target), text, host))


def switch(tx: Transaction, origin: Origin, at: At, release: str, healths: Mapping[str, Any]) -> None:
    """Have proxies lead to a release: all together, or none.

    Args:
        tx: the transaction.
        origin: who does it.
        at: in which phase.
        release: where they lead.
        healths: by the ids of the proxies, what they ask their replicas.

    Raises:
        LeaseLost: the run is not in that phase any more.
    """
    for place in _there(tx, at):
        if place.id in healths:
            spec = place.spec.changed(release=release, health=healths[place.id])
            if spec != place.spec:
                respecify(tx, origin, place.id, spec.text())


def dismiss(tx: Transaction, origin: Origin, at: At, ids: Iterable[str], reason: str) -> None:
    """Have what runs in these places end.

    Raises:
        LeaseLost: the run is not in that phase any more.
    """
    meant = set(ids)
    for place in _there(tx, at):
        if place.id in meant and place.process.wanted:
            unwant(tx, origin, place.id, reason)


def clear(tx: Transaction, origin: Origin, at: At, ids: Iterable[str]) -> None:
    """Forget those of these places in which nothing runs any more.

    Raises:
        LeaseLost: the run is not in that phase any more.
    """
    meant = set(ids)
    for place in _there(tx, at):
        if place.id in meant and place.process.status == "stopped":
            forget(tx, origin, place.process)


def allot(tx: Transaction, origin: Origin, place: Place, port: int) -> Process:
    """Give a place a port, before it is started.

    Raises:
        LeaseLost: something has happened to it since it was looked at.
    """
    text = place.spec.changed(port=port).text()
    return respecify(tx, origin, place.id, text, unstarted_since=place.process.version)


def _there(tx: Transaction, at: At) -> list[Place]:
    require_in_phase(tx, at.run_id, at.phase)
    return places_of(processes_of(tx, OWNER, at.deployment_id))
