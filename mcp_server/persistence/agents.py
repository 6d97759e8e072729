"""Transaction functions of the agent registry."""

from typing import Any

from mcp_server.domain.agents import HEARTBEAT_SECONDS, Agent, AgentAction, AgentSpec, InstanceSpec
from mcp_server.domain.errors import NotFound
from mcp_server.domain.events import Event, Origin
from mcp_server.domain.values import SECOND, Micros
from mcp_server.persistence.transaction import Transaction

_SEEN_EVERY: Micros = HEARTBEAT_SECONDS * SECOND // 4


def register(
    tx: Transaction,
    origin: Origin,
    agent_id: str,
    spec: AgentSpec,
    instance_id: str,
    instance: InstanceSpec | None,
) -> tuple[str, str | None, bool]:
    """Register an agent by its unique name, or bring it up to date; introduce its instance, or welcome it back.

    Returns:
        The agent's id, the instance's id (None when no instance was given), and whether the agent is new.
    """
    row = tx.one("agent_by_name", name=spec.name)
    if row is None:
        agent, event = Agent.registered(agent_id, spec, origin.at)
        tx.record(origin, event)
    else:
        agent, change = Agent.trusted(row).described(spec, origin.at)
        if change is not None:
            tx.record(origin, change)
    known = None if instance is None else _introduce(tx, origin, agent.id, instance_id, instance)
    return agent.id, known, row is None


def control(tx: Transaction, origin: Origin, agent_id: str, action: AgentAction, reason: str | None) -> Agent:
    """Move an agent through its lifecycle. Handing its tasks back is the caller's next step."""
    agent, event = load_agent(tx, agent_id).moved(action, reason, origin.at)
    if action == "delete":
        tx.run("agent_delete", id=agent_id)
        tx.append(origin, event)
    else:
        tx.record(origin, event)
    return agent


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


def see_instance(tx: Transaction, agent_id: str | None, instance_id: str | None, now: Micros) -> None:
    """Count a call as the instance's heartbeat; written only when the last one is a while ago.

    Raises:
        NotFound: the instance is not the agent's.
    """
    if instance_id is None or agent_id is None:
        return
    row = tx.one("instance_of_agent", id=instance_id, agent_id=agent_id)
    keep_instance_alive(tx, agent_id, instance_id, None if row is None else row["last_seen_at"], now)


def keep_instance_alive(
    tx: Transaction, agent_id: str, instance_id: str | None, seen_at: Micros | None, now: Micros
) -> None:
    """`see_instance`, where it is known when the instance was last seen (None: the agent has no such instance).

    Raises:
        NotFound: the instance is not the agent's.
    """
    if instance_id is None:
        return
    if seen_at is None:
        raise NotFound(
            f"Agent {agent_id} has no instance {instance_id}.",
            next="Introduce it: agents_register with the same name and instance {label}.",
            details={"agent_id": agent_id, "instance_id": instance_id},
        )
    if now - seen_at > _SEEN_EVERY:
        tx.run("instance_seen", id=instance_id, now=now)


def _introduce(tx: Transaction, origin: Origin, agent_id: str, instance_id: str, instance: InstanceSpec) -> str:
    row = tx.one("instance_by_label", agent_id=agent_id, label=instance.label)
    facts: dict[str, Any] = {"host": instance.host, "pid": instance.pid}
    if row is not None:
        tx.run("instance_returned", id=row["id"], now=origin.at, **facts)
        return row["id"]
    tx.run("instance_insert", id=instance_id, agent_id=agent_id, label=instance.label, now=origin.at, **facts)
    data = facts | {
        "agent_id": agent_id,
        "label": instance.label,
        "started_at": origin.at,
        "last_seen_at": origin.at,
    }
    tx.append(origin, Event("instance.introduced", "instance", instance_id, 1, data))
    return instance_id
