"""What the operator allows of deployments: which changes wait for whom, and which secrets may be named."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mcp_server.domain.approvals.rules import Form, Named, Rule, speakers_of
from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied

_OWN_VARIABLES = ("DATAMCP_*", "CLOUDFLARE_API_*")


@dataclass(frozen=True, slots=True)
class DeploymentPolicy:
    """What the operator allows.

    Attributes:
        rules: which changes wait for people; the first that names one counts.
        secrets: references, as patterns, that anybody may name who may deploy.
    """

    rules: tuple[Rule, ...] = ()
    secrets: tuple[str, ...] = ()

    def rule(self, call: Call, plan: Plan, deployment: Deployment | Subject) -> Rule | None:
        """The rule about a change."""
        names = Named((deployment.id, deployment.name, f"{deployment.name}/{deployment.environment}"))
        said = {"deployment_id": names, "plan_hash": plan.id, "action": plan.operation, "revision": plan.revision}
        said |= {"target": deployment.target, "environment": deployment.environment}
        form = Form("deployments_apply" if plan.operation == "apply" else "deployments_control", said)
        return next((rule for rule in self.rules if rule.names(form, speakers_of(call))), None)

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
