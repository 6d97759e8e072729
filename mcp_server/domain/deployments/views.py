"""What callers see of deployments."""

import json
from collections.abc import Sequence
from typing import Any

from mcp_server.domain.deployments.configuration import Probe
from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.runs import Run
from mcp_server.domain.tasks.standing import TaskState
from mcp_server.kernel.json_tools import Change
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none, list_or_none


class PhaseView(View):
    """One phase of a run, and what came of it."""

    phase: str
    status: str
    tries: int
    at: str
    facts: dict[str, Any] | None = None


class RunView(View):
    """What is being done to a deployment, or was last."""

    id: str
    operation: str
    revision: int
    status: str
    plan_hash: str
    task_id: str
    approval_id: str | None = None
    phases: list[PhaseView] | None = None
    error: str | None = None
    created_by: str
    created_at: str
    ended_at: str | None = None


class RevisionView(View):
    """One configuration that a deployment has had."""

    revision: int
    created_by: str
    created_at: str


class DeploymentView(View):
    """One deployment. Lists leave out its configuration, its evidence and its runs."""

    id: str
    name: str
    environment: str
    target: str
    status: str
    revision: int
    live_revision: int | None = None
    url: str | None = None
    drift: list[str] | None = None
    warnings: list[str] | None = None
    error: str | None = None
    tags: list[str] | None = None
    config: dict[str, Any] | None = None
    live: dict[str, Any] | None = None
    replicas: list[dict[str, Any]] | None = None
    run: RunView | None = None
    revisions: list[RevisionView] | None = None
    logs: str | None = None
    created_by: str | None = None
    updated_at: str


class StepView(View):
    """One thing that would happen. What a target shows of it as JSON is data here: nobody reads it escaped."""

    action: str
    what: str
    detail: Any = None


class PlanView(View):
    """What would happen."""

    hash: str
    deployment_id: str
    operation: str
    revision: int
    live_revision: int | None = None
    steps: list[StepView]
    warnings: list[str] | None = None
    needs_approval_of: list[str] | None = None


class DefinedDeployment(View):
    """A deployment, its newest revision, what that changed, and what is not here to carry it out."""

    deployment: DeploymentView
    revision: int
    changes: list[Change]
    warnings: list[str] | None = None


class PlannedDeployment(View):
    """What would happen."""

    plan: PlanView


class AppliedDeployment(View):
    """The task that carries out what was planned."""

    task: TaskState
    deployment: DeploymentView


class ControlledDeployment(View):
    """What was done, or what would be."""

    deployment: DeploymentView
    task: TaskState | None = None
    plan: PlanView | None = None


def deployment_view(row: Row | Deployment, **more: Any) -> DeploymentView:
    """A deployment as lists and writes show it."""
    fields = row.fields() if isinstance(row, Deployment) else row
    live = json_or_none(fields["live"])
    told: dict[str, Any] = {"drift": json_or_none(fields["drift"])} | more
    return DeploymentView(
        id=fields["id"],
        name=fields["name"],
        environment=fields["environment"],
        target=fields["target"],
        status=fields["status"],
        revision=fields["revision"],
        live_revision=fields["live_revision"],
        url=None if live is None else live.get("url"),
        error=fields["error"],
        tags=list_or_none(fields["tags"]),
        updated_at=iso(fields["updated_at"]),
        **told,
    )


def shown_config(text: str) -> dict[str, Any]:
    """A configuration as it was said; of what is asked whether it works, also where, since all else may be unsaid."""
    config: dict[str, Any] = json.loads(text)
    services = [
        one
        | {name: _asked(one[name]) for name in ("health",) if name in one}
        | {name: list(map(_asked, one[name])) for name in ("checks",) if name in one}
        for one in config["services"]
    ]
    return config | {"services": services}


def _asked(probe: dict[str, Any]) -> dict[str, Any]:
    return {"path": Probe().path} | probe


def run_view(run: Run) -> RunView:
    """A run as callers see it."""
    return RunView(
        id=run.id,
        operation=run.operation,
        revision=run.revision,
        status=run.status,
        plan_hash=run.plan_hash,
        task_id=run.task_id,
        approval_id=run.approval_id,
        phases=[_phase(name, told) for name, told in run.told().items()] or None,
        error=run.error or run.failure,
        created_by=run.created_by,
        created_at=iso(run.created_at),
        ended_at=iso_or_none(run.ended_at),
    )


def _phase(name: str, told: dict[str, Any]) -> PhaseView:
    return PhaseView(
        phase=name, status=told["status"], tries=told["tries"], at=iso(told["at"]), facts=told.get("facts") or None
    )


def _as_data(detail: str | None) -> Any:
    # What a target says in words stays the text that it is, whatever it begins with.
    if detail is None or detail[:1] not in ("{", "[", '"'):
        return detail
    try:
        return json.loads(detail)
    except ValueError:
        return detail


def plan_view(plan: Plan, approvers: Sequence[str] | None = None) -> PlanView:
    """A plan as callers see it; `approvers` are whom it waits for, empty for anyone who may decide."""
    return PlanView(
        hash=plan.id,
        deployment_id=plan.deployment_id,
        operation=plan.operation,
        revision=plan.revision,
        live_revision=plan.live_revision,
        steps=[StepView(action=step.action, what=step.what, detail=_as_data(step.detail)) for step in plan.listed()],
        warnings=json.loads(plan.warnings) or None,
        needs_approval_of=None if approvers is None else list(approvers) or ["anyone who may decide"],
    )
