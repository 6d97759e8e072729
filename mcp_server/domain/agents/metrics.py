"""What an agent's finished tasks say about it, and what it has used of its budget."""

from collections.abc import Sequence
from math import fsum
from typing import Any

from mcp_server.domain.agents.commands import BudgetSpec
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import SECOND, Micros, iso

ATTEMPTS_MAX = 1000
"""The newest finished tasks that the figures are taken from."""


async def read_metrics(
    database: Database, agent_id: str, now: Micros, limit: int = ATTEMPTS_MAX
) -> dict[str, float] | None:
    """Success rate, durations and queue wait over the newest finished tasks; tokens and cost of this month.

    Returns:
        completed, failed, success_rate (0 to 1), mean_duration_seconds, p95_duration_seconds and
        mean_queue_wait_seconds of the completed ones, tokens_this_month, cost_usd_this_month. None before any.
    """
    attempts = await database.fetch_all("agent_attempts", agent_id=agent_id, limit=limit)
    used = await database.fetch_one("usage_of", agent_id=agent_id, month=iso(now)[:7])
    metrics = _figures(attempts)
    if used is not None:
        metrics |= {"tokens_this_month": used["tokens"], "cost_usd_this_month": round(used["cost_usd"], 6)}
    return metrics or None


async def read_budget(database: Database, agent: Row, now: Micros) -> dict[str, Any] | None:
    """The agent's budget with the share of it that is used up: 1.0 means that nothing is left."""
    if agent["budget"] is None:
        return None
    return budget_used(agent, await database.fetch_one("usage_of", agent_id=agent["id"], month=iso(now)[:7]))


def budget_used(agent: Row, used: Row | None) -> dict[str, Any] | None:
    """See `read_budget`; `used` is what it has used this month."""
    if agent["budget"] is None:
        return None
    budget = BudgetSpec.model_validate_json(agent["budget"])
    share = 0.0 if used is None else budget.used_share(used["tokens"], used["cost_usd"])
    return budget.model_dump(exclude_none=True) | {"used_share": round(share, 4)}


def _figures(attempts: Sequence[Row]) -> dict[str, float]:
    if not attempts:
        return {}
    done = [row for row in attempts if row["status"] == "completed"]
    figures: dict[str, float] = {
        "completed": len(done),
        "failed": len(attempts) - len(done),
        "success_rate": round(len(done) / len(attempts), 4),
    }
    return figures | _times(done)


def _times(done: Sequence[Row]) -> dict[str, float]:
    durations = sorted(row["duration"] / SECOND for row in done)
    waits = [row["wait"] / SECOND for row in done if row["wait"] is not None]
    told = {"mean_queue_wait_seconds": round(fsum(waits) / len(waits), 3)} if waits else {}
    if not durations:
        return told
    mean, p95 = fsum(durations) / len(durations), durations[-(-95 * len(durations) // 100) - 1]
    return told | {"mean_duration_seconds": round(mean, 3), "p95_duration_seconds": round(p95, 3)}
