"""How an agent stands at the end of what a transaction does to it. What a caller is told of a change is read within it:
afterwards the agent may be another, or gone, and the change would be answered as if it had not been made."""

from typing import Any, NamedTuple

from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Row, Transaction
from mcp_server.kernel.times import iso


class AgentNow(NamedTuple):
    """An agent's columns with what is derived, as in lists, and what it has used of its budget this month: None where
    that is nothing, or it has no budget."""

    row: dict[str, Any]
    used: Row | None


def agent_now(tx: Transaction, origin: Origin, agent_id: str) -> AgentNow:
    """An agent that there is, as the transaction has left it so far."""
    row = tx.one("agent_now", id=agent_id, alive_since=origin.at - INSTANCE_ALIVE_FOR)
    assert row is not None, "it was changed by this transaction"
    used = None if row["budget"] is None else tx.one("usage_of", agent_id=agent_id, month=iso(origin.at)[:7])
    return AgentNow(row, used)
