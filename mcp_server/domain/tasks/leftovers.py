"""What goes on, or waits on, though what it belongs to is cancelled: whoever cancels that may have meant it, too."""

from collections.abc import Collection, Sequence

from mcp_server.kernel.json_text import dump_json
from mcp_server.kernel.store import Database, Row

NAMED_MAX = 20


async def left_by(database: Database, cancelled: Sequence[Row]) -> list[str]:
    """That unfinished children of cancelled tasks go on, and that tasks which depend on them wait for their retry; with
    the call that cancels these, or the first of them, as well."""
    if not cancelled:
        return []
    ids = [row["id"] for row in cancelled]
    children = await _others(database, "children_unfinished", ids, ids)
    waiting = await _others(database, "waiting_for_any", ids, [*ids, *children])
    said = [
        *_said(children, "a child goes on", "children go on"),
        *_said(waiting, "one depends on it and waits for its retry", "depend on it and wait for its retry"),
    ]
    if not said:
        return []
    named = dump_json([*children, *waiting][:NAMED_MAX])
    ends = f"tasks_control(task_ids={named}, action='cancel') ends them"
    return [f"of what is cancelled {' and '.join(said)}: {ends}{_LETS_RUN if waiting else ''}."]


_LETS_RUN = """; action='edit', changes={"on_parent_failure":"run_anyway"} lets those run that depend on it"""


async def _others(database: Database, statement: str, ids: Sequence[str], known: Collection[str]) -> list[str]:
    """What belongs to some tasks and is not known already, as far as that is named."""
    rows = await database.fetch_all(statement, ids=dump_json(list(ids)), limit=NAMED_MAX + len(known))
    return [row["id"] for row in rows if row["id"] not in known][:NAMED_MAX]


def _said(found: Sequence[str], one: str, several: str) -> list[str]:
    many = "at least " if len(found) == NAMED_MAX else ""
    return [] if not found else [one] if len(found) == 1 else [f"{many}{len(found)} {several}"]
