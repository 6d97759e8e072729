"""Runs: one operation on a deployment, from the decision to its end, phase by phase."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from mcp_server.domain.deployments.spec import DeploymentStatus, Operation
from mcp_server.domain.deployments.targets import PHASES, Facts, Phase
from mcp_server.kernel.errors import InvalidTransition
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros, duration

RunStatus = Literal["waiting", "running", "succeeded", "rolled_back", "failed", "stale", "cancelled"]
OPEN: tuple[RunStatus, ...] = ("waiting", "running")
TRIES_MAX = 8
"""How often one phase is tried before the run is given up."""

TRYING = duration(600.0)
"""How long a phase may break off again and again: servers that are started anew for each call end in its midst, too."""

_TOUCHING: tuple[Phase, ...] = ("deploy", "check", "promote")


class Run(Record):
    """One operation on a deployment, from the decision to its end. `phases` holds what was intended and what came of
    it; both are written before anything else happens."""

    id: str
    deployment_id: str
    operation: Operation
    revision: int
    plan_hash: str
    status: RunStatus
    status_before: DeploymentStatus
    phases: str
    failure: str | None
    task_id: str
    approval_id: str | None
    error: str | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    ended_at: Micros | None
    version: int

    @staticmethod
    def decided(
        run_id: str,
        operation: Operation,
        revision: int,
        plan_hash: str,
        *,
        deployment_id: str,
        status_before: DeploymentStatus,
        task_id: str,
        approval_id: str | None,
        by: str,
        now: Micros,
    ) -> tuple["Run", Event]:
        """What was planned is to happen."""
        data: dict[str, Any] = {
            "deployment_id": deployment_id,
            "operation": operation,
            "revision": revision,
            "plan_hash": plan_hash,
            "status": "running" if approval_id is None else "waiting",
            "status_before": status_before,
            "phases": RawJson("{}"),
            "failure": None,
            "task_id": task_id,
            "approval_id": approval_id,
            "error": None,
            "created_by": by,
            "created_at": now,
            "updated_at": now,
            "ended_at": None,
        }
        run = Run.adopt({"id": run_id, "version": 1} | data)
        return run, Event("deployment_run.decided", "deployment_run", run_id, 1, data, creates=True)

    def told(self) -> dict[Phase, Facts]:
        """Each phase with what is known of it."""
        return json.loads(self.phases)

    def done(self) -> dict[str, Facts]:
        """What the phases told that are done."""
        return {phase: facts["facts"] for phase, facts in self.told().items() if facts["status"] == "done"}

    def evidence(self) -> Facts:
        """What the phases told, together: what was fetched, never what was hoped."""
        evidence: Facts = {}
        for facts in self.done().values():
            evidence |= facts
        return evidence

    def next_phase(self) -> Phase | None:
        """What is to be done now; None where all is done. One that has failed is undone."""
        done = self.done()
        if self.failure is not None:
            return "revert" if self.must_revert() and "revert" not in done else None
        return next((phase for phase in PHASES[self.operation] if phase not in done), None)

    def must_revert(self) -> bool:
        """Whether something was begun that has to be undone should it fail."""
        return self.operation in ("apply", "rollback") and any(phase in self.told() for phase in _TOUCHING)

    def has_begun(self) -> bool:
        """Whether anything was tried."""
        return self.phases != "{}"

    def begun(self, phase: Phase, now: Micros) -> tuple[Self, Event]:
        """A phase is about to be tried.

        Raises:
            InvalidTransition: the run is over.
        """
        self._require_open()
        told = self.told()
        before = told.get(phase, {})
        told[phase] = {"status": "begun", "tries": before.get("tries", 0) + 1, "at": now}
        if before:
            told[phase]["since"] = before.get("since", before["at"])
        return self._moved("deployment_run.phase_begun", now, phases=_phases(told))

    def is_hopeless(self, phase: Phase, now: Micros) -> bool:
        """Whether each of many attempts at a phase broke off, over some time."""
        told = self.told().get(phase, {"status": None})
        is_tried = told["status"] == "begun" and told["tries"] >= TRIES_MAX
        return is_tried and now - told.get("since", now) >= TRYING

    def ended(self, phase: Phase, facts: Facts, now: Micros) -> tuple[Self, Event]:
        """A phase is done.

        Raises:
            InvalidTransition: the run is over.
        """
        self._require_open()
        told = self.told()
        told[phase] = told.get(phase, {"tries": 1}) | {"status": "done", "at": now, "facts": facts}
        return self._moved("deployment_run.phase_done", now, phases=_phases(told))

    def gave_up(self, phase: Phase | None, why: str, facts: Facts, now: Micros) -> tuple[Self, Event]:
        """A phase will not be done; what was begun is undone next."""
        told = self.told()
        if phase is not None:
            told[phase] = told.get(phase, {"tries": 1}) | {"status": "failed", "at": now, "facts": facts}
        changes: dict[str, Any] = {"phases": _phases(told)}
        if self.failure is None:
            changes["failure"] = why
        return self._moved("deployment_run.phase_failed", now, **changes)

    def taken_up(self, task_id: str, now: Micros) -> tuple[Self, Event]:
        """Another task goes on with it."""
        return self._moved("deployment_run.taken_up", now, task_id=task_id)

    def approved(self, now: Micros) -> tuple[Self, Event]:
        """People let it happen."""
        return self._moved("deployment_run.approved", now, status="running")

    def over(self, status: RunStatus, error: str | None, now: Micros) -> tuple[Self, Event]:
        """It has ended."""
        kind = f"deployment_run.{status}"
        return self._moved(kind, now, status=status, error=error and error[:2000], ended_at=now)

    def _require_open(self) -> None:
        if self.status not in OPEN:
            raise InvalidTransition(f"Run {self.id} is {self.status}.", next="Nothing is left to do.")

    def _moved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        changes["updated_at"] = now
        version = self.version + 1
        return self.evolved(changes | {"version": version}), Event(kind, "deployment_run", self.id, version, changes)


def _phases(told: Mapping[Phase, Facts]) -> RawJson:
    return RawJson(dump_json(told))
