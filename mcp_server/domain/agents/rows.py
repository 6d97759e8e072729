"""Agents as transactions find them: by id, by name, by capability; and whom somebody may have meant."""

from collections.abc import Sequence
from typing import Any

from mcp_server.domain.agents.model import Agent, gone, no_agent
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.near import near
from mcp_server.kernel.store import Transaction

LOOKED_FOR_MAX = 5
"""As many as a refusal tells of."""


def named_agent(tx: Transaction, reference: str) -> Agent:
    """The agent of that id or name, locked for this transaction.

    Raises:
        NotFound: no such agent.
    """
    row = tx.one("agent_for_update", id=reference) or tx.one("agent_by_name", name=reference)
    if row is None:
        raise no_agent(reference, names_near(tx, reference))
    return Agent.adopt(row)


def staying_agent(tx: Transaction, reference: str) -> tuple[str, str] | None:
    """Id and name of the agent of that id or name, locked for this transaction; None where there is none.

    Raises:
        InvalidTransition: it is terminated.
    """
    row = tx.one("agent_staying", id=reference) or tx.one("agent_by_name", name=reference)
    if row is None:
        return None
    if row["lifecycle"] == "terminated":
        raise gone(row["id"], row["name"])
    return row["id"], row["name"]


def staying_agents(tx: Transaction, limit: int) -> list[tuple[str, str]]:
    """Id and name of agents that have not left, in order of their names."""
    return [(row["id"], row["name"]) for row in tx.all("agents_staying", limit=limit)]


def is_staying(tx: Transaction, agent_id: str) -> bool:
    """Whether there is such an agent, and it has not left."""
    row = tx.one("agent_for_update", id=agent_id)
    return row is not None and row["lifecycle"] != "terminated"


def is_known(tx: Transaction, agent_id: str) -> bool:
    """Whether there is such an agent, also one that has left."""
    return tx.one("agent_for_update", id=agent_id) is not None


def require_staying(agent: Agent) -> None:
    """Refuse to give something to an agent that has left.

    Raises:
        InvalidTransition: it is terminated.
    """
    if agent.lifecycle == "terminated":
        raise gone(agent.id, agent.name)


def at_work(tx: Transaction, origin: Origin, agent_id: str, instance_id: str | None) -> dict[str, Any]:
    """An agent that asks for work, locked: its columns, when its instance was last seen (`instance_seen_at`), and what
    the task queue adds, in one statement.

    Raises:
        NotFound: no such agent.
    """
    row = tx.one("agent_at_work", agent_id=agent_id, instance_id=instance_id, now=origin.at)
    if row is None:
        raise no_agent(agent_id, names_near(tx, agent_id))
    return row


def load_agent(tx: Transaction, agent_id: str) -> Agent:
    """The agent, locked for this transaction.

    Raises:
        NotFound: no such agent.
    """
    row = tx.one("agent_for_update", id=agent_id)
    if row is None:
        raise no_agent(agent_id, names_near(tx, agent_id))
    return Agent.adopt(row)


def names_near(tx: Transaction, name: str) -> list[str]:
    """The names of agents that somebody may have meant who named another: of few names in one transaction, since all
    others wait while they are looked for."""
    found: dict[str, list[str]] = tx.notes.setdefault(names_near, {})
    if name not in found:
        found[name] = near(name, every_name(tx)) if len(found) < LOOKED_FOR_MAX else []
    return found[name]


def skills_near(tx: Transaction, capability: str) -> list[str]:
    """Capabilities of agents that somebody may have meant who named another; looked for as names are."""
    looked_for: set[str] = tx.notes.setdefault(skills_near, set())
    looked_for.add(capability)
    if len(looked_for) > LOOKED_FOR_MAX:
        return []
    return near(capability, [row["value"] for row in tx.all("complete_capabilities", prefix="%")])


def every_name(tx: Transaction) -> list[str]:
    """What the agents that have not left are called."""
    return [row["name"] for row in tx.all("agent_names")]


def with_skills(tx: Transaction, capabilities: Sequence[str], limit: int) -> dict[str, list[str]]:
    """For each capability the ids of up to `limit` agents that have it and are not terminated. However many are asked
    for, all agents are looked through once: others wait."""
    if len(capabilities) == 1:
        rows = tx.all("agents_with_skill", skill=dump_json(capabilities[0]), limit=limit)
        return {capabilities[0]: [row["id"] for row in rows]}
    found: dict[str, list[str]] = {capability: [] for capability in capabilities}
    if found:
        for row in tx.all("agents_with_skills", skills=dump_json(list(found)), limit=limit):
            found[row["skill"]].append(row["id"])
    return found
