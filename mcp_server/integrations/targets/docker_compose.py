"""The program `docker compose`, where there is one: it is asked before it is relied on."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from mcp_server.domain.deployments.configuration import Config
from mcp_server.integrations.kept import Command, Ended, run_once

SECONDS_MAX = 900.0
PROBE_SECONDS_MAX = 10.0
HERE = "127.0.0.1"
"""Where ports are published."""

_INHERITED = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR")


class DockerCompose:
    """Runs `docker compose`. `is_there` says only that there is a `docker`."""

    def __init__(self, docker: str | None = None) -> None:
        self._docker = docker or shutil.which("docker") or ""
        self.is_there = bool(self._docker)

    async def answers(self) -> bool:
        """Whether there is a `docker` that knows `compose`."""
        if not self.is_there:
            return False
        try:
            return (await self._look("version")).exit_code == 0
        except OSError:
            return False

    async def running(self, project: str) -> dict[str, int] | None:
        """How many containers of each service run; None where Docker does not say."""
        if not await self.answers():
            return None
        ended = await self._look("-p", project, "ps", "--format", "json")
        told = Containers.told(ended.stdout)
        return told.running() if ended.exit_code == 0 else None

    async def run(self, project: str, file: Path, environment: Mapping[str, str], *words: str) -> Ended:
        """One command about a project; `environment` is what its secrets refer to, and is hidden in what it says."""
        argv = (self._docker, "compose", "-p", project, "-f", str(file), *words)
        env = _inherited() | dict(environment)
        return await run_once(Command(argv, str(file.parent), env, "", SECONDS_MAX, environment))

    async def _look(self, *words: str) -> Ended:
        return await run_once(Command((self._docker, "compose", *words), None, _inherited(), "", PROBE_SECONDS_MAX))


class Containers(NamedTuple):
    """What `docker compose ps --format json` tells of containers."""

    all: list[dict[str, Any]]

    @staticmethod
    def told(text: str) -> "Containers":
        """From its words: an object a line, or a list of them as it was before Compose 2.21."""
        try:
            told: Any = json.loads(text if text.startswith("[") else f"[{','.join(text.split(chr(10))).strip(',')}]")
        except (ValueError, RecursionError):
            return Containers([])
        return Containers([cast("dict[str, Any]", one) for one in cast("list[Any]", told) if isinstance(one, dict)])

    def running(self) -> dict[str, int]:
        """How many run of each service."""
        return dict(Counter(str(one.get("Service")) for one in self.all if one.get("State") == "running"))

    def urls(self, config: Config) -> dict[str, str]:
        """Where the first port of each service is published."""
        ports = {one.name: one.ports[0] for one in config.services if one.ports}
        found = dict[str, str]()
        for service, port, published in self._published():
            if ports.get(service) == port and published:
                found.setdefault(service, f"http://{HERE}:{published}")
        return found

    def _published(self) -> Iterator[tuple[str, int | None, int | None]]:
        for one in self.all:
            for way in one.get("Publishers") or ():
                yield str(one.get("Service")), way.get("TargetPort"), way.get("PublishedPort")


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
