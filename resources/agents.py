"""Resources of the agent registry."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.agents.commands import FindAgents
from mcp_server.domain.desk import Desk
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.call import Call
from mcp_server.kernel.paging import LIMIT_MAX, floors
from mcp_server.kernel.quoting import quoted
from resources.spec import Entry, Resource


async def _all(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    cursor = parameters.get("cursor")
    agents, next_cursor, omitted = await desk.agents.find(call, FindAgents(limit=LIMIT_MAX, cursor=cursor))
    return {"agents": agents, "omitted": omitted, "at_least": floors(omitted=omitted), "next_cursor": next_cursor}


async def _one(desk: Desk, call: Call, parameters: Mapping[str, str]) -> Any:
    return await desk.agents.get(call, parameters["agent_id"])


async def _entries(desk: Desk, call: Call, cursor: str | None) -> tuple[list[Entry], str | None]:
    agents, next_cursor, _ = await desk.agents.find(call, FindAgents(limit=LIMIT_MAX, cursor=cursor))
    return [
        Entry(f"ops://agents/{agent.id}", agent.name, agent.description and quoted(agent.description))
        for agent in agents
    ], next_cursor


RESOURCES = (
    Resource(
        uri_template="ops://agents{?cursor}",
        name="agents",
        title="Agents",
        description="Every agent with its status and load.",
        toolset="agents",
        permission=Permission.AGENTS_READ,
        read=_all,
    ),
    Resource(
        uri_template="ops://agents/{agent_id}",
        name="agent",
        title="Agent",
        description="One agent with its instances and metrics.",
        toolset="agents",
        permission=Permission.AGENTS_READ,
        read=_one,
        entries=_entries,
    ),
)
