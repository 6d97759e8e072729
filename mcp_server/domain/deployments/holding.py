"""What deployments take of what there is once: names in the world outside, and room on this machine."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.spec import DefineDeployment, Operation
from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.authority import principal_of
from mcp_server.kernel.errors import Conflict, InvalidTransition, LimitExceeded
from mcp_server.kernel.store import Transaction

Names = Callable[[Subject], frozenset[str]]
"""What a target calls the parts of a deployment where they run."""

REPLICAS_MAX = 64
"""How many replicas those of one principal may have together where the operator does not say."""

_STARTING: tuple[Operation, ...] = ("apply", "rollback", "start")


class Room(NamedTuple):
    """What may run on this machine.

    Attributes:
        targets: by which names of targets something runs here.
        replicas_max: how many replicas the deployments that one principal defined may have together.
    """

    targets: frozenset[str] = frozenset()
    replicas_max: int = REPLICAS_MAX


def require_label(tx: Transaction, command: DefineDeployment) -> None:
    """Refuse a second deployment that would have the same name in the world outside: a-b in c, and a in b-c.

    Raises:
        Conflict: naming the other.
    """
    label = f"{command.name}-{command.environment}"
    other = tx.one("deployment_by_label", label=label)
    if other is not None:
        raise Conflict(
            f"{other['name']} in {other['environment']} is called {label} where it runs, as this would be.",
            next="Choose another name or environment.",
            details={"deployment_id": other["id"], "label": label},
        )


def require_names(tx: Transaction, subject: Subject, names: Names | None) -> None:
    """Refuse what something of another deployment is called already: b-c of a in x, and c of a-x in b.

    Raises:
        Conflict: naming the other.
    """
    if names is None:
        return
    mine = names(subject)
    for row in tx.all("deployments_alike", label=subject.label, target=subject.target):
        other = Deployment.adopt({name: value for name, value in row.items() if name != "config"})
        taken = sorted(mine & names(other.subject(other.revision, row["config"], None)))
        if taken:
            raise Conflict(
                f"{other.name} in {other.environment} has {', '.join(taken)} where it runs, as this would have.",
                next="Choose another name for the deployment, its environment or its service.",
                details={"deployment_id": other.id, "taken": taken},
            )


def require_was_live(tx: Transaction, deployment: Deployment, plan: Plan) -> None:
    """Refuse to go back to what was never live: its plan was shown to nobody.

    Raises:
        InvalidTransition: saying how it is brought live.
    """
    if plan.operation != "rollback" or plan.revision == deployment.live_revision:
        return
    if tx.one("deployment_run_to", deployment_id=deployment.id, revision=plan.revision) is None:
        raise InvalidTransition(
            f"Revision {plan.revision} of {deployment.name} in {deployment.environment} was never live: nothing can go "
            "back to it.",
            next=f"See what it would do: deployments_plan(deployment_id='{deployment.id}', revision={plan.revision}), "
            "then deployments_apply.",
            details={"deployment_id": deployment.id, "revision": plan.revision},
        )


def require_room(tx: Transaction, deployment: Deployment, plan: Plan, room: Room) -> None:
    """Refuse more replicas on this machine than all that one principal deploys may have.

    Raises:
        LimitExceeded: saying what takes the room.
    """
    if deployment.target not in room.targets or plan.operation not in _STARTING:
        return
    owner = principal_of(deployment.created_by)
    meant = tx.one("deployment_revision_by_id", id=f"{deployment.id}@{plan.revision}") or {}
    wanted, taken = _replicas(meant.get("config")), dict(_taken(tx, deployment, owner, room))
    if wanted + sum(taken.values()) > room.replicas_max:
        raise LimitExceeded(
            f"What {owner} deploys may have {room.replicas_max} replicas on this machine together; "
            f"{sum(taken.values())} are taken, and this asks for {wanted}.",
            next="Stop or destroy one of details.taken, ask for fewer, or have the operator set "
            "deployments_max_replicas.",
            details={"max_replicas": room.replicas_max, "wanted": wanted, "taken": taken},
        )


def _taken(tx: Transaction, deployment: Deployment, owner: str, room: Room) -> Iterable[tuple[str, int]]:
    """How many replicas each other deployment of a principal has here, or is about to have."""
    for row in tx.all("deployments_running", id=deployment.id):
        if row["target"] in room.targets and principal_of(row["created_by"]) == owner:
            yield f"{row['name']}/{row['environment']}", max(_replicas(row[of]) for of in ("live_config", "meant"))


def _replicas(config: Any) -> int:
    return 0 if config is None else sum(service.replicas for service in Config.read(config).services)
