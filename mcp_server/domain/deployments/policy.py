"""What the operator allows of deployments: which changes wait for whom, and which secrets may be named."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mcp_server.domain.approvals.rules import Form, Named, Rule, Rules, question_for
from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.authority import Scope
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import PermissionDenied

_OWN_VARIABLES = ("DATAMCP_*", "CLOUDFLARE_API_*")
_TOOLS: Mapping[Operation, str] = {"apply": "deployments_apply"}
"""The tools by which operations come about, where that is not `deployments_control`."""

_ALSO: Mapping[Operation, str] = {"rollback": "deployments_apply"}
"""The tools by which the same could come about: applying an older revision does what going back to it does."""


@dataclass(frozen=True, slots=True)
class DeploymentPolicy:
    """What the operator allows.

    Attributes:
        rules: which changes wait for people.
        secrets: references, as patterns, that anybody may name who may deploy.
        own: references by which the operator gave secrets to programs; those are for these programs alone.
    """

    rules: tuple[Rule, ...] = ()
    secrets: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()

    def rule(self, call: Call, plan: Plan, deployment: Deployment | Subject) -> Rule | None:
        """What the rules about a change come to together: whom they ask, and the shortest time."""
        names = Named((deployment.id, deployment.name, f"{deployment.name}/{deployment.environment}"))
        said = {"deployment_id": names, "plan_hash": plan.id, "action": plan.operation, "revision": plan.revision}
        said |= {"target": deployment.target, "environment": deployment.environment}
        tool = _TOOLS.get(plan.operation, "deployments_control")
        forms = [Form(tool, said), Form(_ALSO.get(plan.operation, tool), said)]
        found = Rules(self.rules).naming(forms, call)
        if not found:
            return None
        people = question_for(found)
        return replace(
            found[0],
            approvers=tuple(people["approvers"]),
            quorum=people["quorum"],
            expires_in_seconds=min(rule.expires_in_seconds for rule in found),
        )

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
        is_own = reference in self.own or any(fnmatchcase(name, own) for own in _OWN_VARIABLES)
        return is_local and kind == "env" and not is_own


def require_documents(config: Config, scope: Scope) -> None:
    """Refuse what would reach documents for a caller whose key does not.

    Raises:
        PermissionDenied: it names a namespace outside of the key's prefix; or a folder, whose own configuration may.
    """
    if scope.namespace is None:
        return
    for service in config.services:
        if service.folder is not None:
            raise PermissionDenied(
                f"The service {service.name} comes from a folder, which may bind any namespace; this key reaches "
                f"{scope.namespace} alone.",
                next="Give its modules and bindings here, or use another key.",
            )
        bound = [binding.kv for binding in service.bindings.values() if binding.kv is not None]
        for name in [*bound, *([] if service.modules is None else [service.modules.partition("/")[0]])]:
            scope.require_namespace(name)
