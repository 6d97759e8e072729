"""What came of the last firings of a schedule, within bounds."""

from typing import Any

from mcp_server.domain.tasks.outcomes import left_out
from mcp_server.kernel.authority import SYSTEM
from mcp_server.kernel.store import Database, Row
from mcp_server.kernel.times import iso, iso_or_none
from mcp_server.kernel.views import View, json_or_none

RUNS_SHOWN = 5
RESULT_CHARACTERS_MAX = 500


class RunView(View):
    """One firing of a schedule: when it came to be, and what came of it; what is long is left out."""

    id: str
    status: str
    at: str
    finished_at: str | None = None
    result: Any = None
    result_left_out: str | None = None
    error: dict[str, Any] | None = None


async def last_runs(database: Database, schedule_id: str) -> list[RunView] | None:
    """The last firings of a schedule, newest first, in the archive too; not what others made its children."""
    rows = await database.fetch_all("schedule_runs", id=schedule_id, owner=SYSTEM.label, limit=RUNS_SHOWN)
    return list(map(_run, rows)) or None


def _run(row: Row) -> RunView:
    """One firing of a schedule."""
    task_id, result = row["id"], row["result"]
    is_long = len(result or "") > RESULT_CHARACTERS_MAX
    return RunView(
        id=task_id,
        status=row["status"],
        at=iso(row["created_at"]),
        finished_at=iso_or_none(row["finished_at"]),
        result=None if is_long else json_or_none(result),
        result_left_out=left_out(task_id, len(result)) if is_long else None,
        error=json_or_none(row["error"]),
    )
