"""How messages are wired into the house."""

from typing import Any

from mcp_server.domain.agents.hooks import AGENT_HANDED_OVER, AGENT_HOLDS, AGENT_TOLD
from mcp_server.domain.messages import replay
from mcp_server.domain.messages.model import NO_KEY, Message
from mcp_server.domain.messages.righting import right
from mcp_server.domain.messages.texts import message_text
from mcp_server.domain.messages.transactions import delivery_key, hand_over, miss, tell, unread_of
from mcp_server.kernel.area import Aggregate, Area, Righting, Searched, Sweep, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.telling import Telling, whole

_SAID = "sender recipients subject body importance ack_due_at"
_KEY = " ".join(NO_KEY)

AREA = Area(
    name="messages",
    toolset="communication",
    tables=(Table("messages"), Table("deliveries", key=2)),
    aggregates=(
        Aggregate(
            "message",
            events={
                "sent": Telling.of(f"{_SAID} thread_id place sender_party places created_at", _KEY),
                "read": Telling.of("party read_at"),
                "acknowledged": Telling.of("party acknowledged_at"),
                "ack_missed": Telling.of("party ack_missed_at"),
                "handed_over": Telling.of("party to place", "reason"),
                "righted": Telling.of("party ack_due_at"),
                "snapshot": Telling.of(f"id {whole(Message)} deliveries"),
            },
            seen_by=Permission.MESSAGES_RECEIVE,
            record=Message,
            beside={
                "places": dict[str, int],
                "party": str,
                "to": str,
                "reason": str,
                "place": int | None,
                "read_at": int,
                "acknowledged_at": int,
                "ack_missed_at": int,
                "deliveries": list[dict[str, Any]],
            },
            private=Private(Permission.MESSAGES_CONTROL, "seen_message"),
            hidden=frozenset(("place", "places", "sender_party")),
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    searched=(Searched("message", "messages_every", message_text, in_time="messages_every_in_time"),),
    hears=(AGENT_HOLDS.heard_by(unread_of), AGENT_HANDED_OVER.heard_by(hand_over), AGENT_TOLD.heard_by(tell)),
    sweeps=(Sweep("due.acknowledgements", "deliveries_overdue", miss, delivery_key),),
    rightings=(Righting("deliveries_ahead", right, delivery_key),),
    after_rebuild="threads_fill",
)
