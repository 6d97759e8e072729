"""How messages are wired into the house."""

from mcp_server.domain.agents.hooks import AGENT_HANDED_OVER, AGENT_HOLDS
from mcp_server.domain.messages import replay
from mcp_server.domain.messages.righting import right
from mcp_server.domain.messages.transactions import delivery_key, hand_over, miss, unread_of
from mcp_server.kernel.area import Aggregate, Area, Righting, Sweep, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private

AREA = Area(
    name="messages",
    toolset="communication",
    tables=(Table("messages"), Table("deliveries", key=2)),
    aggregates=(
        Aggregate(
            "message",
            events=("sent", "read", "acknowledged", "ack_missed", "handed_over", "righted"),
            seen_by=Permission.MESSAGES_RECEIVE,
            private=Private(Permission.MESSAGES_CONTROL, "seen_message"),
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    hears=(AGENT_HOLDS.heard_by(unread_of), AGENT_HANDED_OVER.heard_by(hand_over)),
    sweeps=(Sweep("due.acknowledgements", "deliveries_overdue", miss, delivery_key),),
    rightings=(Righting("deliveries_ahead", right, delivery_key),),
    after_rebuild="threads_fill",
)
