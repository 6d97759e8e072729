"""To whom a question went whose asker left: an open one is the heir's, who may remind and is told what came of it."""

from mcp_server.domain.agents.commands import is_id
from mcp_server.domain.agents.holding import HOLDING_COUNTED_MAX, Holding
from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.events.told import handing_of, told_of
from mcp_server.kernel.authority import VIA
from mcp_server.kernel.store import Database, Row


async def handed_over(database: Database, speaking: Speaking, row: Row) -> dict[str, str] | None:
    """To whom, by whom, when, and why where that was said; None of a question that is its asker's, or where the log
    does not tell any more."""
    heir = await _agent(speaking, row["requester"])
    if heir is None or _asked(row, heir["name"]):
        return None  # so it is of nearly all, which cost no look into the log
    events = await told_of(database, "approval", row["id"], ("approval.handed_over",), (1, row["version"]))
    return next(({"to": heir["name"]} | handing_of(one) for one in events), None)


async def _agent(speaking: Speaking, party: str) -> Row | None:
    return await speaking.by_id(party) if is_id(party) else None


async def open_of(database: Database, agent_id: str) -> Holding | None:
    """What an agent has asked, or taken over, and nobody has answered."""
    rows = await database.fetch_all("approvals_open_known", requester=agent_id, counted=HOLDING_COUNTED_MAX)
    return Holding.of("questions", [row["id"] for row in rows], HOLDING_COUNTED_MAX)


def _asked(row: Row, name: str) -> bool:
    return row["requested_by"].partition(VIA)[0] == f"agent:{name}"
