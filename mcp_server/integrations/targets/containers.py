"""What `docker compose ps` tells of a project's containers."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from mcp_server.domain.deployments.configuration import Config
from mcp_server.kernel.json_text import others_json

HERE = "127.0.0.1"
"""Where ports are published."""


class Published(NamedTuple):
    """A port of a service, and the one of this machine that leads to it; 0 where none does."""

    service: str
    port: int
    here: int


class Containers(NamedTuple):
    """The containers that were listed."""

    all: list[dict[str, Any]]

    @staticmethod
    def told(text: str) -> "Containers":
        """From the program's JSON: an object a line, or a list of them as it was before Compose 2.21."""
        lines = f"[{','.join(text.splitlines())}]"
        try:
            told: Any = others_json(text if text.startswith("[") else lines)
        except ValueError:
            return Containers([])
        return Containers([cast("dict[str, Any]", one) for one in told if isinstance(one, dict)])

    def running(self) -> dict[str, int]:
        """How many run of each service."""
        return dict(Counter(str(one.get("Service")) for one in self.all if one.get("State") == "running"))

    def urls(self, config: Config) -> dict[str, str]:
        """Where the first port of each service is published."""
        first = {(one.name, one.ports[0]) for one in config.services if one.ports}
        # Of several replicas the one that is listed first is asked.
        ways = reversed([one for one in self._published() if one.here and (one.service, one.port) in first])
        return {one.service: f"http://{HERE}:{one.here}" for one in ways}

    def _published(self) -> Iterator[Published]:
        """Each port of each container."""
        for one in self.all:
            for way in one.get("Publishers") or ():
                yield Published(str(one.get("Service")), way.get("TargetPort", 0), way.get("PublishedPort", 0))


def missing(running: dict[str, int], wanted: dict[str, int]) -> list[str]:
    """Of which services fewer run than are wanted, in words."""
    counted = ((name, running.get(name, 0), number) for name, number in wanted.items())
    return [f"{name}: {now} of {number} containers run" for name, now, number in counted if now < number]
