"""Deployments: named configurations in numbered revisions, and what of them is live."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.runs import Run, RunStatus
from mcp_server.domain.deployments.spec import DefineDeployment, DeploymentStatus, Operation
from mcp_server.domain.deployments.targets import Facts, Subject
from mcp_server.kernel.errors import Conflict
from mcp_server.kernel.events import Event
from mcp_server.kernel.json_text import RawJson, dump_json, json_list, sha256_text
from mcp_server.kernel.records import Record
from mcp_server.kernel.times import Micros


class Deployment(Record):
    """The aggregate. JSON columns stay text."""

    id: str
    name: str
    environment: str
    target: str
    tags: str
    status: DeploymentStatus
    revision: int
    live_revision: int | None
    previous_revision: int | None
    live: str | None
    drift: str | None
    run_id: str | None
    error: str | None
    created_by: str
    created_at: Micros
    updated_at: Micros
    version: int

    @staticmethod
    def defined(deployment_id: str, command: DefineDeployment, by: str, now: Micros) -> tuple["Deployment", Event]:
        """A new one, of which nothing runs yet."""
        nothing = dict.fromkeys(("live_revision", "previous_revision", "live", "drift", "run_id", "error"))
        data: dict[str, Any] = {
            "name": command.name,
            "environment": command.environment,
            "target": command.target,
            "tags": json_list(command.tags),
            "status": "defined",
            "revision": 1,
            **nothing,
            "created_by": by,
            "created_at": now,
            "updated_at": now,
        }
        new = Deployment.adopt({"id": deployment_id, "version": 1} | data)
        return new, Event("deployment.defined", "deployment", deployment_id, 1, data, creates=True)

    def redefined(self, command: DefineDeployment, *, is_new: bool, now: Micros) -> tuple[Self, Event] | None:
        """With a new revision where the configuration is another; None where nothing is said anew.

        Raises:
            Conflict: it would move to another target.
        """
        if command.target != self.target:
            raise Conflict(
                f"{self.name} in {self.environment} is a deployment of the target {self.target}, and stays one.",
                next=f"Choose another name for {command.target}, or destroy this one first.",
                details={"deployment_id": self.id, "target": self.target},
            )
        changes: dict[str, Any] = {"revision": self.revision + 1} if is_new else {}
        tags = json_list(command.tags)
        if "tags" in command.model_fields_set and tags != self.tags:
            changes["tags"] = tags
        return self._moved("deployment.revised", now, **changes) if changes else None

    def subject(self, revision: int, config: str, live_config: str | None, then: Facts | None = None) -> Subject:
        """What a target sees of it, where this revision is meant; both configurations as they are stored."""
        return Subject(
            self.id,
            self.name,
            self.environment,
            self.target,
            revision,
            Config.read(config),
            self.live_revision,
            None if live_config is None else Config.read(live_config),
            None if self.live is None else json.loads(self.live),
            then,
        )

    def claimed(self, run_id: str, now: Micros) -> tuple[Self, Event]:
        """Something is to be done to it, and nothing else until that is over."""
        return self._moved("deployment.claimed", now, run_id=run_id)

    def started(self, now: Micros) -> tuple[Self, Event]:
        """Something is done to it."""
        return self._moved("deployment.started", now, status="changing")

    def settled(self, run: Run, facts: Facts | None, now: Micros) -> tuple[Self, Event]:
        """What was done to it is over."""
        changes: dict[str, Any] = {"status": _status_after(self, run, facts or {}), "error": run.error}
        if run.status == "succeeded":
            changes |= self._after(run, facts)
        return self._moved(f"deployment.{_PAST[run.status]}", now, **changes)

    def drifted(self, found: Sequence[str], now: Micros) -> tuple[Self, Event] | None:
        """What is there was compared with what was brought live; None where that is no news."""
        drift = json_list(found) if found else None
        if drift == self.drift:
            return None
        return self._moved("deployment.drifted" if found else "deployment.in_line", now, drift=drift)

    def _after(self, run: Run, facts: Facts | None) -> dict[str, Any]:
        if run.operation == "destroy":
            return dict.fromkeys(("live_revision", "previous_revision", "live", "drift"))
        if run.operation not in ("apply", "rollback"):
            return {"drift": None}  # what was found before it was stopped or started says nothing of now
        moved: dict[str, Any] = {"live": RawJson(dump_json(facts or {})), "drift": None}
        if run.revision != self.live_revision:
            # After going back, going back again must not lead forwards to what was just left.
            previous = None if run.operation == "rollback" else self.live_revision
            moved |= {"live_revision": run.revision, "previous_revision": previous}
        return moved

    def _moved(self, kind: str, now: Micros, **changes: Any) -> tuple[Self, Event]:
        changes["updated_at"] = now
        version = self.version + 1
        return self.evolved(changes | {"version": version}), Event(kind, "deployment", self.id, version, changes)


_PAST: Mapping[RunStatus, str] = {
    "succeeded": "settled",
    "rolled_back": "rolled_back",
    "failed": "failed",
    "stale": "unchanged",
    "cancelled": "unchanged",
}


_REACHED: Mapping[Operation, DeploymentStatus] = {"destroy": "destroyed", "stop": "stopped"}


def _status_after(deployment: Deployment, run: Run, facts: Facts) -> DeploymentStatus:
    if run.status == "succeeded":
        return _REACHED.get(run.operation, "rendered" if facts.get("rendered") else "live")
    if run.status == "failed":
        return "failed"
    was = run.status_before
    return "failed" if run.status == "rolled_back" and deployment.live_revision is None else was


class Revision(Record):
    """One configuration of a deployment; it never changes. Its id is the deployment's with its number."""

    id: str
    deployment_id: str
    revision: int
    config: str
    config_hash: str
    created_by: str
    created_at: Micros
    version: int

    @staticmethod
    def of(deployment: Deployment, config: RawJson, by: str, now: Micros) -> tuple["Revision", Event]:
        """A deployment's newest."""
        data: dict[str, Any] = {
            "deployment_id": deployment.id,
            "revision": deployment.revision,
            "config": config,
            "config_hash": sha256_text(config),
            "created_by": by,
            "created_at": now,
        }
        revision_id = revision_id_of(deployment.id, deployment.revision)
        new = Revision.adopt({"id": revision_id, "version": 1} | data)
        event = Event("deployment_revision.made", "deployment_revision", revision_id, 1, data, creates=True)
        return new, event


def revision_id_of(deployment_id: str, revision: int) -> str:
    """`deployment_...@3`."""
    return f"{deployment_id}@{revision}"


def being_changed(deployment: Deployment) -> Conflict:
    """The refusal to compare what is on the move with what it was."""
    return Conflict(
        f"{deployment.name} in {deployment.environment} is being changed, so what is there cannot be compared with "
        "what was brought live.",
        next=f"Ask again once deployments_find(deployment_id='{deployment.id}') shows that its run is over.",
        details={"deployment_id": deployment.id, "run_id": deployment.run_id},
    )


def busy_with(deployment: Deployment, run: Run) -> Conflict:
    """The refusal of a second operation at once."""
    waits = f"waits for approval {run.approval_id}" if run.status == "waiting" else "is running"
    return Conflict(
        f"{deployment.name} in {deployment.environment} is busy: {run.operation} of revision {run.revision} {waits}.",
        next=f"Wait for it: tasks_wait(task_id='{run.task_id}'); or cancel it with tasks_control.",
        details={"deployment_id": deployment.id, "run_id": run.id, "task_id": run.task_id, "operation": run.operation},
    )
