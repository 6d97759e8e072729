"""How a message came into an inbox that it was not sent to: an agent left, and what it had not read was handed over."""

import json
from collections.abc import Sequence

from mcp_server.domain.agents.speaking import Speaking
from mcp_server.domain.events.told import handing_of, told_of
from mcp_server.kernel.store import Database, Row


async def handed_over(database: Database, speaking: Speaking, rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Of the messages in an inbox that were sent to somebody else, by their ids: from whom they came, by whom,
    when, and why where that was said; nothing where that is no longer kept.

    Args:
        database: where it is kept.
        speaking: knows what agents are called.
        rows: messages as they stand in the inbox; in a thread, others' too.
    """
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["party"] is not None and row["name"] not in row["recipients"].split():
            event = await _handing(database, row)
            if event is not None:
                left = json.loads(event["data"])["party"]
                called = await _called(speaking, left, row["recipients"].split())
                found[row["message_id"]] = {"from": called} | handing_of(event)
    return found


async def _handing(database: Database, row: Row) -> Row | None:
    """The newest event by which a message came to who has it."""
    events = await told_of(database, "message", row["message_id"], ("message.handed_over",), (1, 1))
    return next((event for event in events if json.loads(event["data"])["to"] == row["party"]), None)


async def _called(speaking: Speaking, party: str, recipients: Sequence[str]) -> str:
    """What people call, or called, an agent that left; one that was deleted may be known by the message alone."""
    agent = await speaking.by_id(party)
    if agent is not None:
        return agent["name"]
    return recipients[0] if len(recipients) == 1 else party
