"""Plans: what would happen, bound by a hash to what was found when that was asked."""

import json
from typing import Any

from mcp_server.domain.deployments.model import Deployment
from mcp_server.domain.deployments.spec import Operation
from mcp_server.domain.deployments.targets import Facts, Outlook, Step, Subject
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, canonical_hash, dump_json, json_list
from mcp_server.kernel.json_tools import differences
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros


class Plan(Record):
    """What would happen, and what was found when that was asked. Its id is a hash over all of it."""

    id: str
    deployment_id: str
    operation: Operation
    revision: int
    newest: int
    live_revision: int | None
    observed: str
    steps: str
    warnings: str
    created_by: str
    created_at: Micros
    version: int

    @staticmethod
    def made(
        subject: Subject, newest: int, operation: Operation, observed: Facts, outlook: Outlook, by: str, now: Micros
    ) -> tuple["Plan", Event]:
        """What an operation would do, bound to what it would be done to."""
        told: dict[str, Any] = {
            "deployment_id": subject.id,
            "operation": operation,
            "revision": subject.revision,
            "newest": newest,
            "live_revision": subject.live_revision,
            "observed": RawJson(dump_json(observed)),
            "steps": RawJson(dump_json([step._asdict() for step in outlook.steps])),
            "warnings": json_list(outlook.warnings),
        }
        plan_id = canonical_hash(told | {"config": subject.config.text()})[:40]
        data = told | {"created_by": by, "created_at": now}
        plan = Plan.adopt({"id": plan_id, "version": 1} | data)
        return plan, Event("deployment_plan.made", "deployment_plan", plan_id, 1, data, creates=True)

    def listed(self) -> list[Step]:
        """The steps."""
        return [Step(**step) for step in json.loads(self.steps)]

    def require_fresh(self, deployment: Deployment) -> None:
        """Refuse what rests on what is no longer so.

        Raises:
            Conflict: saying what has moved.
        """
        moved: list[str] = []
        if self.newest != deployment.revision:
            moved.append(f"revision {deployment.revision} is the newest, and when it was planned, {self.newest} was")
        if self.live_revision != deployment.live_revision:
            live, then = (
                f"revision {one}" if one else "nothing" for one in (deployment.live_revision, self.live_revision)
            )
            moved.append(f"{live} is live, and when it was planned, {then} was")
        if moved:
            raise stale(self, moved)

    def require_same(self, observed: Facts) -> None:
        """Refuse where what is there has moved since.

        Raises:
            Conflict: saying what has moved.
        """
        moved = moved_facts(json.loads(self.observed), observed)
        if moved:
            raise stale(self, moved)


def moved_facts(before: Facts, now: Facts) -> list[str]:
    """In words, in what two observations differ."""
    told = differences(before, now, 20)
    return [f"{change.path}: {_short(change.old)} is {_short(change.new)} now" for change in told]


def _short(value: Any) -> str:
    text = "nothing" if value is None else dump_json(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def stale(plan: Plan, moved: list[str]) -> Conflict:
    """The refusal of a plan that is no longer true."""
    return Conflict(
        f"This plan is stale, and nothing was done. What moved: {'; '.join(moved)}.",
        next=f"Plan anew: deployments_plan(deployment_id='{plan.deployment_id}').",
        details={"plan_hash": plan.id, "moved": moved},
    )
