"""What agents have spent of their budgets, in words."""

from mcp_server.domain.agents.commands import BudgetSpec
from mcp_server.kernel.store import Row


def used_up(row: Row) -> str | None:
    """What an agent has used of its budget for the month, where nothing is left of it."""
    if row["budget"] is None:
        return None
    budget, tokens, cost_usd = BudgetSpec.model_validate_json(row["budget"]), row["tokens"], row["cost_usd"]
    return _said(budget, tokens, cost_usd) if budget.used_share(tokens, cost_usd) >= 1 else None


def _said(budget: BudgetSpec, tokens: int, cost_usd: float) -> str:
    said = [] if budget.cost_usd_per_month is None else [f"{cost_usd:.2f} of {budget.cost_usd_per_month:.2f} USD"]
    said += [] if budget.tokens_per_month is None else [f"{tokens} of {budget.tokens_per_month} tokens"]
    return ", ".join(said)
