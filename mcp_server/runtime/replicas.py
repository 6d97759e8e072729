"""From a place of a deployment to the command that runs in it: a port is allotted, what is left open is filled in,
references are looked up. And telling proxies where they lead."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from mcp_server.domain.deployments.places import OWNER, ROUTES, STATUS, Place, places_of, proxies_of
from mcp_server.domain.deployments.placing import Places
from mcp_server.domain.deployments.programs import Program, Programs
from mcp_server.domain.desk import Desk
from mcp_server.domain.processes.model import Process
from mcp_server.domain.processes.running import Command, NotStarted, Stop
from mcp_server.domain.processes.service import log_name
from mcp_server.kernel import private_files
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.json_text import dump_json
from mcp_server.runtime.launching import looked_up

EVERYWHERE = "0.0.0.0"  # noqa: S104 - only to see whether a port is free at every address
log = structlog.stdlib.get_logger("datamcp.replicas")


class Replicas:
    """Resolves the places of deployments."""

    def __init__(self, desk: Desk, folder: Path, proxy: Command, environment: Mapping[str, str] = os.environ) -> None:
        """With what is on the desk.

        Args:
            desk: with the programs that the operator declared.
            folder: where logs lie.
            proxy: the command of a proxy, without its arguments.
            environment: of this server.
        """
        self._places = desk.get(Places)
        self._programs = desk.option(Programs)
        self._chance = desk.context.random
        self._folder = folder
        self._proxy = proxy
        self._environment = environment
        self._allotting = asyncio.Lock()

    async def __call__(self, process: Process) -> Command:
        """What runs in a place.

        Raises:
            NotStarted: its program is another by now, a reference leads nowhere, or its port is taken.
            LeaseLost: something else has happened to the place meanwhile.
        """
        place = Place.of(process)
        try:
            program = self._programs.get(place.spec.target)
            port = place.spec.port if place.process.pid is not None else await self._port(place, program)
            if place.spec.kind == "proxy":
                return self._leading(place, program, port)
            program.launcher.check(place.spec.target, place.spec.arguments)
        except OpsError as error:
            if error.code == "lease_lost":
                raise
            raise NotStarted(error.message) from None
        return Command(
            argv=program.launcher.filled(place.spec.arguments, {**place.spec.known, "port": port}),
            env=self._env(place, program, port),
            cwd=program.launcher.cwd,
            limits=program.launcher.limits,
            stop=program.launcher.stop,
        )

    def lead(self, processes: Sequence[Process]) -> None:
        """Tell every proxy among these processes where it leads: to the replicas of its release that run."""
        places = places_of(process for process in processes if process.owner_kind == OWNER)
        for proxy in proxies_of(places):
            self._tell(proxy, [one for one in places if _is_behind(proxy, one)])

    def _tell(self, proxy: Place, replicas: Iterable[Place]) -> None:
        ports = sorted(one.spec.port for one in replicas if one.spec.port is not None)
        told = {"release": proxy.spec.release, "ports": ports, "health": proxy.spec.health}
        file, text = self._file(proxy, ROUTES), dump_json(told)
        try:
            _keep(file, text)
        except OSError as error:
            log.warning("proxy_not_told", process_id=proxy.id, error=str(error))

    def _leading(self, place: Place, program: Program, port: int | None) -> Command:
        files = str(self._file(place, ROUTES)), str(self._file(place, STATUS))
        stop = Stop("SIGTERM", program.drain_seconds)
        return replace(self._proxy, argv=(*self._proxy.argv, program.listen, str(port), *files), stop=stop)

    def _file(self, place: Place, suffix: str) -> Path:
        return (self._folder / log_name(place.id)).absolute().with_suffix(suffix)

    def _env(self, place: Place, program: Program, port: int | None) -> dict[str, str]:
        env = passed_on(self._environment) | {"PORT": str(port)}
        strange = place.spec.secrets.keys() - set(program.secrets)
        if strange:
            raise NotStarted(f"the target {place.spec.target} takes no secret {', '.join(sorted(strange))} any more")
        given = {**program.launcher.env, **place.spec.secrets}
        return env | {name: looked_up(name, value, self._environment) for name, value in given.items()}

    async def _port(self, place: Place, program: Program) -> int:
        """The port of a place: a proxy keeps the one that it has, a replica is given another where that is taken."""
        asked, is_proxy = place.spec.port or place.spec.asked, place.spec.kind == "proxy"
        address = program.listen if is_proxy else EVERYWHERE
        if asked is None or not (is_proxy or is_free(address, asked)):
            return await self._given_a_free_one(place, program, address)
        if not is_free(address, asked):
            raise NotStarted(f"port {asked} of {address} is taken by another program")
        if asked != place.spec.port:
            await self._places.allot(place, asked)
        return asked

    async def _given_a_free_one(self, place: Place, program: Program, address: str) -> int:
        async with self._allotting:
            given, (first, last) = await self._places.ports(), program.ports
            start = first + int(self._chance() * (last - first + 1))
            untried = (port for port in (*range(start, last + 1), *range(first, start)) if port not in given)
            port = next((port for port in untried if is_free(EVERYWHERE, port) and is_free(address, port)), None)
            if port is None:
                raise NotStarted(f"every port from {first} to {last} is taken")
            await self._places.allot(place, port)
        return port


def _keep(file: Path, text: str) -> None:
    """Have a file hold a text; who reads it meanwhile finds all of it or what was there before."""
    if not file.exists() or file.read_text("utf-8") != text:
        private_files.make_folder(file.parent)
        private_files.put(file, text)


def is_free(address: str, port: int) -> bool:
    """Whether nobody listens there, and one could.

    Raises:
        NotStarted: this host has no such address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((address, port))
            one.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise NotStarted(f"port {port} of {address}: {error.strerror}") from None
    return True


def _is_behind(proxy: Place, one: Place) -> bool:
    said, wanted = one.spec, proxy.spec
    is_one = (said.kind, said.service, said.release) == ("replica", wanted.service, wanted.release)
    return is_one and one.is_up and one.process.owner_id == proxy.process.owner_id
