"""What becomes of an agent's locks when it leaves."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from mcp_server.domain.agents.holding import Holding
from mcp_server.domain.agents.speaking import agent_of, require_voice
from mcp_server.domain.locks.meeting import guard_all
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.transactions import hand_over
from mcp_server.kernel.authority import Speaker
from mcp_server.kernel.errors import PermissionDenied
from mcp_server.kernel.events import Origin
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Transaction


def held_by(tx: Transaction, origin: Origin, agent_id: str) -> Holding | None:
    """The locks that an agent holds."""
    return Holding.of("locks", [hold.name for hold in _holds(tx, origin, agent_id)])


def hand_over_all(
    tx: Transaction, origin: Origin, leaving: Speaker, heir: Speaker, reason: str | None, at_work: bool
) -> Holding | None:
    """Give the locks of an agent that leaves to another, each under a new fencing token; not of one that has a task to
    finish, which may be what they are for."""
    if at_work:
        return None
    holds = _holds(tx, origin, leaving.agent_id)
    if holds:
        guard_all(tx)
    apart, tangled = _parted(holds, {row["name"] for row in tx.all("lock_holds_of_party", party=heir.agent_id)})
    given = _handed_together(tx, origin, apart, heir, reason)
    for hold in tangled:
        given[hold.name] = hand_over(tx, origin, hold, heir, reason=reason).fencing_token
    held = Holding.of("locks", [hold.name for hold in holds])
    return held and held._replace(fencing_tokens=_told(tx, origin, heir, given, held))


def _parted(holds: Sequence[Hold], heirs: Collection[str]) -> tuple[list[Hold], list[Hold]]:
    """Those of a lock that nobody else of the two holds; and the others, which become one hold of the heir's."""
    times = Counter([*(hold.name for hold in holds), *heirs])
    return [hold for hold in holds if times[hold.name] == 1], [hold for hold in holds if times[hold.name] > 1]


def _handed_together(
    tx: Transaction, origin: Origin, holds: Sequence[Hold], heir: Speaker, reason: str | None
) -> dict[str, int]:
    """Give holds to one that holds nothing of these locks: there may be thousands, and all others wait. The fencing
    tokens, by the locks' names."""
    if not holds:
        return {}
    names = dump_json([hold.name for hold in holds])
    tx.run("lock_tokens_raise", names=names)
    tokens = {row["name"]: row["last_token"] for row in tx.all("lock_tokens", names=names)}
    registered_by = (agent_of(tx, heir.agent_id) or {}).get("registered_by")
    handed = [hold.handed_over(heir, registered_by, tokens[hold.name], origin.at, reason) for hold in holds]
    for _, event in handed:
        tx.append(origin, event)
    (new, _), now = handed[0], origin.at
    holder = {"heir": new.party, "speaker": new.speaker, "acquired_at": new.acquired_at}
    tx.run("lock_holds_give", names=names, party=holds[0].party, now=now, **holder)
    return tokens


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
