"""Transaction functions of the agent registry."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from mcp_server.domain.agents.commands import AgentAction, ControlAgent, InstanceSpec, Register
from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.hooks import (
    AGENT_CHANGED,
    AGENT_ENDED,
    AGENT_HANDED_OVER,
    AGENT_HOLDS,
    INSTANCE_ENDED,
    INSTANCE_LOST,
)
from mcp_server.domain.agents.model import HEARTBEAT_SECONDS, Agent, Instance, Registrar, still_holds
from mcp_server.domain.agents.rows import named_agent, require_staying
from mcp_server.domain.agents.seen import AgentNow, agent_now
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.errors import InvalidTransition, LimitExceeded, NotFound
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.quoting import named
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import SECOND, Micros, iso

_SEEN_EVERY: Micros = HEARTBEAT_SECONDS * SECOND // 4
HANDED_OVER_MAX = 10_000
"""How many things of a kind are handed over at once: all are, in one transaction, for which every other waits."""


class Registered(NamedTuple):
    """The agent's id, its instance's (None when none was introduced), whether the agent is new, and how it stands."""

    agent_id: str
    instance_id: str | None
    created: bool
    now: AgentNow


def register(tx: Transaction, origin: Origin, command: Register) -> Registered:
    """Register an agent by its unique name, or bring it up to date; introduce its instance, or welcome it back."""
    return _registered(tx, origin, command, described=True)


def introduce(tx: Transaction, origin: Origin, command: Register) -> Registered:
    """`register`, but an agent that exists stays as it is."""
    return _registered(tx, origin, command, described=False)


def _registered(tx: Transaction, origin: Origin, command: Register, *, described: bool) -> Registered:
    row = tx.one("agent_by_name", name=command.name)
    by = Registrar(origin.principal, origin.may(Permission.AGENTS_CONTROL))
    if row is None:
        agent, change = Agent.registered(origin.new_id("agent"), command, by, origin.at)
    else:
        agent, change = Agent.adopt(row), None
        if described:
            agent, change = agent.described(command, by, origin.at)
    if change is not None:
        _tell_changed(tx, origin, agent, change)
    known = None if command.instance is None else _introduce(tx, origin, agent.id, command.instance)
    return Registered(agent.id, known, row is None, agent_now(tx, origin, agent.id))


def _tell_changed(tx: Transaction, origin: Origin, agent: Agent, change: Event) -> int:
    """Store a change, and tell of it where it bears on the agent's instances; its place in the log."""
    cause = tx.record(origin, change)
    if any(change.data.get(name) is not None for name in ("launcher", "scaling", "lifecycle")):
        tx.tell(AGENT_CHANGED, origin.caused_by(cause), agent)
    return cause


class Moved(NamedTuple):
    """How an agent stands (as it was, if it was deleted), whether it was, the tasks that it had to give back, what it
    handed over, and what one at rest keeps beside its leased tasks: by what it is, how many and which; and who takes
    over."""

    now: AgentNow
    deleted: bool
    requeued: list[str]
    handed_over: dict[str, Any]
    holds: dict[str, Any]
    heir: "Heir | None" = None


class Heir(NamedTuple):
    """How an agent stands that has taken over from another, and how many tasks it alone may take up."""

    now: AgentNow
    pinned: int


def control(tx: Transaction, origin: Origin, command: ControlAgent) -> Moved:
    """Move an agent through its lifecycle. One that leaves keeps nothing: what it holds is handed over, or it stays.
    One that rests may hand it over, too, but for what it is at work on, which it finishes.

    Raises:
        NotFound: there is no such agent.
        InvalidTransition: it cannot; or who is to take over has left as well.
        Conflict: it leaves and holds something, and nobody is named to take over.
    """
    agent = named_agent(tx, command.agent_id)
    moved, event = agent.moved(command.action, command.reason, origin.at)
    heir = None if command.to_agent is None else _heir(tx, agent, command.to_agent)
    event = event if heir is None else event._replace(data={**event.data, "to_agent": heir.id})
    if command.leaves():
        return _left(tx, origin, agent, command, heir, event)
    cause = origin.caused_by(_tell_changed(tx, origin, moved, event))
    handed, holds = ({}, {}) if command.action == "resume" else _at_rest(tx, cause, agent, heir, command.reason)
    return Moved(agent_now(tx, origin, agent.id), deleted=False, requeued=[], handed_over=handed, holds=holds)


