"""What somebody who waits for several tasks is told of those that have not ended: what each of them waits for."""

from collections.abc import Sequence

from mcp_server.domain.agents.service import AgentService
from mcp_server.domain.tasks.outcomes import OutcomeView
from mcp_server.domain.tasks.waiting import facts_about, why_waiting
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database, Row

LOOKED_AT_MAX = 5
"""Of how many it is found out: who waits for more looks for one."""


async def with_waits(
    database: Database, agents: AgentService, tasks: Sequence[OutcomeView], reader: Actor
) -> list[OutcomeView]:
    """The tasks, each of the first that do not run yet with what it waits for."""
    # One that runs waits for its worker alone, and tells how far it is.
    rows = await _rows(database, [one.id for one in tasks if one.status in ("pending", "queued")][:LOOKED_AT_MAX])
    # Read at once for all: they may well wait for the same agents.
    facts = await facts_about(database, agents, rows, reader)
    waits = {row["id"]: why_waiting(row, facts) for row in rows}
    return [one.evolved({"waits_for": waits.get(one.id)}) for one in tasks]


async def waiting_on(database: Database, task_id: str) -> list[str]:
    """The first tasks that wait for another."""
    rows = await database.fetch_all("waiting_for_any", ids=dump_json([task_id]), limit=LOOKED_AT_MAX)
    return [row["id"] for row in rows]


async def _rows(database: Database, ids: Sequence[str]) -> list[Row]:
    found = [await database.fetch_one("task_by_id", id=one) for one in ids]
    return [row for row in found if row is not None]
