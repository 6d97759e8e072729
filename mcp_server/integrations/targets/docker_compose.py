"""The program `docker compose`, where there is one: it is asked before it is relied on."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mcp_server.integrations.kept import Command, Ended, run_once
from mcp_server.integrations.targets.containers import Containers
from mcp_server.kernel.environment import passed_on

SECONDS_MAX = 900.0
PROBE_SECONDS_MAX = 10.0
_WHERE = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR")


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
        return Containers.told(ended.stdout).running() if ended.exit_code == 0 else None

    async def run(self, project: str, file: Path, environment: Mapping[str, str], *words: str) -> Ended:
        """One command about a project; `environment` is what its secrets refer to, and is hidden in what it says."""
        argv = (self._docker, "compose", "-p", project, "-f", str(file), *words)
        env = _inherited() | dict(environment)
        return await run_once(Command(argv, str(file.parent), env, "", SECONDS_MAX, environment))

    async def _look(self, *words: str) -> Ended:
        return await run_once(Command((self._docker, "compose", *words), None, _inherited(), "", PROBE_SECONDS_MAX))


def _inherited() -> dict[str, str]:
    """What is usual, and what of the server's environment says where Docker is."""
    return passed_on(named=_WHERE)
