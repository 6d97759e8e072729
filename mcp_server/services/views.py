"""What callers see: view models built straight from rows. Nulls are dropped when they are sent."""

import json
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from mcp_server.domain.agents import derive_status
from mcp_server.domain.schedules import ScheduleSpec
from mcp_server.domain.task_spec import MAX_ATTEMPTS_DEFAULT, PRIORITY_NAMES
from mcp_server.domain.values import Micros, adopted, iso, iso_or_none
from mcp_server.services.ports import Row

FIRINGS_SHOWN = 5


class View(BaseModel):
    """The base of all view models."""

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A view of values that are known to be right."""
        return cls.holding(_template(cls) | fields)

    @classmethod
    def holding(cls, fields: dict[str, Any]) -> Self:
        """`of`, for a dict that names every field in the order in which it is declared."""
        return adopted(cls, fields)


@cache
def _template(view: type[View]) -> dict[str, Any]:
    """Every field in the order it is declared and sent, optional ones with their defaults."""
    fields = view.model_fields.items()
    return {name: None if field.is_required() else field.default for name, field in fields}


class ParentView(View):
    """A task that another one waits for."""

    id: str
    title: str
    status: str


class LeaseView(View):
    """Who works on a task, and until when without a report."""

    agent_id: str
    instance_id: str | None = None
    expires_at: str


class TaskView(View):
    """One task. Lists leave the bulky fields out."""

    id: str
    title: str
    kind: str
    status: str
    priority: str
    agent_id: str | None = None
    required_capabilities: list[str] | None = None
    tags: list[str] | None = None
    parent_id: str | None = None
    depends_on: list[str] | None = None
    waits_for: list[str] | None = None
    waits_for_tasks: list[ParentView] | None = None
    run_at: str | None = None
    schedule: dict[str, str] | None = None
    next_firings: list[str] | None = None
    approval: str | None = None
    attempt: int
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    concurrency_key: str | None = None
    description: str | None = None
    input: Any = None
    lease: LeaseView | None = None
    progress: dict[str, Any] | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    cancel_requested: bool | None = None
    cancel_reason: str | None = None
    created_by: str | None = None
    created_at: str
    updated_at: str
    started_at: str | None = None
    finished_at: str | None = None
    replayed: bool | None = None


def task_row(row: Row) -> TaskView:
    """A task in a list: what one needs to choose it."""
    return TaskView.of(
        id=row["id"],
        title=row["title"],
        kind=row["kind"],
        status=row["status"],
        priority=PRIORITY_NAMES[row["priority"]],
        agent_id=row["lease_agent_id"] or row["agent_id"],
        tags=_list(row["tags"]),
        parent_id=row["parent_id"],
        waits_for=_waits_for(row),
        run_at=iso_or_none(row["run_at"]),
        attempt=row["attempt"],
        progress=_json(row["progress"]),
        error=_json(row["error"]),
        cancel_requested=bool(row["cancel_requested"]) or None,
        created_at=iso(row["created_at"]),
        updated_at=iso(row["updated_at"]),
    )


def task_full(
    row: Row, parents: list[Row] | None = None, replayed: bool | None = None, now: Micros | None = None
) -> TaskView:
    """A task with everything; a schedule's next firings where `now` is given."""
    task = _task_full(row, parents, replayed)
    if row["schedule"] is None:
        return task
    spec = ScheduleSpec.model_validate_json(row["schedule"])
    shown = {"schedule": spec.model_dump(), "approval": None, "result": _json(row["result"])}
    if now is not None and row["status"] == "pending":
        shown["next_firings"] = [iso(at) for at in (row["run_at"], *spec.firings(row["run_at"], FIRINGS_SHOWN - 1))]
    return task.model_copy(update=shown)


def _task_full(row: Row, parents: list[Row] | None, replayed: bool | None) -> TaskView:
    return TaskView.holding(
        {
            "id": row["id"],
            "title": row["title"],
            "kind": row["kind"],
            "status": row["status"],
            "priority": PRIORITY_NAMES[row["priority"]],
            "agent_id": row["agent_id"],
            "required_capabilities": _list(row["required_capabilities"]),
            "tags": _list(row["tags"]),
            "parent_id": row["parent_id"],
            "depends_on": _list(row["depends_on"]),
            "waits_for": _waits_for(row),
            "waits_for_tasks": [ParentView.of(**dict(parent)) for parent in parents] if parents else None,
            "run_at": iso_or_none(row["run_at"]),
            "schedule": None,
            "next_firings": None,
            "approval": row["approval"],
            "attempt": row["attempt"],
            "max_attempts": row["max_attempts"] or MAX_ATTEMPTS_DEFAULT,
            "timeout_seconds": row["timeout_seconds"],
            "concurrency_key": row["concurrency_key"],
            "description": row["description"] or None,
            "input": _json(row["input"]),
            "lease": _lease(row),
            "progress": _json(row["progress"]),
            "result": _json(row["result"]),
            "error": _json(row["error"]),
            "usage": _json(row["usage"]),
            "cancel_requested": bool(row["cancel_requested"]) or None,
            "cancel_reason": row["cancel_reason"],
            "created_by": row["created_by"],
            "created_at": iso(row["created_at"]),
            "updated_at": iso(row["updated_at"]),
            "started_at": iso_or_none(row["started_at"]),
            "finished_at": iso_or_none(row["finished_at"]),
            "replayed": replayed,
        }
    )


