"""How supervised processes are wired into the house."""

from mcp_server.domain.processes import replay
from mcp_server.domain.processes.model import Process
from mcp_server.kernel.area import Aggregate, Area, Completion, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling, whole

_NOTHING = "pid started boot started_at stop_signal stop_grace stop_at retry_at adopted"
_REST = f"{_NOTHING} status reason updated_at"

AREA = Area(
    name="processes",
    toolset="agents",
    tables=(
        Table("processes"),
        # Who supervises is as short-lived as the servers.
        Table("supervisors", key=2, exported=False, copied=False, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "process",
            events={
                "wanted": Telling.of("wanted scope spec failures updated_at", whole(Process)),
                "unwanted": Telling.of("wanted reason updated_at", "status retry_at"),
                "started": Telling.of(
                    "status reason host pid started boot started_at stop_signal stop_grace log adopted starts retry_at "
                    "updated_at"
                ),
                "adopted": Telling.of("adopted updated_at"),
                "stopping": Telling.of("status reason stop_at updated_at"),
                "exited": Telling.of(f"{_REST} exit exited_at", "failures"),
                "not_started": Telling.of(_REST, "failures"),
                "abandoned": Telling.of(f"{_REST} host"),
                "moved": Telling.of("host updated_at"),
                "forgotten": Telling.of(),
                "respecified": Telling.of("spec updated_at"),
            },
            seen_by=Permission.AGENTS_READ,
            record=Process,
            table="processes",
            row="process_for_update",
            json=frozenset(("spec",)),
            uris=lambda id_: {"ops://agents", f"ops://processes/{id_}/log"},
            replay=replay.replay,
        ),
    ),
    completions={"process_id": Completion("complete_process_ids", Permission.AGENTS_READ)},
)
