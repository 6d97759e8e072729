"""Transaction functions of the agent registry."""

from mcp_server.domain.agents import (
    HEARTBEAT_SECONDS,
    INSTANCE_ALIVE_FOR,
    Agent,
    AgentAction,
    AgentSpec,
    Instance,
    InstanceSpec,
)
from mcp_server.domain.errors import NotFound
from mcp_server.domain.events import Origin
from mcp_server.domain.task_spec import UsageSpec
from mcp_server.domain.values import SECOND, Micros, iso
from mcp_server.persistence.locks import abandon
from mcp_server.persistence.transaction import Transaction

_SEEN_EVERY: Micros = HEARTBEAT_SECONDS * SECOND // 4
_BATCH = 100


def register(
    tx: Transaction,
    origin: Origin,
    agent_id: str,
    spec: AgentSpec,
    instance_id: str,
    instance: InstanceSpec | None,
    keep: bool,
) -> tuple[str, str | None, bool]:
    """Register an agent by its unique name, or bring it up to date; introduce its instance, or welcome it back.

    With `keep`, an agent that exists stays as it is.

    Returns:
        The agent's id, the instance's id (None when no instance was given), and whether the agent is new.
    """
    row = tx.one("agent_by_name", name=spec.name)
    if row is None:
        agent, event = Agent.registered(agent_id, spec, origin.at)
        tx.record(origin, event)
    else:
        agent, change = Agent.trusted(row), None
        if not keep:
            agent, change = agent.described(spec, origin.at)
        if change is not None:
            tx.record(origin, change)
    known = None if instance is None else _introduce(tx, origin, agent.id, instance_id, instance)
    return agent.id, known, row is None


def control(tx: Transaction, origin: Origin, agent_id: str, action: AgentAction, reason: str | None) -> int:
    """Move an agent through its lifecycle. Handing its tasks back is the caller's next step; returned is the event
    that brings it about."""
    _, event = load_agent(tx, agent_id).moved(action, reason, origin.at)
    if action == "delete":
        tx.run("agent_delete", id=agent_id)
        return tx.append(origin, event)
    return tx.record(origin, event)


def load_agent(tx: Transaction, agent_id: str) -> Agent:
    """The agent, locked for this transaction.

    Raises:
        NotFound: no such agent.
    """
    row = tx.one("agent_for_update", id=agent_id)
    if row is None:
        raise no_agent(agent_id)
    return Agent.trusted(row)


def no_agent(agent_id: str) -> NotFound:
    """The refusal for an id that names no agent."""
    return NotFound(
        f"There is no agent {agent_id}.",
        next="Register it with agents_register, or list agents with agents_find.",
        details={"agent_id": agent_id},
    )


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
    instance = Instance.trusted(row)
    if instance.lost_at is not None:
        tx.record(origin, instance.returned(origin.at))
    elif origin.at - instance.last_seen_at > _SEEN_EVERY:
        tx.run("instance_seen", id=instance_id, now=origin.at)


def see_instance_again(
    tx: Transaction, origin: Origin, agent_id: str, instance_id: str, seen_at: Micros | None
) -> None:
    """`see_instance`, where it is known when the instance was last seen (None: the agent has no such instance).

    Raises:
        NotFound: the instance is not the agent's.
    """
    if seen_at is None or origin.at - seen_at > _SEEN_EVERY:
        see_instance(tx, origin, agent_id, instance_id)


def mark_lost(tx: Transaction, origin: Origin) -> int:
    """Mark the instances that were not heard of for three intervals. Their leases expire on their own; the locks that
    they own by their id are free at once."""
    rows = tx.all("silent_instances", before=origin.at - INSTANCE_ALIVE_FOR, limit=_BATCH)
    for row in rows:
        cause = tx.record(origin, Instance.trusted(row).lost(origin.at))
        abandon(tx, origin.caused_by(cause), row["id"])
    return len(rows)


def require_budget(tx: Transaction, agent: Agent, now: Micros) -> None:
    """Refuse an agent whose budget for the month is used up.

    Raises:
        LimitExceeded: naming what was used.
    """
    if agent.budget is not None:
        month = iso(now)[:7]
        agent.require_budget(month, *_used(tx, agent.id, month))


def count_usage(tx: Transaction, origin: Origin, agent_id: str | None, usage: UsageSpec | None) -> None:
    """Add what an attempt used to its agent's month; say so when that crosses the budget's warning or limit."""
    row = None if usage is None or agent_id is None else tx.one("agent_for_update", id=agent_id)
    if usage is None or row is None:
        return
    agent, month = Agent.trusted(row), iso(origin.at)[:7]
    before = _used(tx, agent.id, month)
    tokens, cost_usd = (usage.input_tokens or 0) + (usage.output_tokens or 0), usage.cost_usd or 0.0
    tx.run("usage_add", agent_id=agent.id, month=month, tokens=tokens, cost_usd=cost_usd)
    for event in agent.budget_events(month, before, (before[0] + tokens, before[1] + cost_usd)):
        tx.append(origin, event)


def _used(tx: Transaction, agent_id: str, month: str) -> tuple[int, float]:
    row = tx.one("usage_of", agent_id=agent_id, month=month)
    return (0, 0.0) if row is None else (row["tokens"], row["cost_usd"])


def _no_instance(agent_id: str, instance_id: str) -> NotFound:
    return NotFound(
        f"Agent {agent_id} has no instance {instance_id}.",
        next="Introduce it: agents_register with the same name and instance {label}.",
        details={"agent_id": agent_id, "instance_id": instance_id},
    )


def _introduce(tx: Transaction, origin: Origin, agent_id: str, instance_id: str, instance: InstanceSpec) -> str:
    row = tx.one("instance_by_label", agent_id=agent_id, label=instance.label)
    if row is not None:
        tx.record(origin, Instance.trusted(row).returned(origin.at, instance))
        return row["id"]
    tx.record(origin, Instance.introduced(instance_id, agent_id, instance, origin.at))
    return instance_id
