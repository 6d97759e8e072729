"""What becomes of an agent's locks when it leaves."""

from collections.abc import Mapping

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.speaking import require_voice
from mcp_server.domain.locks.meeting import guard
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.transactions import hand_over
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.events import Origin
from mcp_server.kernel.store import Transaction


def held_by(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The locks that an agent holds."""
    return Holding.of("locks", [hold.name for hold in _holds(tx, origin, agent_id)])


def hand_over_all(
    tx: Transaction, origin: Origin, leaving: Speaker, heir: Speaker, reason: str | None
) -> Holding | None:
    """Give the locks of an agent that leaves to another, each under a new fencing token."""
    given: dict[str, int] = {}
    for hold in _holds(tx, origin, leaving.agent_id):
        guard(tx, hold.name)
        given[hold.name] = hand_over(tx, origin, hold, heir, reason=reason).fencing_token
    held = Holding.of("locks", list(given))
    return held and held._replace(fencing_tokens=_told(tx, origin, heir, given, held))


def _told(
    tx: Transaction, origin: Origin, heir: Speaker, tokens: Mapping[str, int], held: Holding
) -> Mapping[str, int]:
    """The tokens for who may speak as their holder; nothing for others."""
    try:
        require_voice(tx, origin, heir.agent_id)
    except PermissionDenied:
        return {}
    return {name: tokens[name] for name in held.which}


def _holds(tx: Transaction, origin: Origin, agent_id: str) -> list[Hold]:
    rows = tx.all("lock_holds_of_party", party=agent_id)
    return [hold for hold in map(Hold.adopt, rows) if hold.expires_at > origin.at]
