"""What the events of agents rebuild, where that is more than their rows."""

from collections.abc import Mapping
from typing import Any

from mcp_server.domain.agents.model import OPERATORS_FIELDS
from mcp_server.kernel.events import SNAPSHOT, Event, Origin
from mcp_server.kernel.json_text import RawJson, dump_json
from mcp_server.kernel.store import Transaction
from mcp_server.kernel.times import iso


def agent(tx: Transaction, origin: Origin, event: Event) -> None:
    """One that is deleted is gone; a budget's warning changes no column."""
    del origin
    row = tx.one("agent_for_update", id=event.aggregate_id)
    if event.type == "agent.deleted":
        tx.run("agent_delete", id=event.aggregate_id)
    elif row is None and "created_at" in event.data:
        tx.fold(event._replace(creates=True))
    elif row is not None and event.version > row["version"]:
        tx.fold(event)


def unsaid(actor: str, type_: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Before agents remembered who registered them, that was whoever the event names; what a user said was an
    operator's."""
    if "registered_by" in data or type_.endswith(SNAPSHOT):
        return {}
    known = {"registered_by": actor}
    return known | {"operator_set": RawJson(dump_json(OPERATORS_FIELDS))} if actor.startswith("user:") else known


def instance(tx: Transaction, origin: Origin, event: Event) -> None:
    """Introduced once; from then on its row changes."""
    del origin
    tx.fold(event._replace(creates=event.type == "instance.introduced"))


def use(tx: Transaction, origin: Origin, agent_id: str, usage: dict[str, Any]) -> None:
    """Count again what an attempt used, unless its agent is gone."""
    if tx.one("agent_for_update", id=agent_id) is not None:
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        month = iso(origin.at)[:7]
        tx.run("usage_add", agent_id=agent_id, month=month, tokens=tokens, cost_usd=usage.get("cost_usd", 0.0))


def usage_told(tx: Transaction) -> list[tuple[str, dict[str, Any]]]:
    """What every agent used by month: the tasks that say so may go."""
    return [(f"{used['agent_id']}/{used['month']}", used) for used in tx.all("usage_whole")]


def usage(tx: Transaction, origin: Origin, event: Event) -> None:
    """A month's use, told whole."""
    del origin
    tx.run("usage_save", **event.data)
