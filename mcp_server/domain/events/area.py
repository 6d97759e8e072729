"""How the event log is wired into the house. The engine itself appends to it and follows it."""

from mcp_server.domain.events.handlers import THIN_KIND, thin_events
from mcp_server.domain.events.retention import is_anything_old
from mcp_server.kernel.area import Area, Chore, Completion, SystemKind, Table
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="events",
    toolset="system",
    # An event's transaction number means nothing in another database.
    tables=(
        Table("events", rebuilt=None, local=frozenset(("xid",))),
        Table("event_horizon", rebuilt=None, local=frozenset(("xid",))),
    ),
    kinds=(SystemKind(THIN_KIND, thin_events, at_once=1, seconds_max=600),),
    completions={"event_type": Completion(Areas.seen_event_types, Permission.EVENTS_READ)},
    chores=(Chore("Thin out the event log", THIN_KIND, times=10, wanted=is_anything_old),),
)
