"""How locks are wired into the house."""

from mcp_server.domain.agents.hooks import INSTANCE_LOST
from mcp_server.domain.locks import replay
from mcp_server.domain.locks.transactions import abandon, expire
from mcp_server.kernel.area import Aggregate, Area, Sweep, Table
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="locks",
    toolset="state",
    tables=(
        Table("locks"),
        Table("lock_holds", key=2),
        Table("lock_waiters", key=2, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "lock",
            events=("acquired", "renewed", "released", "expired", "abandoned"),
            seen_by=Permission.STATE_READ,
            uris=lambda _: {"ops://locks"},
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    # A lock that is owned by an instance's id is free as soon as the instance is lost.
    hears=(INSTANCE_LOST.heard_by(abandon),),
    sweeps=(Sweep("due.lock_holds", expire),),
)
