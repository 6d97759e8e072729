"""What people are asked about a plan: all of it, bound to its hash."""

import json
from typing import Any

from mcp_server.domain.approvals.commands import ApprovalSpec
from mcp_server.domain.approvals.rules import Rule
from mcp_server.domain.deployments.plans import Plan
from mcp_server.domain.deployments.targets import Subject
from mcp_server.kernel.errors import LimitExceeded
from mcp_server.kernel.json_text import INPUT_BYTES_MAX, dump_json

_ACTION_CHARACTERS_MAX = 20_000


def question(rule: Rule | None, plan: Plan, subject: Subject) -> ApprovalSpec | None:
    """The question to people, where a rule of the operator wants one.

    Raises:
        LimitExceeded: the plan is too long to be shown whole.
    """
    if rule is None:
        return None
    action = "\n".join(f"{number}. {step.action} {step.what}" for number, step in enumerate(plan.listed(), 1))
    details = _details(plan, subject)
    if len(action) > _ACTION_CHARACTERS_MAX or len(dump_json(details).encode()) > INPUT_BYTES_MAX:
        raise LimitExceeded(
            "People are asked about this plan and see all of it, and it is too long to be shown.",
            next="Split the deployment.",
        )
    return ApprovalSpec(
        title=f"{plan.operation.capitalize()} {subject.name} in {subject.environment}",
        action=action or "Nothing would change.",
        details=details,
        approvers=rule.approvers,
        quorum=rule.quorum,
        expires_in_seconds=rule.expires_in_seconds,
    )


def _details(plan: Plan, subject: Subject) -> dict[str, Any]:
    steps = [{name: value for name, value in step._asdict().items() if value is not None} for step in plan.listed()]
    told = {
        "plan_hash": plan.id,
        "target": subject.target,
        "environment": subject.environment,
        "revision": plan.revision,
        "live_revision": plan.live_revision,
        "steps": steps,
        "warnings": json.loads(plan.warnings),
        "configuration": json.loads(subject.config.text()),
    }
    return {name: value for name, value in told.items() if value}
