"""From a launcher to the command of one instance: what is left open is filled in, references are looked up."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp_server.domain.agents.commands import LauncherUse
from mcp_server.domain.agents.launchers import Launcher, Launchers
from mcp_server.domain.processes.model import Process
from mcp_server.domain.processes.running import Command, NotStarted
from mcp_server.kernel.environment import passed_on
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.views import json_or_none

SECRET_BYTES_MAX = 64 * 1024


class Launching:
    """Resolves the instances of agents."""

    def __init__(self, launchers: Launchers, database_url: str, environment: Mapping[str, str] = os.environ) -> None:
        self._launchers = launchers
        self._database_url = database_url
        self._environment = environment

    async def __call__(self, process: Process) -> Command:
        """What runs as an instance.

        Raises:
            NotStarted: its launcher is another by now, or a reference leads nowhere.
        """
        spec: dict[str, Any] = json_or_none(process.spec)
        use = LauncherUse(name=spec["launcher"], arguments=spec["arguments"])
        try:
            self._launchers.check(use)
            self._launchers.require_number(use.name, spec["known"]["slot"] + 1)
        except OpsError as error:
            raise NotStarted(error.message) from None
        launcher = self._launchers.known[use.name]
        return Command(
            argv=launcher.filled(use.arguments, spec["known"]),
            env=self._env(launcher, spec["known"]),
            cwd=launcher.cwd,
            limits=launcher.limits,
            stop=launcher.stop,
        )

    def _env(self, launcher: Launcher, known: Mapping[str, Any]) -> dict[str, str]:
        env = passed_on(self._environment)
        if launcher.share_database:
            env["DATAMCP_DATABASE"] = self._database_url
        env |= {"DATAMCP_AGENT": known["agent_id"], "DATAMCP_INSTANCE": known["instance"]}
        return env | {name: looked_up(name, value, self._environment) for name, value in launcher.env.items()}


def looked_up(name: str, value: str, environment: Mapping[str, str]) -> str:
    """The value of a variable: text as it is, or what a reference leads to.

    Raises:
        NotStarted: naming the reference, and nothing of what it leads to.
    """
    kind, _, where = value.partition(":")
    if kind == "env":
        if where not in environment:
            raise NotStarted(f"{name} is to come from the variable {where}, which the server does not have")
        return environment[where]
    if kind == "file":
        return _read(name, Path(where).expanduser())
    return value


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        text = content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError):
        raise NotStarted(f"{name} is to come from the file {path}, which cannot be read as text") from None
    if len(content) > SECRET_BYTES_MAX or "\x00" in text:
        raise NotStarted(f"{name} is to come from the file {path}, which is no line of text")
    return text
