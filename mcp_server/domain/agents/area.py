"""How agents are wired into the house."""

from operator import itemgetter

from mcp_server.domain.agents import replay
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.domain.agents.transactions import mark_lost, right_instance
from mcp_server.kernel.area import Aggregate, Area, Completion, Righting, Sweep, Table
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="agents",
    toolset="agents",
    tables=(
        Table("agents"),
        # Heartbeats move without events.
        Table(
            "instances",
            rebuilt="SELECT id, agent_id, label, host, pid, started_at, lost_at, version FROM instances ORDER BY id",
        ),
        Table("agent_usage", key=2),
    ),
    aggregates=(
        Aggregate(
            "agent",
            events=(
                *("registered", "described", "paused", "resumed", "draining", "terminated", "deleted"),
                *("scaled", "budget_warning", "budget_exhausted"),
            ),
            seen_by=Permission.AGENTS_READ,
            table="agents",
            row="agent_for_update",
            json=frozenset(
                ("capabilities", "skills", "tags", "budget", "operator_set", "launcher", "scaling", "decision")
            ),
            uris=lambda id_: {"ops://agents", f"ops://agents/{id_}"},
            unsaid=replay.unsaid,
            replay=replay.agent,
        ),
        Aggregate(
            "instance",
            events=("introduced", "returned", "lost"),
            seen_by=Permission.AGENTS_READ,
            table="instances",
            row="instance_whole",
            uris=lambda _: {"ops://agents"},
            replay=replay.instance,
        ),
        Aggregate(
            "usage",
            events=(),
            seen_by=Permission.AGENTS_READ,
            restore=replay.usage,
            retell=replay.usage_told,
        ),
    ),
    sweeps=(
        Sweep("due.instances", "silent_instances", mark_lost, itemgetter("id"), {"alive_for": INSTANCE_ALIVE_FOR}),
    ),
    rightings=(Righting("instances_ahead", right_instance, itemgetter("id")),),
    after_rebuild="instances_orphans_clear",
    completions={"agent_id": Completion("complete_agent_ids", Permission.AGENTS_READ)},
)
