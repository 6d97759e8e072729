"""When agents and their instances were last heard of, for areas that show who holds something."""

from collections.abc import Iterable
from typing import NamedTuple

from mcp_server.domain.agents.model import INSTANCE_ALIVE_FOR
from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database
from mcp_server.kernel.times import SECOND, Micros


class Sign(NamedTuple):
    """The last sign of life: when; and when who gave it counts as lost, where it is one instance that is alive yet."""

    at: Micros
    lost_after: Micros | None = None

    def seconds_ago(self, now: Micros) -> int:
        """How long ago it was."""
        return max(0, round((now - self.at) / SECOND))


async def names_of(database: Database, ids: Iterable[str]) -> dict[str, str]:
    """What agents are called, by their ids; one that was deleted is not."""
    rows = await database.fetch_all("names_of_agents", ids=dump_json(sorted(set(ids))))
    return {row["id"]: row["name"] for row in rows}


async def signs_of(database: Database, ids: Iterable[str]) -> dict[str, Sign]:
    """The last signs of instances, and of agents that have any, by their ids."""
    wanted = dump_json(sorted(set(ids)))
    signs: dict[str, Sign] = {}
    for row in await database.fetch_all("instance_signs", ids=wanted):
        agents = signs.get(row["agent_id"], Sign(0))
        signs[row["agent_id"]] = Sign(max(agents.at, row["last_seen_at"]))
        lost_after = None if row["lost_at"] else row["last_seen_at"] + INSTANCE_ALIVE_FOR
        signs[row["id"]] = Sign(row["last_seen_at"], lost_after)
    return signs
