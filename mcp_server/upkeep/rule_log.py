"""The operator's rules in words, and what each would have caught of what the log tells."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp_server.domain.approvals.rules import UNKNOWN, Form, Rule, Rules
from mcp_server.domain.areas import AREAS
from mcp_server.domain.tasks.spec import PRIORITY_NAMES
from mcp_server.kernel.authority import VIA
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import iso
from mcp_server.persistence.database import Database
from mcp_server.persistence.event_loops import run_on
from mcp_server.protocol.guarding import guarded
from mcp_server.upkeep.findings import Finding

EVENTS_READ = 10_000
_SYSTEM = "system:"


def inspect_rules(url: str, rules: Rules) -> list[Finding]:
    """Each rule: what it names, whom it asks, and what it would have caught in the last events. What an event does not
    tell, such as what a document held, counts as met."""
    try:
        events = run_on(url, _latest(url)) if rules.all else []
    except OpsError:
        events = []
    told = [(event, form) for event in events if (form := _form(event)) is not None]
    return [_explained(number, rule, told, len(events)) for number, rule in enumerate(rules.all, 1)]


def _explained(number: int, rule: Rule, told: list[tuple[Row, Form]], read: int) -> Finding:
    caught = [event for event, form in told if rule.names(form, _speakers(event["actor"]))]
    what = f"Of the last {read} events it would have named {len(caught)}"
    if caught:
        newest = caught[0]
        what += f", the newest {newest['type']} {named(newest['aggregate_id'])} at {iso(newest['at'])}"
    return Finding(f"rule_{number}", True, f"{rule.said()}: asks {rule.said_people()} first. {what}.")


async def _latest(url: str) -> list[Row]:
    database = await Database.open(url, AREAS, may_only_read=True)
    try:
        return await database.fetch_all("events_latest", limit=EVENTS_READ)
    finally:
        await database.close()


def _speakers(actor: str) -> set[str]:
    return {actor, *actor.split(VIA)}


def _form(event: Row) -> Form | None:
    """The call by which an event may have come about; None where none did, or the server made it."""
    known = _CALLS.get(event["type"])
    if known is None or event["actor"].startswith(_SYSTEM):
        return None
    tool, said = known
    data = json.loads(event["data"])
    if str(data.get("kind", "")).startswith("system."):
        return None
    told = {name: value for name, value in said(event["aggregate_id"], data).items() if value is not None}
    unknown: dict[str, Any] = dict.fromkeys(guarded()[tool][0].arguments.model_fields, UNKNOWN)
    return Form(tool, unknown | told)


def _document(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    namespace, _, key = id_.partition("/")
    return {"namespace": namespace, "key": key, "tags": data.get("tags")}


def _task(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    del id_
    told = dict(data) | {"priority": PRIORITY_NAMES.get(data.get("priority", 1)), "agent_id": _somebody(data)}
    return told | {"tasks": [told]}


def _somebody(data: Mapping[str, Any]) -> Any:
    """An agent that may be called by more names than the log tells."""
    return None if data.get("agent_id") is None else UNKNOWN


def _control(action: str) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    def said(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
        priority = PRIORITY_NAMES.get(data.get("priority", -1))
        return {"task_ids": [id_], "action": action, "priority": priority, "agent_id": _somebody(data)}

    return said


def _agent(action: str) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    return lambda id_, data: {"action": action}


def _as_told(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    del id_
    return dict(data)


def _lock(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": id_, "mode": data.get("mode"), "owner": data.get("owner")}


def _run(id_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    del id_
    return {"action": data.get("operation"), "plan_hash": data.get("plan_hash")}


_CALLS: Mapping[str, tuple[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]] = {
    **{f"document.{how}": ("state_set", _document) for how in ("set", "patched", "restored", "deleted")},
    "task.created": ("tasks_create", _task),
    "task.cancelled": ("tasks_control", _control("cancel")),
    "task.cancel_requested": ("tasks_control", _control("cancel")),
    "task.paused": ("tasks_control", _control("pause")),
    "task.resumed": ("tasks_control", _control("resume")),
    "task.retried": ("tasks_control", _control("retry")),
    "task.discarded": ("tasks_control", _control("discard")),
    "task.priority_set": ("tasks_control", _control("set_priority")),
    "task.rescheduled": ("tasks_control", _control("reschedule")),
    "task.assigned": ("tasks_control", _control("assign")),
    "agent.registered": ("agents_register", _as_told),
    "agent.described": ("agents_register", _as_told),
    "agent.paused": ("agents_control", _agent("pause")),
    "agent.resumed": ("agents_control", _agent("resume")),
    "agent.draining": ("agents_control", _agent("drain")),
    "agent.terminated": ("agents_control", _agent("terminate")),
    "agent.deleted": ("agents_control", _agent("delete")),
    "agent.scaled": ("agents_scale", _as_told),
    "lock.acquired": ("locks_acquire", _lock),
    "message.sent": ("messages_send", _as_told),
    "email.queued": ("email_send", _as_told),
    "deployment.defined": ("deployments_define", _as_told),
    "deployment_run.decided": ("deployments_control", _run),
}
