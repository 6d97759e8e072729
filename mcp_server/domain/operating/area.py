"""How rules in force and restored databases are wired into the house. They have no rows: the log alone says it."""

from mcp_server.domain.operating import replay
from mcp_server.domain.operating.model import How
from mcp_server.domain.operating.statistics import STATISTICS_KIND, is_anything_large, update_statistics
from mcp_server.domain.operating.transactions import database_whole, rules_whole
from mcp_server.kernel.area import Aggregate, Area, Chore, SystemKind
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling

_RULES = Telling.of("digest count tools")
_DATABASE = Telling.of("how file restored_at last_seq last_at")

AREA = Area(
    name="operating",
    aggregates=(
        Aggregate(
            "rules",
            events={"changed": _RULES, "snapshot": _RULES},
            seen_by=Permission.PEOPLE_READ,
            beside={"digest": str | None, "count": int, "tools": list[str]},
            snapshot=rules_whole,
            replay=replay.nothing,
            restore=replay.nothing,
        ),
        Aggregate(
            "database",
            events={"restored": _DATABASE, "snapshot": _DATABASE},
            seen_by=Permission.PEOPLE_READ,
            beside={"how": How, "file": str, "restored_at": int, "last_seq": int | None, "last_at": int | None},
            snapshot=database_whole,
            replay=replay.nothing,
            restore=replay.nothing,
        ),
    ),
    kinds=(SystemKind(STATISTICS_KIND, update_statistics, at_once=1, seconds_max=600),),
    chores=(Chore("Count for the planner", STATISTICS_KIND, times=10, wanted=is_anything_large),),
)
