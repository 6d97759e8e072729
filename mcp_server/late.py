"""What services ask of the operator's settings, made when one first asks: a server loads nothing for deploying, asking
people and sending mail until it does that."""

import socket
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mcp_server.config import Settings
from mcp_server.domain.areas import NAMES, load_whole
from mcp_server.domain.desk import Desk
from mcp_server.kernel.services import Later, Services
from tools import KNOWN

if TYPE_CHECKING:
    from mcp_server.deploying import Workers
    from mcp_server.domain.deployments.targets import Targets
    from mcp_server.domain.email.transport import Mailer, MailProvider
    from mcp_server.domain.processes.running import Logs, Tail

WORKERS = "mcp_server.deploying:Workers"
TARGETS = "mcp_server.domain.deployments.targets:Targets"
RULES = "mcp_server.domain.approvals.rules:Rules"
_MIRRORS = "mcp_server.domain.deployments.chores:Mirrors"
_OF_SETTINGS = {
    "mcp_server.domain.agents.launchers:Launchers": "mcp_server.deploying:launchers",
    "mcp_server.domain.approvals.model:ApprovalPolicy": "mcp_server.wiring:approval_policy",
    "mcp_server.domain.deployments.holding:Room": "mcp_server.deploying:room",
    "mcp_server.domain.deployments.policy:DeploymentPolicy": "mcp_server.deploying:deployment_policy",
    "mcp_server.domain.deployments.programs:Programs": "mcp_server.deploying:programs",
}
"""Classes, and what makes one of the settings."""


def late_options(settings: Settings, mailer: "Callable[[], Mailer]") -> list[Later]:
    """What is made when it is first asked for."""
    return [
        *(Later(kind, partial(_made, make, settings)) for kind, make in _OF_SETTINGS.items()),
        *([Later(_MIRRORS, partial(_made, "mcp_server.deploying:mirrors", settings))] if settings.mirrors else []),
        Later(WORKERS, partial(_workers, settings)),
        Later(TARGETS, partial(_targets, settings)),
        Later("mcp_server.domain.email.transport:MailProvider", partial(_mail_provider, mailer)),
        Later("mcp_server.domain.processes.running:Logs", _logs),
    ]


def load_all() -> None:
    """Load every area and its tools: a server of many uses most of them, and is to let nobody wait for one."""
    for name in NAMES:
        load_whole(name)
    for tool in KNOWN.values():
        tool.whole()


def _made(make: str, settings: Settings, services: Services) -> object:
    del services
    module, _, function = make.partition(":")
    return getattr(import_module(module), function)(settings)


def _workers(settings: Settings, services: Services) -> "Workers":
    from mcp_server.deploying import Workers

    made = Workers(settings)
    made.desk = cast("Desk", services)
    return made


def _targets(settings: Settings, services: Services) -> "Targets":
    from mcp_server.deploying import Workers, targets

    return targets(settings, services.option(Workers))


def _mail_provider(mailer: "Callable[[], Mailer]", services: Services) -> "MailProvider":
    from mcp_server.domain.email.transport import MailProvider

    del services
    return MailProvider(mailer)


def _logs(services: Services) -> "Logs":
    from mcp_server.domain.processes.running import Logs

    del services
    return Logs(socket.gethostname, _read_log)


def _read_log(log: Path) -> "Tail | None":
    from mcp_server.integrations.processes.logs import read_tail

    return read_tail(log)
