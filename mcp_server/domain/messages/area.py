"""How messages are wired into the house."""

from mcp_server.domain.messages import replay
from mcp_server.domain.messages.transactions import miss
from mcp_server.kernel.area import Aggregate, Area, Sweep, Table
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="messages",
    toolset="communication",
    tables=(Table("messages"), Table("deliveries", key=2)),
    aggregates=(
        Aggregate(
            "message",
            events=("sent", "read", "acknowledged", "ack_missed"),
            seen_by=Permission.MESSAGES_RECEIVE,
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    sweeps=(Sweep("due.acknowledgements", miss),),
)
