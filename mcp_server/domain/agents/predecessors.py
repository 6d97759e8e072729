"""Who bore a name before, or bore it until it left: whoever registers an agent under it may take it for that one."""

import json
from typing import Any

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.events.told import newest_of_type, told_of
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import iso

_LAST_VERSION = 2**62


async def deleted_before(database: Database, speaking: Speaking, name: str) -> list[str]:
    """That the last agent of a name was deleted, as far as the log tells; nothing where there was none."""
    events = await newest_of_type(database, "agent.deleted")
    last = next((one for one in events if _data(one).get("name") == name), None)
    if last is None:
        return []
    return [f"another agent of this name ({last['aggregate_id']}) {await _left(database, speaking, last)}."]


async def terminated_before(database: Database, speaking: Speaking, agent_id: str) -> list[str]:
    """That an agent is terminated, as far as the log tells."""
    events = await told_of(database, "agent", agent_id, ("agent.terminated",), (1, _LAST_VERSION))
    return [f"it {await _left(database, speaking, one)}." for one in events[:1]]


async def _left(database: Database, speaking: Speaking, event: Row) -> str:
    """How one left: when, by whom and why, and who took over what it held."""
    data = _data(event)
    reason = data.get("reason") or data.get("lifecycle_reason")
    why = f" ({quoted(reason)})" if reason else ""
    how = event["type"].partition(".")[2]
    return f"was {how} at {iso(event['at'])} by {event['actor']}{why}{await _heir(database, speaking, event)}"


async def _heir(database: Database, speaking: Speaking, event: Row) -> str:
    """Who took over: when it was deleted, or was terminated before that."""
    ends = ("agent.terminated", "agent.deleted")
    events = await told_of(database, "agent", event["aggregate_id"], ends, (1, event["version"]))
    heir = next(filter(None, (_data(one).get("to_agent") for one in events[:2])), None)
    return "" if heir is None else f"; {await _called(speaking, heir)} took over what it held"


async def _called(speaking: Speaking, agent_id: str) -> str:
    """An agent's name; of one that has been deleted since, its id."""
    row = await speaking.by_id(agent_id)
    return agent_id if row is None else row["name"]


def _data(event: Row) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(event["data"])
    return told