def _lease(row: Row) -> LeaseView | None:
    if row["lease_agent_id"] is None:
        return None
    return LeaseView.holding(
        {
            "agent_id": row["lease_agent_id"],
            "instance_id": row["lease_instance_id"],
            "expires_at": iso(row["lease_expires_at"]),
        }
    )


def _waits_for(row: Row) -> list[str] | None:
    if row["status"] != "pending":
        return None
    reasons = [f"{row['waits_on']} unfinished dependencies"] if row["waits_on"] else []
    if row["approval"] == "required":
        reasons.append("a person's approval")
    if row["run_at"] is not None:
        reasons.append(f"its {'next ' if row['schedule'] else ''}time, {iso(row['run_at'])}")
    return reasons or None


class InstanceView(View):
    """A running process or session of an agent."""

    id: str
    label: str
    host: str | None = None
    pid: int | None = None
    last_seen_at: str
    lost_at: str | None = None
    alive: bool


class AgentView(View):
    """One agent, with what can be derived from its tasks and instances."""

    id: str
    name: str
    kind: str
    description: str | None = None
    status: str
    status_reason: str | None = None
    capabilities: list[dict[str, str]] | None = None
    tags: list[str] | None = None
    running: int
    capacity: int
    instances_alive: int
    unread: int | None = None
    instances: list[InstanceView] | None = None
    metrics: dict[str, float] | None = None
    budget: dict[str, float] | None = None
    score: float | None = None
    reason: str | None = None
    created_at: str
    updated_at: str


def agent_view(row: Row) -> AgentView:
    """An agent in a list."""
    capacity = row["max_concurrent_tasks"]
    return AgentView.of(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        description=row["description"] or None,
        status=derive_status(
            row["lifecycle"], row["running"], capacity, row["instances_known"], row["instances_alive"]
        ),
        status_reason=row["lifecycle_reason"],
        capabilities=_list(row["capabilities"]),
        tags=_list(row["tags"]),
        running=row["running"],
        capacity=capacity,
        instances_alive=row["instances_alive"],
        unread=row["unread"] or None,
        created_at=iso(row["created_at"]),
        updated_at=iso(row["updated_at"]),
    )


def instance_view(row: Row, alive_since: Micros) -> InstanceView:
    """One instance of an agent."""
    return InstanceView.of(
        id=row["id"],
        label=row["label"],
        host=row["host"],
        pid=row["pid"],
        last_seen_at=iso(row["last_seen_at"]),
        lost_at=iso_or_none(row["lost_at"]),
        alive=row["last_seen_at"] > alive_since,
    )


class DocumentView(View):
    """One document; its value only where it was asked for."""

    namespace: str
    key: str
    version: int
    value: Any = None
    has_value: bool = False
    author: str
    updated_at: str
    sha256: str
    bytes: int
    tags: list[str] | None = None
    expires_at: str | None = None
    deleted: bool | None = None

    @model_serializer(mode="wrap")
    def _keep_null_value(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A document may hold JSON null: that value is sent although nulls are dropped elsewhere."""
        dumped = handler(self)
        if dumped.pop("has_value", False):
            dumped["value"] = self.value
        else:
            dumped.pop("value", None)
        return dumped


def document_view(row: Row, *, with_value: bool = False) -> DocumentView:
    """A document's head, or one of its versions."""
    return DocumentView.of(
        namespace=row["namespace"],
        key=row["key"],
        version=row["version"],
        value=json.loads(row["value"]) if with_value else None,
        has_value=with_value,
        author=row["author"],
        updated_at=iso(row["updated_at"]),
        sha256=row["sha256"],
        bytes=row["bytes"],
        tags=_list(row["tags"]),
        expires_at=iso_or_none(row["expires_at"]),
        deleted=bool(row["deleted"]) or None,
    )


class EventView(View):
    """One event. `data` holds the fields that changed."""

    seq: int
    at: str
    type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    actor: str
    correlation_id: str
    causation_seq: int | None = None
    data: dict[str, Any]


def event_view(row: Row) -> EventView:
    """An event as callers see it."""
    return EventView.of(
        seq=row["seq"],
        at=iso(row["at"]),
        type=row["type"],
        aggregate_type=row["aggregate_type"],
        aggregate_id=row["aggregate_id"],
        version=row["version"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_seq=row["causation_seq"],
        data={name: value for name, value in json.loads(row["data"]).items() if value is not None},
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _list(text: str) -> Any:
    """A JSON list, or None where it is empty."""
    return json.loads(text) if text != "[]" else None
