"""`approvals list` where a program reads it: the same lines, in a tenth of the time that the services take to load.

At a terminal it shows links, and where the user's role does not see everything it leaves out what is private: both are
for the command itself (`commands/approvals.py`).
"""

from __future__ import annotations

import os

from mcp_server.hooks.answers import Answer
from mcp_server.hooks.reading import Unreadable, open_desk
from mcp_server.hooks.settings import read_settings
from mcp_server.kernel.lines import one_line
from mcp_server.kernel.times import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_server.hooks.reading import Row
    from mcp_server.hooks.settings import Settings

SHOWN_MAX = 100
COUNTED_MAX = 10_000
SEE_ALL = (None, "admin", "operator")
"""Roles that see every question."""


def listed(flags: Mapping[str, str]) -> Answer | None:
    """What is open; None where only the command itself can tell, or say what is wrong."""
    try:
        settings = read_settings(flags, os.environ)
        rows = _open(settings) if settings.role in SEE_ALL else None
    except (Unreadable, OSError, ValueError):
        return None
    return None if rows is None else Answer(out="\n".join(_lines(rows)) + "\n")


def _lines(rows: list[Row]) -> list[str]:
    left = len(rows) - SHOWN_MAX
    lines = [f"{row['id']}  {iso(row['created_at'])}  {one_line(row['title'])}" for row in rows[:SHOWN_MAX]]
    return [*lines, f"... and {left} more"] if left > 0 else lines or ["Nothing waits for an approval."]


def _open(settings: Settings) -> list[Row] | None:
    desk = open_desk(settings)
    if desk is None:
        return None
    try:
        return desk.rows("approvals", "approvals_glance_open", limit=COUNTED_MAX)
    finally:
        desk.close()
