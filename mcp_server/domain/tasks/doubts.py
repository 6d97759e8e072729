"""What is said of tasks that were created as asked, and may not be meant so: a time that has passed, schedules that
fire otherwise than it looks, input that is text and holds JSON."""

import json
from collections.abc import Sequence

from mcp_server.domain.tasks.schedules import GRACE
from mcp_server.domain.tasks.waiting import warnings_about_times
from mcp_server.kernel.json_text import held_json
from mcp_server.kernel.store import Row
from mcp_server.kernel.times import Micros, iso

_BEGINS_JSON = ('"{', '"[')


async def doubts_about(rows: Sequence[Row], now: Micros) -> list[str]:
    """What is said of each, with its id.

    Args:
        rows: the tasks.
        now: what time it is.
    """
    return [*await warnings_about_times(rows), *_passed(rows, now), *_json_in_text(rows)]


def _passed(rows: Sequence[Row], now: Micros) -> list[str]:
    return [
        f"{row['id']}: its run_at, {iso(row['run_at'])}, has passed, so it waits for no time."
        for row in rows
        if row["schedule"] is None and (row["run_at"] or now) < now - GRACE
    ]


def _json_in_text(rows: Sequence[Row]) -> list[str]:
    return [
        f"{row['id']}: its input is a text that holds JSON; for what that says, give it without the quotes around it."
        for row in rows
        if _holds_json(row["input"])
    ]


def _holds_json(stored: str | None) -> bool:
    """Whether JSON is a text that is itself an object, or a list."""
    return stored is not None and stored.startswith(_BEGINS_JSON) and held_json(json.loads(stored)) is not None
