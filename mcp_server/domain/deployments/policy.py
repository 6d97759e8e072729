"""What the operator allows of deployments: which changes wait for whom, and which secrets may be named."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.spec import Operation
from mcp_server.kernel.errors import PermissionDenied

_OWN_VARIABLES = ("DATAMCP_*", "CLOUDFLARE_API_*")


@dataclass(frozen=True, slots=True)
class ApproveRule:
    """Which changes wait for whose approval; patterns as file names have them."""

    tool: str = "deployments_*"
    target: str = "*"
    environment: str = "*"
    approvers: tuple[str, ...] = ()
    quorum: Literal["any", "all"] | int = "any"
    expires_in_seconds: float = 86_400.0

    def names(self, operation: Operation, target: str, environment: str) -> bool:
        """Whether it is about this change."""
        tool = "deployments_apply" if operation == "apply" else "deployments_control"
        said = ((tool, self.tool), (target, self.target), (environment, self.environment))
        return all(fnmatchcase(value, pattern) for value, pattern in said)


@dataclass(frozen=True, slots=True)
class DeploymentPolicy:
    """What the operator allows.

    Attributes:
        rules: which changes wait for people; the first that names one counts.
        secrets: references, as patterns, that anybody may name who may deploy.
    """

    rules: tuple[ApproveRule, ...] = ()
    secrets: tuple[str, ...] = ()

    def rule(self, operation: Operation, target: str, environment: str) -> ApproveRule | None:
        """The rule about a change."""
        return next((rule for rule in self.rules if rule.names(operation, target, environment)), None)

    def require_secrets(self, config: Config, *, is_local: bool) -> None:
        """Refuse references that whoever defines this must not have read: a deployment could tell what they hold.

        Raises:
            PermissionDenied: naming them.
        """
        refused = [text for text in config.secrets.values() if not self._may(text, is_local=is_local)]
        if refused:
            raise PermissionDenied(
                f"The operator lets no deployment read {', '.join(refused)}.",
                next=f"Allowed: {', '.join(self.secrets) or 'nothing'} (DATAMCP_DEPLOYMENT_SECRETS).",
                details={"refused": refused, "allowed": list(self.secrets)},
            )

    def _may(self, reference: str, *, is_local: bool) -> bool:
        if any(fnmatchcase(reference, pattern) for pattern in self.secrets):
            return True
        kind, _, name = reference.partition(":")
        return is_local and kind == "env" and not any(fnmatchcase(name, own) for own in _OWN_VARIABLES)
