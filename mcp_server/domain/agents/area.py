"""How agents are wired into the house."""

from operator import itemgetter

from mcp_server.domain.agents import replay
from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR, Agent, Instance
from mcp_server.domain.agents.transactions import mark_lost, right_instance
from mcp_server.kernel.area import Aggregate, Area, Completion, Righting, Sweep, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.telling import Telling, whole

_SAID = "kind description capabilities skills max_concurrent_tasks tags budget launcher scaling operator_set"
_MOVES = "lifecycle lifecycle_reason updated_at"
_RESTS = Telling.of(_MOVES, "to_agent")
_SPENT = Telling.of("month tokens_used cost_usd_used share")

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
            events={
                "registered": Telling.of(whole(Agent)),
                "described": Telling.of("updated_at", _SAID),
                "paused": _RESTS,
                "resumed": Telling.of(_MOVES),
                "draining": _RESTS,
                "terminated": _RESTS,
                "deleted": Telling.of("name", "reason to_agent"),
                "scaled": Telling.of("desired_instances scaling decision updated_at"),
                "budget_warning": _SPENT,
                "budget_exhausted": _SPENT,
            },
            seen_by=Permission.AGENTS_READ,
            record=Agent,
            beside={
                "month": str,
                "tokens_used": int,
                "cost_usd_used": float,
                "share": float,
                "reason": str,
                "to_agent": str,
            },
            table="agents",
            row="agent_for_update",
            json=frozenset(
                ("capabilities", "skills", "tags", "budget", "operator_set", "launcher", "scaling", "decision")
            ),
            uris=lambda id_: {"ops://agents", f"ops://agents/{id_}"},
            hidden=frozenset(("skills", "operator_set")),
            unsaid=replay.unsaid,
            replay=replay.agent,
        ),
        Aggregate(
            "instance",
            events={
                "introduced": Telling.of(whole(Instance)),
                "returned": Telling.of("last_seen_at lost_at", "host pid"),
                "lost": Telling.of("lost_at"),
            },
            seen_by=Permission.AGENTS_READ,
            record=Instance,
            table="instances",
            row="instance_whole",
            uris=lambda _: {"ops://agents"},
            replay=replay.instance,
        ),
        Aggregate(
            "usage",
            events={"snapshot": Telling.of("agent_id month tokens cost_usd")},
            seen_by=Permission.AGENTS_READ,
            beside={"agent_id": str, "month": str, "tokens": int, "cost_usd": float},
            restore=replay.usage,
            retell=replay.usage_told,
        ),
    ),
    sweeps=(
        Sweep("due.instances", "silent_instances", mark_lost, itemgetter("id"), {"alive_for": INSTANCE_ALIVE_FOR}),
    ),
    rightings=(Righting("instances_ahead", right_instance, itemgetter("id")),),
    after_rebuild="instances_orphans_clear",
    completions={
        "agent_id": Completion("complete_agents", Permission.AGENTS_READ),
        "to_agent": Completion("complete_agents", Permission.AGENTS_READ),
        "capability": Completion("complete_capabilities", Permission.AGENTS_READ),
    },
)
