"""How deployments are wired into the house."""

from mcp_server.domain.deployments.handlers import carry_out
from mcp_server.domain.deployments.mirrors import MIRROR_KIND, is_any_mirror, mirror
from mcp_server.domain.deployments.transactions import DEPLOYMENT_KIND, follow_approval, follow_end
from mcp_server.domain.tasks.hooks import TASK_APPROVED, TASK_ENDED
from mcp_server.kernel.area import Aggregate, Area, Chore, Completion, SystemKind, Table
from mcp_server.kernel.authority import Permission

_SEEN = Permission.DEPLOYMENTS_READ

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
            events=(
                *("defined", "revised", "claimed", "started", "settled", "rolled_back", "failed", "unchanged"),
                *("drifted", "in_line"),
            ),
            seen_by=_SEEN,
            table="deployments",
            row="deployment_by_id",
            json=frozenset(("tags", "live", "drift")),
            uris=lambda id_: {f"ops://deployments/{id_}"},
        ),
        Aggregate(
            "deployment_revision",
            events=("made",),
            seen_by=_SEEN,
            table="deployment_revisions",
            row="deployment_revision_by_id",
            json=frozenset(("config",)),
            uris=lambda id_: {f"ops://deployments/{id_.partition('@')[0]}"},
        ),
        Aggregate(
            "deployment_plan",
            events=("made",),
            seen_by=_SEEN,
            table="deployment_plans",
            row="deployment_plan_by_id",
            json=frozenset(("observed", "steps", "warnings")),
        ),
        Aggregate(
            "deployment_run",
            events=(
                *("decided", "approved", "phase_begun", "phase_done", "phase_failed", "taken_up"),
                *("succeeded", "rolled_back", "failed", "stale", "cancelled"),
            ),
            seen_by=_SEEN,
            table="deployment_runs",
            row="deployment_run_by_id",
            json=frozenset(("phases",)),
        ),
    ),
    hears=(TASK_ENDED.heard_by(follow_end), TASK_APPROVED.heard_by(follow_approval)),
    kinds=(
        SystemKind(DEPLOYMENT_KIND, carry_out, at_once=4, seconds_max=7200),
        SystemKind(MIRROR_KIND, mirror, at_once=1, seconds_max=3600),
    ),
    chores=(Chore("Bring mirrors of state up to date", MIRROR_KIND, times=15, wanted=is_any_mirror),),
    completions={"deployment_id": Completion("complete_deployment_ids", _SEEN)},
)
