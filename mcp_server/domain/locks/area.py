"""How locks are wired into the house."""

from operator import itemgetter
from typing import Any

from mcp_server.domain.agents.hooks import AGENT_HANDED_OVER, AGENT_HOLDS, INSTANCE_LOST
from mcp_server.domain.locks import replay
from mcp_server.domain.locks.leaving import hand_over_all, held_by
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.locks.righting import right, right_waiter
from mcp_server.domain.locks.transactions import abandon, expire, lapse, waiter_key
from mcp_server.kernel.area import Aggregate, Area, Righting, Sweep, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling

_HELD = "owner party speaker mode expires_at acquired_at"
_GONE = Telling.of("owner")

AREA = Area(
    name="locks",
    toolset="state",
    tables=(
        Table("locks"),
        Table("lock_holds", key=3),
        Table("lock_waiters", key=3, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "lock",
            events={
                "acquired": Telling.of(_HELD),
                "renewed": Telling.of("owner expires_at", "reason"),
                "righted": Telling.of("owner expires_at"),
                "released": Telling.of("owner", "forced_from reason"),
                "expired": _GONE,
                "abandoned": _GONE,
                "handed_over": Telling.of(f"{_HELD} of", "reason"),
                "withdrawn": Telling.of("owner party"),
                "snapshot": Telling.of("holds"),
            },
            seen_by=Permission.STATE_READ,
            record=Hold,
            beside={"of": dict[str, str], "holds": list[dict[str, Any]], "forced_from": str, "reason": str},
            # An event's version is the fencing token.
            hidden=frozenset({"version", "holds", "party"}),
            told={"owner": lambda label: label or None},  # without a label the speaker itself holds it
            uris=lambda _: {"ops://locks"},
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    hears=(
        # A lock under the label of an instance's id is free as soon as the instance is lost.
        INSTANCE_LOST.heard_by(abandon),
        AGENT_HOLDS.heard_by(held_by),
        AGENT_HANDED_OVER.heard_by(hand_over_all),
    ),
    sweeps=(
        Sweep("due.lock_holds", "expired_holds", expire, itemgetter("name")),
        Sweep("due.lock_waiters", "lapsed_waiters", lapse, waiter_key),
    ),
    rightings=(
        Righting("lock_holds_live", right, itemgetter("name")),
        Righting("lock_waiters_ahead", right_waiter, waiter_key),
    ),
)
