"""How much there is to do for an agent."""

import json
from collections.abc import Mapping

from mcp_server.domain.tasks.spec import SYSTEM_KIND
from mcp_server.kernel.store import Database, Row


async def ready_for(database: Database, able: Mapping[str, frozenset[str]], at_most: int) -> dict[str, int]:
    """The number of tasks that each of some agents could claim now, by agent. What several can do counts for each.

    Args:
        database: where from.
        able: what each agent can do, by its id.
        at_most: how far each queue is counted.
    """
    queues = await database.fetch_all("ready_by_queue", at_most=at_most)
    found = [
        (queue, frozenset(json.loads(queue["capabilities"])))
        for queue in queues
        if queue["tasks"] and not queue["kind"].startswith(SYSTEM_KIND)
    ]
    return {
        agent_id: sum(queue["tasks"] for queue, needs in found if needs <= skills and _may_take(queue, agent_id))
        for agent_id, skills in able.items()
    }


def _may_take(queue: Row, agent_id: str) -> bool:
    return queue["agent_id"] in (None, agent_id)