def _at_rest(
    tx: Transaction, origin: Origin, agent: Agent, heir: Agent | None, reason: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one at rest hands over, and what it keeps."""
    holds = _by_kind(tx.tell(AGENT_HOLDS, origin, agent.id))
    if heir is None:
        return {}, holds
    _require_few(agent, holds)
    at_work = bool(agent_now(tx, origin, agent.id).row["running"])
    handed = _by_kind(_handed(tx, origin, agent, heir, reason, at_work=at_work))
    return handed, _by_kind(tx.tell(AGENT_HOLDS, origin, agent.id))


def _left(
    tx: Transaction, origin: Origin, agent: Agent, command: ControlAgent, heir: Agent | None, event: Event
) -> Moved:
    _require_leaving(agent, command.action, heir, _by_kind(tx.tell(AGENT_HOLDS, origin, agent.id)))
    deletes = command.action == "delete"
    before = _as_deleted(agent_now(tx, origin, agent.id), command.reason) if deletes else None
    cause = origin.caused_by(tx.append(origin, event) if deletes else tx.record(origin, event))
    ended = tx.tell(AGENT_ENDED, cause, agent.id, f"its agent was {'deleted' if deletes else 'terminated'}")
    handed = [] if heir is None else _handed(tx, cause, agent, heir, command.reason)
    if deletes:  # last: what it held still names it while it is handed over
        tx.run("agent_delete", id=agent.id)
    now = before or agent_now(tx, origin, agent.id)
    took_over = None if heir is None else _took_over(tx, origin, heir)
    return Moved(now, deletes, list(chain.from_iterable(ended)), _by_kind(handed), {}, took_over)


def _took_over(tx: Transaction, origin: Origin, heir: Agent) -> Heir:
    pinned = _by_kind(tx.tell(AGENT_HOLDS, origin, heir.id)).get("pinned_tasks", {"total": 0})
    return Heir(agent_now(tx, origin, heir.id), pinned["total"])


def _as_deleted(now: AgentNow, reason: str | None) -> AgentNow:
    """An agent as it was when it was deleted, with why: not why it was terminated before."""
    return now._replace(row={**now.row, "lifecycle_reason": reason})


def _handed(
    tx: Transaction, origin: Origin, agent: Agent, heir: Agent, reason: str | None, *, at_work: bool = False
) -> list[Holding | None]:
    return tx.tell(AGENT_HANDED_OVER, origin, agent.speaker(), heir.speaker(), reason, at_work)


def _require_leaving(agent: Agent, action: AgentAction, heir: Agent | None, holds: dict[str, Any]) -> None:
    """Refuse to leave with something in hand."""
    if heir is None and holds:
        raise still_holds(agent, action, holds)
    _require_few(agent, holds)


def _require_few(agent: Agent, holds: dict[str, Any]) -> None:
    """Refuse to hand over so much that everyone else would have to wait for it."""
    if any(one["total"] > HANDED_OVER_MAX for one in holds.values()):
        said = ", ".join(f"{one['total']} {what.replace('_', ' ')}" for what, one in holds.items())
        raise LimitExceeded(
            f"Agent {agent.name} holds {said}; at most {HANDED_OVER_MAX} of a kind are handed over at once. "
            "Nothing was changed.",
            next="Lessen it first: tasks_control(action='assign'), messages_read, locks_release.",
            details={"agent_id": agent.id, "holds": holds, "total_max": HANDED_OVER_MAX},
        )


def _by_kind(held: Iterable[Holding | None]) -> dict[str, Any]:
    return {one.what: one.told() for one in held if one is not None}


def _heir(tx: Transaction, agent: Agent, reference: str) -> Agent:
    heir = named_agent(tx, reference)
    if heir.id == agent.id:
        raise InvalidTransition(f"Agent {agent.name} cannot take over from itself.", next="Name another as to_agent.")
    require_staying(heir)
    return heir


def see_instance(tx: Transaction, origin: Origin, agent_id: str | None, instance_id: str | None) -> None:
    """Count a call as the instance's heartbeat; written only when the last one is a while ago.

    Raises:
        NotFound: the instance is not the agent's.
    """
    if instance_id is None or agent_id is None:
        return
    row = tx.one("instance_for_update", id=instance_id, agent_id=agent_id)
    if row is None:
        raise _no_instance(agent_id, instance_id)
    instance = Instance.adopt(row)
    if instance.lost_at is not None:
        tx.record(origin, instance.returned(origin.at))
    elif abs(origin.at - instance.last_seen_at) > _SEEN_EVERY:
        tx.run("instance_seen", id=instance_id, now=origin.at)


def see_agent(tx: Transaction, origin: Origin, agent_id: str, instance_ids: Sequence[str]) -> None:
    """Count a call as a heartbeat of the agent's instances that it may have come from: those named, else the only one
    there is. Where there are several, nobody can tell which it was."""
    if not instance_ids:
        rows = tx.all("instances_seen_of", agent_id=agent_id)
        instance_ids = [rows[0]["id"]] if len(rows) == 1 else []
    for instance_id in instance_ids:
        if tx.one("instance_for_update", id=instance_id, agent_id=agent_id) is not None:
            see_instance(tx, origin, agent_id, instance_id)


def see_instance_again(
    tx: Transaction, origin: Origin, agent_id: str, instance_id: str, seen_at: Micros | None
) -> None:
    """`see_instance`, where it is known when the instance was last seen (None: the agent has no such instance).

    Raises:
        NotFound: the instance is not the agent's.
    """
    if seen_at is None or abs(origin.at - seen_at) > _SEEN_EVERY:
        see_instance(tx, origin, agent_id, instance_id)


def mark_lost(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """Mark an instance that was not heard of for three intervals. Its leases expire on their own."""
    cause = tx.record(origin, Instance.adopt(row).lost(origin.at))
    tx.tell(INSTANCE_LOST, origin.caused_by(cause), row["id"])


def right_instance(tx: Transaction, origin: Origin, row: dict[str, Any]) -> None:
    """An instance that was seen at a moment that has not come yet was seen just now."""
    tx.run("instance_seen", id=row["id"], now=origin.at)


def introduce_instance(tx: Transaction, origin: Origin, agent_id: str, instance: InstanceSpec) -> str:
    """An agent's instance of that label, introduced where it is new; its id."""
    row = tx.one("instance_by_label", agent_id=agent_id, label=instance.label)
    return _introduce(tx, origin, agent_id, instance) if row is None else row["id"]


def instance_started(tx: Transaction, origin: Origin, instance_id: str, host: str, pid: int) -> None:
    """The process of an instance runs."""
    row = tx.one("instance_whole", id=instance_id)
    if row is not None:
        here = InstanceSpec(label=row["label"], host=host, pid=pid)
        tx.record(origin, Instance.adopt(row).returned(origin.at, here))


def instance_ended(tx: Transaction, origin: Origin, instance_id: str, *, in_order: bool) -> None:
    """The process of an instance is known to be gone, in order or not. What it held is given back at once."""
    row = tx.one("instance_whole", id=instance_id)
    if row is not None and row["lost_at"] is None:
        cause = origin.caused_by(tx.record(origin, Instance.adopt(row).lost(origin.at)))
        tx.tell(INSTANCE_LOST, cause, instance_id)
        tx.tell(INSTANCE_ENDED, cause, row["agent_id"], instance_id, in_order)


def instances_run(tx: Transaction, origin: Origin, instance_ids: Sequence[str]) -> None:
    """The processes of these instances run still."""
    tx.run("instances_seen", ids=dump_json(list(instance_ids)), now=origin.at)


def require_budget(tx: Transaction, agent: Agent, now: Micros) -> None:
    """Refuse an agent whose budget for the month is used up.

    Raises:
        LimitExceeded: naming what was used.
    """
    if agent.budget is not None:
        month = iso(now)[:7]
        agent.require_budget(month, *_used(tx, agent.id, month))


def count_usage(tx: Transaction, origin: Origin, agent_id: str | None, tokens: int, cost_usd: float) -> None:
    """Add what an attempt used to its agent's month; say so when that crosses the budget's warning or limit."""
    row = None if agent_id is None else tx.one("agent_for_update", id=agent_id)
    if row is None:
        return
    agent, month = Agent.adopt(row), iso(origin.at)[:7]
    before = _used(tx, agent.id, month)
    tx.run("usage_add", agent_id=agent.id, month=month, tokens=tokens, cost_usd=cost_usd)
    for event in agent.budget_events(month, before, (before[0] + tokens, before[1] + cost_usd)):
        tx.append(origin, event)


def _used(tx: Transaction, agent_id: str, month: str) -> tuple[int, float]:
    row = tx.one("usage_of", agent_id=agent_id, month=month)
    return (0, 0.0) if row is None else (row["tokens"], row["cost_usd"])


def _no_instance(agent_id: str, instance_id: str) -> NotFound:
    return NotFound(
        f"Agent {agent_id} has no instance {named(instance_id)}.",
        next="Introduce it: agents_register with the same name and instance {label}.",
        details={"agent_id": agent_id, "instance_id": instance_id},
    )


def _introduce(tx: Transaction, origin: Origin, agent_id: str, instance: InstanceSpec) -> str:
    row = tx.one("instance_by_label", agent_id=agent_id, label=instance.label)
    if row is not None:
        tx.record(origin, Instance.adopt(row).returned(origin.at, instance))
        return row["id"]
    instance_id = origin.new_id("instance")
    tx.record(origin, Instance.introduced(instance_id, agent_id, instance, origin.at))
    return instance_id
