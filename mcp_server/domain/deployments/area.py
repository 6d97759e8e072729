"""How deployments are wired into the house."""

from typing import Any, cast

from mcp_server.domain.deployments.chores import is_any_fallen, is_any_mirror
from mcp_server.domain.deployments.handlers import carry_out
from mcp_server.domain.deployments.mirrors import MIRROR_KIND, mirror
from mcp_server.domain.deployments.model import Deployment, Revision
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.reviving import REVIVE_KIND, revive
from mcp_server.domain.deployments.runs import Run
from mcp_server.domain.deployments.transactions import DEPLOYMENT_KIND, follow_approval, follow_end
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_ENDED
from mcp_server.kernel.area import Aggregate, Area, Chore, Completion, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling, whole
from mcp_server.kernel.times import iso

_SEEN = Permission.DEPLOYMENTS_READ
_ENDED = Telling.of("status error updated_at")
_PHASE = Telling.of("phases updated_at")
_OVER = Telling.of("status error ended_at updated_at")


def _phases(phases: Any) -> Any:
    """When each phase was, and since when it is tried, as times."""
    if not isinstance(phases, dict):
        return phases
    told = cast("dict[str, dict[str, Any]]", phases)
    return {name: one | {at: iso(one[at]) for at in ("at", "since") if at in one} for name, one in told.items()}


AREA = Area(
    name="deployments",
    toolset="deployments",
    tables=(
        Table("deployments"),
        Table("deployment_revisions"),
        Table("deployment_plans"),
        Table("deployment_runs"),
    ),
    aggregates=(
        Aggregate(
            "deployment",
            events={
                "defined": Telling.of(whole(Deployment)),
                "revised": Telling.of("updated_at", "revision tags"),
                "claimed": Telling.of("run_id updated_at"),
                "started": Telling.of("status updated_at"),
                "settled": Telling.of("status error updated_at", "live_revision previous_revision live drift"),
                "rolled_back": _ENDED,
                "failed": _ENDED,
                "unchanged": _ENDED,
                "drifted": Telling.of("drift updated_at"),
                "in_line": Telling.of("drift updated_at"),
            },
            seen_by=_SEEN,
            record=Deployment,
            table="deployments",
            row="deployment_by_id",
            json=frozenset(("tags", "live", "drift")),
            uris=lambda id_: {f"ops://deployments/{id_}"},
        ),
        Aggregate(
            "deployment_revision",
            events={"made": Telling.of(whole(Revision))},
            record=Revision,
            seen_by=_SEEN,
            table="deployment_revisions",
            row="deployment_revision_by_id",
            json=frozenset(("config",)),
            uris=lambda id_: {f"ops://deployments/{id_.partition('@')[0]}"},
        ),
        Aggregate(
            "deployment_plan",
            events={"made": Telling.of(whole(Plan))},
            record=Plan,
            seen_by=_SEEN,
            table="deployment_plans",
            row="deployment_plan_by_id",
            json=frozenset(("observed", "steps", "warnings")),
        ),
        Aggregate(
            "deployment_run",
            events={
                "decided": Telling.of(whole(Run)),
                "approved": Telling.of("status updated_at"),
                "phase_begun": _PHASE,
                "phase_done": _PHASE,
                "phase_failed": Telling.of("phases updated_at", "failure"),
                "taken_up": Telling.of("task_id updated_at"),
                "succeeded": _OVER,
                "rolled_back": _OVER,
                "failed": _OVER,
                "stale": _OVER,
                "cancelled": _OVER,
            },
            seen_by=_SEEN,
            record=Run,
            table="deployment_runs",
            row="deployment_run_by_id",
            json=frozenset(("phases",)),
            told={"phases": _phases},
        ),
    ),
    hears=(TASK_ENDED.heard_by(follow_end), TASK_APPROVED.heard_by(follow_approval)),
    kinds=(
        SystemKind(DEPLOYMENT_KIND, carry_out, at_once=4, seconds_max=7200),
        SystemKind(REVIVE_KIND, revive, at_once=1, seconds_max=300),
        SystemKind(MIRROR_KIND, mirror, at_once=1, seconds_max=3600),
    ),
    chores=(
        Chore("Bring mirrors of state up to date", MIRROR_KIND, times=15, wanted=is_any_mirror),
        Chore("Start again what has ended by itself", REVIVE_KIND, times=15, wanted=is_any_fallen),
    ),
    completions={"deployment_id": Completion("complete_deployment_ids", _SEEN)},
)
