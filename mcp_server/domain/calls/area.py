"""How calls are wired into the house."""

from operator import itemgetter

from mcp_server.domain.calls.age import is_anything_old
from mcp_server.domain.calls.handlers import forget_calls, hold_call
from mcp_server.domain.calls.media import media_here
from mcp_server.domain.calls.model import LiveCall
from mcp_server.domain.calls.opening import OPEN_MAX
from mcp_server.domain.calls.owning import lose
from mcp_server.domain.calls.retention import FORGET_KIND
from mcp_server.domain.calls.transactions import (
    CALL_KIND,
    follow_end,
    forget_request,
    right,
    settle_due,
)
from mcp_server.domain.calls.views import OWN_CALLS, participants_told
from mcp_server.domain.tasks.hooks import TASK_ENDED
from mcp_server.kernel.area import Aggregate, Area, Chore, Completion, Righting, Sweep, SystemKind, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.privacy import Private
from mcp_server.kernel.telling import Telling, whole

_PEOPLE = Telling.of("participants updated_at")
_LINE = Telling.of("lines updated_at")
_STATUS = Telling.of("status updated_at")
_OVER = Telling.of("status reason participants asked ended_at due_at updated_at")
_ASKED = Telling.of("asked lines updated_at")
_MUTED = Telling.of("muted updated_at")
_HOLD_SECONDS_MAX = 3 * 86_400.0

AREA = Area(
    name="calls",
    toolset="communication",
    tables=(
        Table("calls"),
        # What was said is in no event: it goes when its time is over.
        Table("call_lines", key=2, rebuilt=None),
        Table("call_audio", key=2, exported=False, rebuilt=None),
        Table("call_acts", key=3, rebuilt=None),
        # What belongs to connections means nothing elsewhere.
        Table("call_owners", exported=False, copied=False, rebuilt=None),
        Table("call_requests", exported=False, copied=False, rebuilt=None),
        Table("call_returns", key=2, exported=False, copied=False, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "call",
            events={
                "opened": Telling.of(whole(LiveCall)),
                "invited": _PEOPLE,
                "joining": _PEOPLE,
                "refused": _PEOPLE,
                "ringing": Telling.of("status participants due_at updated_at"),
                "unanswered": Telling.of("status participants due_at updated_at"),
                "answered": _PEOPLE,
                "active": Telling.of("status participants started_at due_at updated_at"),
                "joined": _PEOPLE,
                "away": _PEOPLE,
                "back": _PEOPLE,
                "left": _PEOPLE,
                "held": _STATUS,
                "resumed": _STATUS,
                "muted": _MUTED,
                "unmuted": _MUTED,
                "said": _LINE,
                "asked": _ASKED,
                "told": _ASKED,
                "ended": _OVER,
                "failed": _OVER,
                "forgotten": Telling.of("forgotten_at updated_at"),
                "righted": Telling.of("due_at expires_at updated_at"),
            },
            seen_by=Permission.CALLS_READ,
            record=LiveCall,
            private=Private(Permission.CALLS_CONTROL, "seen_call"),
            table="calls",
            row="call_for_update",
            json=frozenset(("participants", "asked")),
            uris=lambda id_: {f"ops://calls/{id_}", f"ops://calls/{id_}/transcript", f"ops://calls/{id_}/recording"},
            hidden=frozenset(("due_at", "minutes_max")),
            told={"participants": participants_told, "record": bool, "muted": bool},
        ),
    ),
    hears=(TASK_ENDED.heard_by(follow_end),),
    sweeps=(
        Sweep("due.calls", "calls_due", settle_due, itemgetter("id")),
        Sweep("due.call_owners", "call_owners_due", lose, itemgetter("call_id")),
        Sweep("due.call_requests", "call_requests_due", forget_request, itemgetter("id")),
    ),
    rightings=(Righting("calls_ahead", right, itemgetter("id")),),
    kinds=(
        SystemKind(CALL_KIND, hold_call, at_once=OPEN_MAX, seconds_max=_HOLD_SECONDS_MAX, variant=media_here),
        SystemKind(FORGET_KIND, forget_calls, at_once=1, seconds_max=600),
    ),
    chores=(Chore("Forget old calls", FORGET_KIND, times=13, wanted=is_anything_old),),
    completions={"call_id": Completion("complete_call_ids", Permission.CALLS_READ, private=(OWN_CALLS,))},
)
