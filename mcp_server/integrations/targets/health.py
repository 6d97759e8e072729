"""Whether a replica works: over HTTP, by a command of the operator's, or since its port takes connections."""

import asyncio
import contextlib
import os

from mcp_server.domain.deployments.configuration import Probe, Service
from mcp_server.domain.deployments.places import Place
from mcp_server.domain.deployments.programs import Program
from mcp_server.domain.deployments.targets import Facts, Prober
from mcp_server.integrations.kept import Command, run_once

CONNECT_SECONDS = 2.0
COMMAND_SECONDS_MAX = 30.0
LOOPBACK = "127.0.0.1"
_INHERITED = ("HOME", "LANG", "PATH", "TMPDIR")


class Health:
    """Asks replicas of a program how they are."""

    def __init__(self, program: Program, probe: Prober) -> None:
        self._program = program
        self._probe = probe

    def probe_of(self, service: Service) -> Probe | None:
        """The request that shows whether a service works; None where there is none."""
        path = self._program.health
        return service.health or (None if path is None else Probe(path=path))

    def is_said(self, service: Service) -> bool:
        """Whether anything says when a replica works."""
        return self.probe_of(service) is not None or bool(self._program.health_command)

    def says(self, service: Service) -> str:
        """How a service is asked, for people."""
        probe = self.probe_of(service)
        if probe is not None:
            return f"GET {probe.path} is {probe.status}"
        return "the operator's command" if self._program.health_command else "its port takes connections"

    async def of(self, place: Place, service: Service) -> Facts:
        """How a replica is: `ok`, and what it said."""
        probe = self.probe_of(service)
        if probe is not None:
            return await self._probe(url_of(place.spec.port), probe.model_copy(update={"attempts": 1}))
        if self._program.health_command:
            return await self._commanded(place)
        return await connected(LOOPBACK, place.spec.port or 0)

    async def now(self, place: Place, service: Service) -> str:
        """What a replica or a proxy says at once, in words."""
        if place.spec.kind == "proxy":
            return (await connected(reachable(self._program.listen), place.spec.port or 0))["said"]
        return (await self.of(place, service))["said"]

    async def _commanded(self, place: Place) -> Facts:
        spec, port = place.spec, place.spec.port or 0
        argv = self._program.checking().filled(spec.arguments, {**spec.known, "port": port})
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PORT": str(port)}
        try:
            ended = await run_once(Command(argv, self._program.launcher.cwd, env, "", COMMAND_SECONDS_MAX))
        except OSError as error:
            return {"ok": False, "said": f"{argv[0]}: {error.strerror}"}
        said = ended.error or f"exit code {ended.exit_code}"
        return {"ok": ended.exit_code == 0, "said": said}


async def connected(address: str, port: int) -> Facts:
    """Whether something takes connections there."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError) as error:
        return {"ok": False, "said": f"no connection ({type(error).__name__})"}
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()
    return {"ok": True, "said": "takes connections"}


def reachable(listen: str) -> str:
    """An address of this machine at which something that listens there is reached."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(listen, listen)  # noqa: S104 - what may be declared


def url_of(port: int | None, address: str = LOOPBACK) -> str:
    """Where something answers."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
