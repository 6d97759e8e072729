"""What becomes of an agent's locks when it leaves."""

from mcp_server.domain.agents.hooks import HOLDING_SHOWN_MAX, Holding
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.transactions import guard, hand_over
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def held_by(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The locks that an agent holds."""
    return _holding([hold.name for hold in _holds(tx, origin, agent_id)])


def hand_over_all(tx: Transaction, origin: Origin, leaving: Speaker, heir: Speaker) -> Holding | None:
    """Give the locks of an agent that leaves to another, each under a new fencing token."""
    holds = _holds(tx, origin, leaving.agent_id)
    for hold in holds:
        guard(tx, hold.name)
        hand_over(tx, origin, hold, heir)
    return _holding([hold.name for hold in holds])


def _holds(tx: Transaction, origin: Origin, agent_id: str) -> list[Hold]:
    rows = tx.all("lock_holds_of_party", party=agent_id)
    return [hold for hold in map(Hold.adopt, rows) if hold.expires_at > origin.at]


def _holding(names: list[str]) -> Holding | None:
    names = list(dict.fromkeys(names))
    return Holding("locks", names[:HOLDING_SHOWN_MAX], len(names)) if names else None
