"""The attempts at a task, as the log tells of them: who tried, how long, and how each ended."""

import json
from itertools import pairwise
from typing import Any

from mcp_server.domain.events.told import told_of
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import SECOND, iso
from mcp_server.kernel.views import View

ATTEMPTS_SHOWN = 10
_BEGINS = "task.claimed"
# How an attempt ends, in the words of the event.
_ENDS = {
    "task.completed": "completed",
    "task.failed": "failed",
    "task.attempt_failed": "failed",
    "task.timed_out": "timed out",
    "task.attempt_timed_out": "timed out",
    "task.lease_expired": "lease expired",
    "task.handed_back": "handed back",
    "task.assigned": "assigned to another",
    "task.cancelled": "cancelled",
}


class AttemptView(View):
    """One attempt at a task: whose, since when, how long it took and how it ended, unless it goes on."""

    agent_id: str
    started_at: str
    took_seconds: float | None = None
    ended: str | None = None
    error: str | None = None


async def attempts_at(database: Database, row: Row) -> list[AttemptView] | None:
    """The last attempts at a task, newest first, as far as the log tells of them; None where there was one at most: its
    own row says all of that."""
    if row["attempt"] <= 1:
        return None
    told = await told_of(database, "task", row["id"], (_BEGINS, *_ENDS), (1, row["version"]))
    found = [_attempt(begun, later) for later, begun in pairwise([None, *told]) if begun and begun["type"] == _BEGINS]
    return found[:ATTEMPTS_SHOWN] or None


def _attempt(begun: Row, ended: Row | None) -> AttemptView:
    agent_id = json.loads(begun["data"])["lease_agent_id"]
    if ended is None or ended["type"] == _BEGINS:
        return AttemptView(agent_id=agent_id, started_at=iso(begun["at"]))
    error: dict[str, Any] | None = json.loads(ended["data"]).get("error")
    return AttemptView(
        agent_id=agent_id,
        started_at=iso(begun["at"]),
        took_seconds=round((ended["at"] - begun["at"]) / SECOND, 3),
        ended=_ENDS[ended["type"]],
        error=None if error is None else error.get("message"),
    )
