"""How supervised processes are wired into the house."""

from mcp_server.domain.processes import replay
from mcp_server.kernel.area import Aggregate, Area, Completion, Table
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="processes",
    toolset="agents",
    tables=(
        Table("processes"),
        # Who supervises is as short-lived as the servers.
        Table("supervisors", key=2, exported=False, rebuilt=None),
    ),
    aggregates=(
        Aggregate(
            "process",
            events=(
                *("wanted", "unwanted", "started", "adopted", "stopping", "exited", "not_started", "abandoned"),
                *("moved", "forgotten", "respecified"),
            ),
            seen_by=Permission.AGENTS_READ,
            table="processes",
            row="process_for_update",
            json=frozenset(("spec",)),
            uris=lambda id_: {"ops://agents", f"ops://processes/{id_}/log"},
            replay=replay.replay,
        ),
    ),
    completions={"process_id": Completion("complete_process_ids", Permission.AGENTS_READ)},
)
